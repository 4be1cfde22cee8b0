"""A concrete payment for a box, to show what a finding means."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, product
from typing import Any

from pydantic import ValidationError

from schemas.payment import Payment
from worker.money import MAX_UNITS
from worker.routing.asking import asks
from worker.routing.checks import compile_check
from worker.routing.conditions import Any as AnyOf
from worker.routing.conditions import Bins, Flag, Glob, Prefix, Range, Suffix
from worker.routing.fields import AMOUNT_SCALE, EPOCH, MICROSECOND, POWERS, amount_units, moment_text
from worker.routing.leading import fits, shortest
from worker.routing.moments import moment
from worker.routing.processors import shown_amount
from worker.routing.region import NOON, Box, Space, texts_on, windows_of
from worker.routing.sides import Span, Values

TRIES = 256
SAMPLES: dict[str, tuple[str, ...]] = {
    "type": ("card", "wallet", "bank_transfer", "other"),
    "currency": ("EUR", "USD", "GBP", "JPY", "CHF", "SEK"),
    "country": ("DE", "US", "GB", "JP", "BR", "ZA"),
    "merchant_id": ("merchant-1", "merchant-2"),
    "customer_id": ("customer-1", "customer-2"),
    "payment_id": ("witness-1", "witness-2"),
}


@dataclass(frozen=True, slots=True)
class Witness:
    """A payment as JSON would hold it, and when it would be routed."""

    payment: dict[str, Any]
    now: datetime

    def parsed(self) -> Payment:
        """Return the payment as the worker would read it."""
        return Payment.model_validate(self.payment)


def witnesses(space: Space, box: Box) -> Iterator[Witness]:
    """Yield payments that lie in a box, the plainest first; none when it is impossible or too hard to say."""
    fields = sorted({field for dimension in box for field in _fields(dimension)} - {"time"})
    atoms = [
        (compile_check(dimension), side)
        for dimension, side in box.items()
        if not isinstance(dimension, str) and not asks(dimension)  # what a plugin would say nobody knows
    ]
    choices = [_choices(space, box, field) for field in fields]
    now = moment(windows_of(box), NOON)
    if now is None:
        return
    for values in islice(product(*choices), TRIES):
        raw = _payment(dict(zip(fields, values, strict=True)))
        try:
            payment = Payment.model_validate(raw)
        except ValidationError:
            continue
        amount = amount_units(payment.amount.value)
        if all(check(payment, amount, now) is side for check, side in atoms):
            yield Witness(raw, now)


def _fields(dimension: object) -> set[str]:
    if isinstance(dimension, str):
        return {dimension}
    if isinstance(dimension, AnyOf):
        return {field for part in dimension.parts for field in _fields(part)}
    return {getattr(dimension, "field", "time")}


def _payment(values: dict[str, Any]) -> dict[str, Any]:
    payment: dict[str, Any] = {
        "payment_id": "witness-1",
        "type": "card",
        "amount": {"value": "10.00", "currency": "EUR"},
        "merchant_id": "merchant-1",
        "created_at": "2026-01-07T12:00:00Z",
    }
    for field, value in values.items():
        root, _, rest = field.partition(".")
        if value is None:
            continue
        if root == "metadata":
            payment.setdefault("metadata", {})[rest] = value
        elif root == "method":
            _nest(payment.setdefault("method", {}), rest.split("."), value)
        elif field in ("currency", "amount"):
            payment["amount"][{"amount": "value"}.get(field, field)] = value
        else:
            payment[field] = value
    return payment


def _nest(target: dict[str, Any], names: Sequence[str], value: object) -> None:
    for name in names[:-1]:
        target = target.setdefault(name, {})
    target[names[-1]] = value


def _choices(space: Space, box: Box, field: str) -> list[Any]:
    side = box.get(field)
    if field == "amount":
        return _amounts(side if isinstance(side, Span) else Span(1, None))
    if field == "created_at":
        return _instants(side if isinstance(side, Span) else Span(None, None))
    values = side if isinstance(side, Values) else space.full(field)
    if not isinstance(values, Values):
        return [None]
    texts = texts_on(box, field)
    wanted = [sample for atom, true in box.items() if true is True for sample in _samples(atom, field)]
    if any(true for _, true in texts):
        wanted += [text for least in islice(shortest(texts), 6) for text in (least, f"{least}-1")]
    if values.complement:
        domain = sorted(space.domains.get(field, ()))
        common: list[Any] = [*wanted, *SAMPLES.get(field, ()), "something", "else", *domain]
        usable = [one for one in common if one not in values.values]
    else:
        usable = [_plain(one) for one in sorted(values.values, key=str)]
        usable.sort(key=lambda one: one not in SAMPLES.get(field, ()))
    fitting = (one for one in usable if not isinstance(one, str) or fits(texts, one))
    usable = [*islice(fitting, 6), *_integers(values.numbers)]
    absent = [None] if values.missing else []
    return usable + absent if wanted or not absent else absent + usable


def _integers(spans: Sequence[Span]) -> list[int]:
    lows = [span.low if span.low is not None else (span.high or 8) - 1 for span in spans]
    return lows[:3]


def _plain(value: object) -> object:
    if isinstance(value, Flag):
        return {Flag.TRUE: True, Flag.FALSE: False}.get(value, [])
    return value


def _samples(atom: object, field: str) -> list[Any]:  # noqa: PLR0911 - one return for each condition
    """Return values that make a condition on the field hold."""
    if isinstance(atom, AnyOf):
        return [sample for part in atom.parts for sample in _samples(part, field)]
    if getattr(atom, "field", None) != field:
        return []
    match atom:
        case Prefix(_, texts) | Suffix(_, texts):
            return list(texts)
        case Glob(_, patterns):
            return [pattern.replace("*", "").replace("?", "x") or "x" for pattern in patterns]
        case Bins(_, ranges):
            return [f"{one.low:0{one.digits}}".ljust(8, "0") for one in ranges]
        case Range(_, low, high):
            return [low if low is not None else (high or 0) - 1]
        case _:
            return []


def _amounts(span: Span) -> list[str]:
    low = 1 if span.low is None else max(span.low, 1)
    ten = 10 * POWERS[AMOUNT_SCALE]
    cent = POWERS[AMOUNT_SCALE - 2]
    tries = [ten, POWERS[AMOUNT_SCALE], low, -(-low // cent) * cent]
    if span.high is not None:
        tries += [(span.high - 1) // cent * cent, span.high - 1]
    good = [one for one in tries if one >= low and (span.high is None or one < span.high)]
    texts = [shown_amount(one) for one in dict.fromkeys(good)]
    return [text for text in texts if int(text.replace(".", "")) <= MAX_UNITS]


def _instants(span: Span) -> list[str]:
    day = timedelta(days=1) // MICROSECOND
    noon = (NOON - EPOCH) // MICROSECOND
    tries = [
        noon,
        span.low if span.low is not None else noon,
        span.high - day if span.high is not None else noon,
    ]
    tries += [span.high - 1] if span.high is not None else []
    inside = [
        one
        for one in tries
        if (span.low is None or one >= span.low) and (span.high is None or one < span.high)
    ]
    return [moment_text(one) for one in dict.fromkeys(inside)]
