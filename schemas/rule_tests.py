"""A rules test file: payments with what the rules should do to them."""

from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.payment import Payment, Rfc3339
from schemas.rules import Strict


def _as_tests_write_it(schema: dict[str, Any]) -> None:
    """Describe a payment to an editor: any of its fields, the amount in one piece or in two."""
    whole = Payment.model_json_schema()
    amount = {"anyOf": [{"type": "string", "examples": ["12.34 EUR"]}, whole["$defs"]["Amount"]]}
    schema |= {"properties": {**whole["properties"], "amount": amount}, "additionalProperties": False}


class Expectation(Strict):
    """What should become of the payment; only what is written is compared."""

    rule: str | None = None
    processor: str | None = Field(default=None, description="the first candidate")
    fallback: list[str] | None = Field(default=None, description="the candidates after it, in order")
    skipped: list[str] | None = Field(default=None, description="processors of the route that cannot take it")
    rejected: str | None = Field(default=None, description="the code of the rejection")
    held: bool | None = None
    fees: dict[str, str] | None = Field(
        default=None, description="each fee by its name, such as {vat: '0.19'}"
    )
    net: str | None = None
    accounts: dict[str, str] | None = Field(
        default=None, description="shares in percent by account; 'rest' for the rest"
    )
    priority: int | None = None


class RuleTest(Strict):
    """One payment and what should become of it."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    payment: Annotated[
        dict[str, Any],
        Field(
            description="a payment; `amount` may be '12.34 EUR', what is not said has a plain value",
            json_schema_extra=_as_tests_write_it,
        ),
    ]
    now: Rfc3339 | None = Field(default=None, description="time of routing, RFC 3339")
    expect: Expectation


class RuleTests(Strict):
    """Tests of one rule table."""

    version: Literal[1]
    rules: list[str] | None = Field(
        default=None, description="rule files relative to this one; the file of the same name if absent"
    )
    overlays: list[str] = Field(default_factory=list)
    now: Rfc3339 = "2026-01-07T12:00:00Z"
    tests: Annotated[list[RuleTest], Field(min_length=1)]
