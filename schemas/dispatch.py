"""What a processor receives: the payment's own fields beside what the worker decided."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.payment import Amount, Payment, Rfc3339


class Fee(BaseModel):
    """One item of the fees, at its currency's exponent."""

    model_config = ConfigDict(frozen=True, strict=True)

    name: str
    amount: Amount


class AccountAmount(BaseModel):
    """One account's part of the net."""

    model_config = ConfigDict(frozen=True, strict=True)

    account: str
    amount: Amount


class Settlement(BaseModel):
    """The currency in which the route wants the payment settled.

    Where the rules have exchange rates and it is not the payment's own currency, ``amount`` is the net
    converted: net times ``rate`` equals ``amount`` plus ``remainder``, exactly.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    currency: str
    amount: Amount | None = None
    rate: Annotated[
        str | None,
        Field(examples=["1.0812", "10/3"], description="exact: a decimal, or a fraction where none ends"),
    ] = None
    source: Annotated[str | None, Field(description="who published the rate")] = None
    as_of: Annotated[Rfc3339 | None, Field(description="when it was published")] = None
    rounding: Annotated[str | None, Field(description="how the amount was rounded, once")] = None
    remainder: Annotated[
        str | None, Field(description="what rounding left over, exact, in the settlement currency")
    ] = None


class Dispatch(Payment):
    """A payment on its way to one processor.

    One ``dispatch_id`` stands for one payment at one processor, however often it is delivered: a connector
    that has seen the id drops the repeat. ``gross == net + sum(fees)``, exactly. The payment's own fields,
    known and unknown, follow byte for byte as the producer wrote them.
    """

    dispatch_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    processor: str
    attempt: Annotated[
        int, Field(ge=1, description="1 for the route's first candidate, 2 for its first fallback, and so on")
    ]
    rule: Annotated[str, Field(description="name of the rule that matched")]
    rules_version: Annotated[str, Field(description="digest of the rule files that decided")]
    gross: Amount
    fees: list[Fee]
    net: Amount
    expires_at: Annotated[
        Rfc3339 | None, Field(description="a processor that has not begun by then must not begin")
    ] = None
    accounts: Annotated[
        list[AccountAmount] | None, Field(description="how the net is divided; the parts sum to it, exactly")
    ] = None
    settlement: Settlement | None = None
    enrichment: Annotated[
        dict[str, str | int | bool] | None,
        Field(description="what plugins added before routing, by STEP.KEY", examples=[{"risk.score": 12}]),
    ] = None


DISPATCH_ONLY_FIELDS = frozenset(Dispatch.model_fields) - frozenset(Payment.model_fields)
"""Names a payment may not use for fields of its own: the dispatch needs them."""
