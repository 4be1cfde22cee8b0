"""Why a rule does not hold for a payment: the first condition that failed, and what the payment has."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any as Anything

from schemas.payment import Payment
from worker.routing.asking import compile_asking
from worker.routing.conditions import (
    All,
    Among,
    Any,
    Bins,
    Condition,
    Exists,
    Glob,
    Not,
    Plugin,
    Prefix,
    Range,
    Suffix,
    Window,
)
from worker.routing.describe import MOST_SHOWN, describe, type_name, value_text
from worker.routing.fields import Kind, kind_of, raw_getter
from worker.routing.questions import NO_ANSWERS, Answers


@dataclass(frozen=True, slots=True)
class Failure:
    """The first condition of a rule that did not hold, and what the payment had instead."""

    condition: str
    actual: str


def first_failure(
    condition: Condition, payment: Payment, amount: int, now: datetime, answers: Answers = NO_ANSWERS
) -> Failure | None:
    """Return the first part of a condition that does not hold with the payment's own value, or None."""
    if isinstance(condition, All):
        for part in condition.parts:
            failure = first_failure(part, payment, amount, now, answers)
            if failure is not None:
                return failure
        return None
    if compile_asking(condition)(payment, amount, now, answers):
        return None
    clash = isinstance(condition, Among | Range) and _other_type(
        condition, raw_getter(condition.field)(payment)
    )
    return Failure(describe(condition, typed=clash), actual(condition, payment, now))


def actual(condition: Condition, payment: Payment, now: datetime) -> str:
    """Return what the payment has where the condition looks."""
    match condition:
        case Window():
            local = now.astimezone(condition.zone)
            return f"it is {local:%a %Y-%m-%d %H:%M} in {condition.zone_name}"
        case Plugin(use):
            return f"plugin {use.name} says no"
        case Not(part):
            return actual(part, payment, now)
        case Any(parts) | All(parts):
            return (
                "; ".join(dict.fromkeys(actual(part, payment, now) for part in parts)) or "nothing could hold"
            )
        case Among() | Range() | Prefix() | Suffix() | Glob() | Bins() | Exists():
            value = raw_getter(condition.field)(payment)
            typed = isinstance(condition, Among | Range) and _other_type(condition, value)
            return f"{condition.field} is {_shown(condition.field, value, typed=typed)}"


def _other_type(condition: Among | Range, value: Anything) -> bool:
    """Return whether a field that may hold any scalar holds another type than the condition asks for."""
    if value is None or kind_of(condition.field) is not Kind.OPEN:
        return False
    if isinstance(condition, Range):
        return type_name(value) != "number"
    return type_name(value) not in {type_name(one) for one in condition.values}


def _shown(field: str, value: Anything, *, typed: bool) -> str:
    if value is None:
        return "missing"
    if kind_of(field) is not Kind.OPEN:
        text = value if isinstance(value, str) else repr(value)
        return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
    return value_text(value, typed=typed)
