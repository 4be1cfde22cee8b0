"""What dead letters add up to, exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.dead_letters import dead_letter
from worker.dead_letters import DeadLetter, Totals, plain_amount
from worker.money import MAX_SCALE, parse_units
from worker.money.text import POWERS


def letter(value: str, currency: str = "EUR", code: str = "no_route") -> DeadLetter:
    return dead_letter(
        b'{"amount":{"value":"%s","currency":"%s"}}' % (value.encode(), currency.encode()), code=code
    )


def totals_of(*letters: DeadLetter) -> Totals:
    totals = Totals()
    for one in letters:
        totals.add(one)
    return totals


def test_sums_are_by_code_and_currency_the_most_frequent_code_first() -> None:
    """Each pair has its own row; what has no readable amount is counted without one, last of its code."""
    totals = totals_of(
        letter("1", "USD", "held"),
        dead_letter(b"{bad"),
        letter("0.10", "USD"),
        letter("10.005"),
        letter("0.1", "JPY", "held"),
        letter("0.2"),
    )
    assert list(totals.rows()) == [
        ("no_route", "EUR", 2, "10.205"),
        ("no_route", "USD", 1, "0.10"),
        ("no_route", None, 1, None),
        ("held", "JPY", 1, "0.1"),
        ("held", "USD", 1, "1.00"),
    ]
    assert totals.by_currency() == [("EUR", "10.205"), ("JPY", "0.1"), ("USD", "1.10")]
    assert (totals.letters, totals.codes) == (6, {"no_route", "held"})


def test_sums_go_beyond_64_bits() -> None:
    """Three amounts that each fill 64 bits add up without losing a unit."""
    most = "9223372.036854775807"
    assert totals_of(*[letter(most)] * 3).by_currency() == [("EUR", "27670116.110564327421")]


@pytest.mark.parametrize(
    ("units", "currency", "text"),
    [
        (120 * 10**12, "JPY", "120"),
        (5 * 10**11, "KWD", "0.500"),
        (-(10**10), "EUR", "-0.01"),
        (1, "EUR", "0.000000000001"),
        (0, "EUX", "0.00"),
    ],
)
def test_amount_has_its_currencys_decimals_or_more(units: int, currency: str, text: str) -> None:
    """No digit is cut off, and none is added that says nothing."""
    assert plain_amount(units, currency) == text


@given(st.integers(-(10**40), 10**40), st.sampled_from(["EUR", "JPY", "KWD", "EUX"]))
def test_amount_reads_back_as_it_was(units: int, currency: str) -> None:
    """The text stands for exactly the units that were written, at any size."""
    whole, _, fraction = plain_amount(units, currency).partition(".")
    assert int(whole + fraction) * POWERS[MAX_SCALE - len(fraction)] == units


@given(st.lists(st.decimals(-1000, 1000, places=12), max_size=20))
def test_sum_is_that_of_the_amounts(values: list[object]) -> None:
    """The order and the number of letters make no difference to the unit."""
    texts = [f"{value:f}" for value in values if f"{value:f}" != "-0.000000000000"]
    totals = totals_of(*(letter(text) for text in texts))
    expected = sum(parse_units(text)[0] for text in texts)
    assert sum(one.units for one in totals.sums.values()) == expected
