"""Words of the rule file: names, codes and decimals, each with its pattern."""

from typing import Annotated

from pydantic import Field

Decimal = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,12})?$",
        examples=["2.9", "0.30"],
        description="a decimal in quotes: exact, never a binary fraction",
    ),
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", examples=["aurora"])]
RuleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", examples=["vip-cards"])]
CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{2,11}$", examples=["EUR"])]
CurrencyRef = Annotated[
    str, Field(pattern=r"^([A-Z][A-Z0-9]{2,11}|\$[a-z][a-z0-9_]*)$", examples=["EUR", "$majors"])
]
CountryRef = Annotated[str, Field(pattern=r"^([A-Z]{2}|\$[a-z][a-z0-9_]*)$", examples=["DE", "$eea"])]
TypeRef = Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,31}|\$[a-z][a-z0-9_]*)$", examples=["card"])]
GroupName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", examples=["eea"])]
PluginName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
StepName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", examples=["sanctions"])]
ErrorCode = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
ExchangeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,127}$")]
AccountName = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
Wait = Annotated[
    str, Field(pattern=r"^(0|[1-9][0-9]{0,2})ms$", description="0ms to 999ms, only while more is in hand")
]
PerCurrency = dict[CurrencyCode, Decimal]
Scalar = str | int | bool
AmountText = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,12})?( [A-Z][A-Z0-9]{2,11})?$",
        examples=["10", "10.00 EUR"],
        description="an amount in the payment's own currency, or one that names its currency",
    ),
]
