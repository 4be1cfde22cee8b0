"""Conditions in the words of the rule file, for people who ask why."""

import json
from typing import assert_never

from schemas.rule_conditions import DAYS
from worker.routing.conditions import (
    MINUTES_PER_DAY,
    All,
    Among,
    Any,
    Bins,
    Condition,
    Exists,
    Flag,
    Glob,
    Not,
    Plugin,
    Prefix,
    Range,
    Suffix,
    Value,
    Window,
)
from worker.routing.fields import Kind, kind_of, moment_text
from worker.routing.problems import listing
from worker.routing.processors import shown_amount

MOST_VALUES = 8
MOST_SHOWN = 60
"""Characters of a payment's own value that are shown."""


def describe(  # noqa: C901, PLR0911, PLR0912 - one case for each condition
    condition: Condition, *, typed: bool = False
) -> str:
    """Return the condition as one line of text; ``typed`` says of which type its values are."""
    match condition:
        case Among(field, values, negated):
            return _among(field, values, negated=negated, typed=typed)
        case Range():
            return f"{_range(condition)}{', as a number' if typed else ''}"
        case Prefix(field, texts):
            return f"{field} begins with {listing(texts, MOST_VALUES)}"
        case Suffix(field, texts):
            return f"{field} ends with {listing(texts, MOST_VALUES)}"
        case Glob(field, patterns):
            return f"{field} fits {listing(patterns, MOST_VALUES)}"
        case Bins(field, ranges):
            shown = [_bin(one.digits, one.low, one.high) for one in ranges]
            return f"{field} is in card range {listing(shown, MOST_VALUES)}"
        case Exists(field):
            return f"{field} is there"
        case Window():
            return _window(condition)
        case Plugin(use):
            arguments = "" if use.arguments == "{}" else f" {use.arguments}"
            return f"plugin {use.name}{arguments} says yes"
        case All((part,)) | Any((part,)):
            return describe(part)
        case All(parts):
            return "anything" if not parts else " and ".join(_nested(part) for part in parts)
        case Any(parts):
            return "nothing" if not parts else " or ".join(_nested(part) for part in parts)
        case Not(part):
            return f"not {_nested(part)}"
        case _:
            assert_never(condition)


def _nested(condition: Condition) -> str:
    text = describe(condition)
    return f"({text})" if isinstance(condition, All | Any) and len(condition.parts) > 1 else text


def type_name(value: object) -> str:
    """Return what a value of an open field is to people: text, a number, a boolean or something else."""
    if isinstance(value, Flag | bool):
        return "other" if value is Flag.OTHER else "boolean"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, int) else "other"


def value_text(value: object, *, typed: bool = False) -> str:
    """Return a value of an open field: text in quotes, others bare; ``typed`` names the type."""
    kind = type_name(value)
    if kind == "boolean":
        text = str(value).lower()
    else:
        text = json.dumps(value, ensure_ascii=False) if kind in ("text", "number") else repr(value)
    text = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
    return f"the {kind} {text}" if typed and kind in ("text", "number") else text


def _among(field: str, values: frozenset[Value], *, negated: bool, typed: bool = False) -> str:
    is_open = kind_of(field) is Kind.OPEN
    shown = sorted(value_text(value, typed=typed) if is_open else str(value) for value in values)
    if len(shown) == 1:
        return f"{field} is {'not ' if negated else ''}{shown[0]}"
    return f"{field} is {'none' if negated else 'one'} of {listing(shown, MOST_VALUES)}"


def _number(field: str, number: int) -> str:
    if field == "amount":
        return shown_amount(number)
    return moment_text(number) if field == "created_at" else str(number)


def _range(condition: Range) -> str:
    field, low, high = condition.field, condition.low, condition.high
    if low is not None and high is not None and high - low == 1:
        return f"{field} is {_number(field, low)}"
    if low is not None and high is not None and low >= high:
        return f"{field} is in an empty range"
    parts = []
    if low is not None:
        exact = _rounder(field, low - 1, low)
        parts.append(f"above {_number(field, low - 1)}" if exact else f"at least {_number(field, low)}")
    if high is not None:
        exact = _rounder(field, high - 1, high)
        parts.append(f"at most {_number(field, high - 1)}" if exact else f"below {_number(field, high)}")
    return f"{field} is {' and '.join(parts)}"


def _rounder(field: str, one: int, other: int) -> bool:
    """Return whether ``one`` is what a person wrote: the shorter of two neighbouring amounts."""
    return field == "amount" and len(shown_amount(one)) < len(shown_amount(other))


def _bin(digits: int, low: int, high: int) -> str:
    return f"{low:0{digits}}" if low == high else f"{low:0{digits}}-{high:0{digits}}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _window(window: Window) -> str:
    parts = []
    if len(window.days) < len(DAYS):
        parts.append(f"on {listing(day for i, day in enumerate(DAYS) if i in window.days)}")
    if (window.start, window.end) != (0, MINUTES_PER_DAY):
        parts.append(f"from {_clock(window.start)} to {_clock(window.end)} in {window.zone_name}")
    if window.after is not None:
        parts.append(f"from {moment_text(window.after)}")
    if window.before is not None:
        parts.append(f"before {moment_text(window.before)}")
    return f"the time is {' '.join(parts) or 'any'}"
