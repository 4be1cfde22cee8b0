"""How long does each single operation take, with its checks, in integers, in objects and in py-moneyed?"""

from collections.abc import Callable, Mapping

import moneyed

from benchmarks.money_questions.timing import EUR, TEXTS, medians
from worker.errors import TooManyDigits
from worker.money import (
    ISO_4217,
    Amount,
    Money,
    Rounding,
    format_units,
    money_reader,
    parse_units,
    rescale,
)
from worker.money.text import checked

Operation = Callable[[str], object]
NO_GOAL = "format, their bare amount"


def measure_operations(rounds: int) -> dict[str, dict[str, float]]:
    """Return each operation's median microseconds in integers, in objects and in py-moneyed."""
    ways = ("integers", "objects", "py-moneyed")
    return {
        name: medians(dict(zip(ways, contestants, strict=True)), rounds, TEXTS)
        for name, contestants in operations().items()
    }


def operations() -> dict[str, tuple[Operation, Operation, Operation]]:
    """Return each operation by name, done in integers, in objects and by py-moneyed."""
    euro, mode, lookup, read = moneyed.EUR, Rounding.HALF_EVEN, ISO_4217.lookup, money_reader(ISO_4217)
    money, amount = Money(1234, EUR), Amount(12345, 3, EUR)
    theirs, precise = moneyed.Money("12.34", euro), moneyed.Money("12.345", euro)

    def parse_cents(text: str, exponent: int) -> int:
        units, scale = parse_units(text)
        if scale > exponent:
            raise TooManyDigits(text)
        return units if scale == exponent else units * 10 ** (exponent - scale)

    return {
        "parse, with the currency's code": (
            lambda text: parse_cents(text, lookup("EUR").exponent),
            lambda text: read(text, "EUR"),
            lambda text: moneyed.Money(text, "EUR"),
        ),
        "parse, with the currency at hand": (
            lambda text: parse_cents(text, 2),
            lambda text: Money.parse(text, EUR),
            lambda text: moneyed.Money(text, euro),
        ),
        "add": (lambda _: checked(1234 + 1234, 2), lambda _: money + money, lambda _: theirs + theirs),
        "round to the cent": (
            lambda _: rescale(12345, 3, 2, mode),
            lambda _: amount.rounded(2, mode),
            lambda _: precise.round(2),
        ),
        "format": (lambda _: format_units(1234, 2), lambda _: str(money), lambda _: str(theirs)),
        NO_GOAL: (lambda _: format_units(1234, 2), lambda _: str(money), lambda _: str(theirs.amount)),
    }


def operation_rows(operations: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the table of single operations, each held against py-moneyed in integers and in objects."""

    def verdict(name: str, ours: float, theirs: float) -> str:
        if name == NO_GOAL:
            return "no goal"
        return "met" if ours <= theirs else "missed"

    rows = []
    for name, found in operations.items():
        integers, objects, theirs = found["integers"], found["objects"], found["py-moneyed"]
        verdicts = f"{verdict(name, integers, theirs)} | {verdict(name, objects, theirs)}"
        rows.append(f"| {name} | {integers:.2f} | {objects:.2f} | {theirs:.2f} | {verdicts} |")
    return rows
