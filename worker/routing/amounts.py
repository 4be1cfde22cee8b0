"""Amounts and instants as rules write them, turned into the integers that conditions compare."""

import re
from datetime import datetime

from worker.routing.conditions import All, Among, Condition, Range
from worker.routing.fields import amount_units, microseconds
from worker.routing.names import Names
from worker.routing.problems import Path

AMOUNT_TEXT = re.compile(r"((?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,12})?)(?: ([A-Z][A-Z0-9]{2,11}))?")
INSTANT_TEXT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)")


def read_amount(value: object, path: Path, names: Names) -> tuple[int, str | None] | None:
    """Return an amount in units of 10^-12 and its currency, None for any; report what is wrong."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        names.problems.add(path, f"the amount {value} is a number; write it in quotes: '{value}'")
        return None
    match = AMOUNT_TEXT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        names.problems.add(path, f"{value!r} is not an amount such as '10' or '10.00 EUR'")
        return None
    number, currency = match.groups()
    if currency is not None and (problem := names.currency_problem(currency)) is not None:
        names.problems.add(path, problem)
        return None
    return amount_units(number), currency


def read_instant(value: object, path: Path, names: Names) -> int | None:
    """Return microseconds since 1970 of an RFC 3339 text with an offset; report what is wrong."""
    if isinstance(value, str) and INSTANT_TEXT.fullmatch(value):
        try:
            return microseconds(datetime.fromisoformat(value))
        except ValueError:
            pass
    names.problems.add(
        path, f"{value!r} is not a date and time with an offset, such as '2026-01-31T09:00:00Z'"
    )
    return None


def bounds_of(operator: str, number: int) -> tuple[int | None, int | None]:
    """Return the half-open interval of integers that stand in this relation to ``number``."""
    return {
        "eq": (number, number + 1),
        "gt": (number + 1, None),
        "gte": (number, None),
        "lt": (None, number),
        "lte": (None, number + 1),
    }[operator]


def amount_range(low: int | None, high: int | None, currency: str | None) -> Condition:
    """Return the condition that an amount lies in a half-open interval, of a currency if one is named."""
    within = Range("amount", low, high)
    return within if currency is None else All((Among("currency", frozenset({currency})), within))
