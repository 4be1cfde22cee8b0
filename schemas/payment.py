"""What a producer sends: one payment as a JSON object."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.iso3166 import COUNTRY_CODES

MAX_SCALE = 12
"""Digits after the point that an amount may have, so that micro-payments below one minor unit stay exact."""


def _assigned_country(code: str) -> str:
    if code not in COUNTRY_CODES:
        raise ValueError("not an assigned ISO 3166-1 alpha-2 code, such as DE")
    return code


def _real_time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a real date and time") from None
    return text


PaymentId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$", examples=["pay-2f6c1"])]
PartyId = Annotated[str, Field(pattern=r"^[!-~]{1,128}$", examples=["studio-aurora"])]
Country = Annotated[
    str,
    Field(pattern=r"^[A-Z]{2}$", examples=["DE"], json_schema_extra={"enum": sorted(COUNTRY_CODES)}),
    AfterValidator(_assigned_country),
]
Rfc3339 = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?"
        r"([Zz]|[+-][0-9]{2}:[0-9]{2})$",
        examples=["2026-11-24T12:00:00Z"],
    ),
    AfterValidator(_real_time),
]


class Amount(BaseModel):
    """An exact amount: a decimal string with its currency, never a JSON number.

    ``worker.money`` reads the string; the pattern here is what it accepts, for those who validate by schema.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    value: Annotated[
        str,
        Field(
            json_schema_extra={"pattern": r"^-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,12})?$"},
            examples=["12.34", "0.000125"],
            description="decimal string, up to 12 digits after the point, within signed 64 bits at its scale",
        ),
    ]
    currency: Annotated[str, Field(examples=["EUR"], description="ISO 4217 code, or a custom unit's")]


class Payment(BaseModel):
    """One payment. ``payment_id`` is the idempotency key; unknown fields are tolerated and passed on."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", json_schema_extra={"additionalProperties": True}
    )

    payment_id: PaymentId
    type: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", examples=["card", "bank_transfer", "wallet"])
    ]
    amount: Amount
    merchant_id: PartyId
    created_at: Rfc3339
    customer_id: PartyId | None = None
    country: Country | None = None
    method: dict[str, Any] | None = Field(
        default=None, examples=[{"bin": "411111", "network": "visa", "last4": "1111"}]
    )
    metadata: dict[str, str | int | bool] = Field(default_factory=dict)
