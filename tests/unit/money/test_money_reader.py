"""Reading text and code to money in one pass."""

import copy
import pickle
from collections.abc import Callable
from enum import StrEnum

import pytest

from worker.errors import WorkerError
from worker.money import ISO_4217, Currency, Money, money_reader

Read = Callable[[str, str], Money]

REGISTRY = ISO_4217.with_units(Currency("BTC", 8))

WRITTEN_ELSEWISE = ["12.3", "12", "-12.34", "1234567890123456.78", "0", "-0.01", "92233720368547758.07"]
WRONG = [
    "", ".", "5.", ".50", "00.50", "012.34", "1.2.34", "12.345", "+1.00", "-0.00", " 1.00", "1.00 ", "1_0.00",
    "1,00", "1e2", "\u0663.\u0660\u0660", "1.0\u00b2", "9" * 5000, "92233720368547758.08", None, True, 1.5,
    12, b"1.00", ["1.00"],
]  # fmt: skip
CODES = ["EUR", "JPY", "KWD", "BTC", "XAU", "XXX", "EURO", "eur", "HRK", "", None, 978, ["EUR"]]


class Text(str):
    """Text of another type, which splits as it likes."""

    __slots__ = ()

    def partition(self, _separator: str) -> tuple[str, str, str]:
        return "1", ".", "00"


class Code(StrEnum):
    """A code of a caller's own enumeration."""

    EURO = "EUR"


@pytest.fixture
def read() -> Read:
    return money_reader(REGISTRY)


def parse(text: str, code: str) -> Money:
    return Money.parse(text, REGISTRY.lookup(code))


def outcome(way: Read, text: str, code: str) -> object:
    try:
        money = way(text, code)
    except WorkerError as error:
        return type(error), str(error)
    return type(money), money, repr(money), hash(money)


@pytest.mark.parametrize(
    "text, code, units",
    [
        ("12.34", "EUR", 1234),
        ("0.05", "EUR", 5),
        ("99999999999.99", "EUR", 9_999_999_999_999),
        ("1.00", "EUR", 100),
        ("1234", "JPY", 1234),
        ("0", "JPY", 0),
        ("1.234", "KWD", 1234),
        ("0.00000001", "BTC", 1),
    ],
)
def test_text_at_the_exponent_is_money_in_one_pass(
    monkeypatch: pytest.MonkeyPatch, read: Read, text: str, code: str, units: int
) -> None:
    """Units and currency are those of the text and the code, without parsing the long way."""
    expected = Money(units, REGISTRY.lookup(code))
    monkeypatch.setattr(Money, "parse", None)
    money = read(text, code)
    assert (type(money), money, hash(money)) == (Money, expected, hash(expected))


@pytest.mark.parametrize("text", ["12.34", "1234", *WRITTEN_ELSEWISE, *WRONG, Text("12.34")])
def test_all_else_is_what_parse_makes_of_it(read: Read, text: str) -> None:
    """Other forms, amounts near the bounds and every refusal are the same either way, for every code."""
    for code in (*CODES, Code.EURO):
        assert outcome(read, text, code) == outcome(parse, text, code)


def test_money_that_was_read_is_as_immutable_as_any(read: Read) -> None:
    """No attribute can be changed, added or removed."""
    money = read("12.34", "EUR")
    for change in (
        lambda: setattr(money, "units", 5),
        lambda: setattr(money, "note", 5),
        lambda: delattr(money, "units"),
    ):
        with pytest.raises((AttributeError, TypeError)):  # CPython has TypeError for names that are no field
            change()
    assert not hasattr(money, "__dict__")


def test_money_that_was_read_can_be_copied_and_pickled(read: Read) -> None:
    """A copy is equal, and money."""
    money = read("12.34", "EUR")
    for other in (copy.copy(money), copy.deepcopy(money), pickle.loads(pickle.dumps(money))):  # noqa: S301 - ours
        assert (type(other), other) == (Money, money)
