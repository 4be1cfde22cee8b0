"""Conditions compiled to closures over (payment, amount, now): for what the index cannot decide."""

from collections.abc import Callable
from datetime import datetime
from typing import Any as Anything
from typing import NoReturn, assert_never

from schemas.payment import Payment
from worker.routing import windows
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
from worker.routing.fields import getter, raw_getter
from worker.routing.questions import PluginNeeded, Question, Use

Check = Callable[[Payment, int, datetime], bool]
"""(payment, its amount in units of 10^-12, the time of routing) -> whether the condition holds."""
TextCondition = Prefix | Suffix | Glob | Bins


def compile_check(condition: Condition) -> Check:  # noqa: PLR0911 - one case for each condition
    """Return a closure that tells whether the condition holds; a plugin's raises ``PluginNeeded``."""
    match condition:
        case Among():
            return _among(condition)
        case Range():
            return _range(condition)
        case Prefix() | Suffix() | Glob() | Bins():
            return _on_text(condition.field, text_test(condition))
        case Exists(field):
            read = raw_getter(field)
            return lambda payment, _amount, _now: read(payment) is not None
        case Window():
            return lambda _payment, _amount, now: windows.holds(condition, now)
        case Plugin(use):
            return _unanswered(use)
        case All(parts):
            return _all([compile_check(part) for part in parts])
        case Any(parts):
            return _any([compile_check(part) for part in parts])
        case Not(part):
            check = compile_check(part)
            return lambda payment, amount, now: not check(payment, amount, now)
        case _:
            assert_never(condition)


def text_test(condition: TextCondition) -> Callable[[str], bool]:
    """Return a closure that tells whether a text fulfils the condition."""
    match condition:
        case Prefix(_, texts):
            return lambda value: value.startswith(texts)
        case Suffix(_, texts):
            return lambda value: value.endswith(texts)
        case Glob(_, patterns):
            return lambda value: any(fits(pattern, value) for pattern in patterns)
        case Bins():
            return lambda value: in_bins(condition, value)


def fits(pattern: str, text: str) -> bool:
    """Return whether the whole text fits a pattern of ``*`` and ``?``, in at most m * n steps."""
    at = star = 0
    anchor = -1
    i = 0
    while i < len(text):
        if at < len(pattern) and pattern[at] == "*":
            anchor, star = at, i
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[i]):
            at += 1
            i += 1
        elif anchor >= 0:
            star += 1
            at, i = anchor + 1, star
        else:
            return False
    return all(rest == "*" for rest in pattern[at:])


def in_bins(condition: Bins, text: str) -> bool:
    """Return whether the text's leading ASCII digits fall into one of the ranges."""
    for bins in condition.ranges:
        lead = text[: bins.digits]
        if (
            len(lead) == bins.digits
            and lead.isascii()
            and lead.isdigit()
            and bins.low <= int(lead) <= bins.high
        ):
            return True
    return False


def _unanswered(use: Use) -> Check:
    def check(payment: Payment, _amount: int, now: datetime) -> NoReturn:
        raise PluginNeeded(Question(use, (), (payment, now)))

    return check


def _among(condition: Among) -> Check:
    read, values = getter(condition.field), condition.values
    if condition.negated:
        return lambda payment, _amount, _now: (value := read(payment)) is not None and value not in values
    return lambda payment, _amount, _now: read(payment) in values


def _range(condition: Range) -> Check:
    low, high = condition.low, condition.high
    if condition.field == "amount":
        return lambda _payment, amount, _now: (
            (low is None or amount >= low) and (high is None or amount < high)
        )
    read = getter(condition.field)

    def check(payment: Payment, _amount: int, _now: datetime) -> bool:
        value = read(payment)
        if not isinstance(value, int):
            return False
        return (low is None or value >= low) and (high is None or value < high)

    return check


def _on_text(field: str, test: Callable[[str], bool]) -> Check:
    read = getter(field)

    def check(payment: Payment, _amount: int, _now: datetime) -> bool:
        value: Anything = read(payment)
        return isinstance(value, str) and test(value)

    return check


def _all(checks: list[Check]) -> Check:
    if len(checks) == 2:
        first, second = checks
        return lambda payment, amount, now: first(payment, amount, now) and second(payment, amount, now)

    def check(payment: Payment, amount: int, now: datetime) -> bool:
        for part in checks:  # noqa: SIM110 - a loop is twice as fast as all() over a generator
            if not part(payment, amount, now):
                return False
        return True

    return checks[0] if len(checks) == 1 else check


def _any(checks: list[Check]) -> Check:
    def check(payment: Payment, amount: int, now: datetime) -> bool:
        for part in checks:  # noqa: SIM110 - a loop is twice as fast as any() over a generator
            if part(payment, amount, now):
                return True
        return False

    return checks[0] if len(checks) == 1 else check
