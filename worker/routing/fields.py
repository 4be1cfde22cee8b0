"""Which fields a condition may name, what they hold, and how to read them from a payment."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from operator import attrgetter
from typing import Any, Final

from schemas.payment import Payment
from schemas.rule_conditions import OPEN_FIELDS, TEXT_FIELDS
from worker.errors import InvalidAmount
from worker.routing.conditions import Flag, Value

AMOUNT_SCALE: Final = 12
"""Digits after the point at which amounts are compared, the most that a payment may have."""
POWERS: Final[tuple[int, ...]] = tuple(10**power for power in range(AMOUNT_SCALE + 1))
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

Getter = Callable[[Payment], Any]


class Kind(Enum):
    """What a field holds, which decides the operators it has."""

    TEXT = "text"
    OPEN = "text, an integer or a boolean"
    AMOUNT = "an amount"
    INSTANT = "a date and time"


NAMED_FIELDS: Final = (*TEXT_FIELDS, "amount", "created_at")
ALWAYS_PRESENT: Final = frozenset({"payment_id", "type", "currency", "merchant_id", "amount", "created_at"})


def kind_of(field: str) -> Kind | None:
    """Return what a field holds, or None when no payment has a field of that name."""
    if field in TEXT_FIELDS:
        return Kind.TEXT
    if field == "amount":
        return Kind.AMOUNT
    if field == "created_at":
        return Kind.INSTANT
    if any(field.startswith(prefix) and all(field.split(".")) for prefix in OPEN_FIELDS):
        return Kind.OPEN
    return None


def amount_units(text: str) -> int:
    """Return a payment's amount in units of 10^-12, for comparing; planning has checked its form before.

    Raises:
        InvalidAmount: the text is not a decimal with at most 12 digits after the point.
    """
    whole, _, fraction = text.partition(".")
    try:
        return int(whole + fraction) * POWERS[AMOUNT_SCALE - len(fraction)]
    except (ValueError, IndexError):
        raise InvalidAmount(f"the amount {text[:40]!r} is not a decimal such as '12.34'") from None


def microseconds(moment: datetime) -> int:
    """Return whole microseconds since 1970; the moment names its offset."""
    return (moment - EPOCH) // MICROSECOND


def _created_at(payment: Payment) -> int:
    return microseconds(datetime.fromisoformat(payment.created_at))


def _scalar(value: object) -> Value | None:
    if value.__class__ is bool:
        return Flag.TRUE if value else Flag.FALSE
    if isinstance(value, str | int):
        return value
    return None if value is None else Flag.OTHER


def _metadata(key: str) -> Getter:
    return lambda payment: _scalar(payment.metadata.get(key))


def _walk(names: list[str]) -> Getter:
    def read(payment: Payment) -> Any:
        value: Any = payment.method
        for name in names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return read


def raw_getter(field: str) -> Getter:
    """Return a reader of the field's value as it stands in the payment; None means missing."""
    root, _, rest = field.partition(".")
    if root == "method":
        return _walk(rest.split("."))
    if root == "metadata":
        return lambda payment: payment.metadata.get(rest)
    return attrgetter({"currency": "amount.currency", "amount": "amount.value"}.get(field, field))


def getter(field: str) -> Getter:
    """Return a reader of the field's comparable value; None means missing."""
    root, _, rest = field.partition(".")
    if root == "method":
        walk = _walk(rest.split("."))
        return lambda payment: _scalar(walk(payment))
    if root == "metadata":
        return _metadata(rest)
    if field == "created_at":
        return _created_at
    if field == "amount":
        return lambda payment: amount_units(payment.amount.value)
    return raw_getter(field)


def moment_text(moment: int) -> str:
    """Return microseconds since 1970 as RFC 3339 in UTC."""
    return (EPOCH + moment * MICROSECOND).isoformat().replace("+00:00", "Z")
