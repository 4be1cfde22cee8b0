"""What a processor receives: the payment's own fields beside what the worker decided."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.payment import Amount, Payment


class Fee(BaseModel):
    """One item of the fees, at its currency's exponent."""

    model_config = ConfigDict(frozen=True, strict=True)

    name: str
    amount: Amount


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


DISPATCH_ONLY_FIELDS = frozenset(Dispatch.model_fields) - frozenset(Payment.model_fields)
"""Names a payment may not use for fields of its own: the dispatch needs them."""
