"""Cases that other libraries publish for allocation and rounding, re-typed as data."""

import pytest

from worker.money import Rounding, allocate, divide, parse_units

# moneyphp/money: allocationExamples and allocationTargetExamples of its tests, doc/features/allocation.rst.
# Left out: its fractional ratio, and -5 by 7 and 3, which it splits into -3 and -2; ours mirrors the payment.
MONEYPHP_ALLOCATIONS = [
    (100, [1, 1, 1], [34, 33, 33]),
    (101, [1, 1, 1], [34, 34, 33]),
    (5, [3, 7], [2, 3]),
    (5, [7, 3], [4, 1]),
    (5, [7, 3, 0], [4, 1, 0]),
    (5, [0, 7, 3], [0, 4, 1]),
    (5, [7, 0, 3], [4, 0, 1]),
    (5, [0, 0, 1], [0, 0, 5]),
    (5, [0, 3, 7], [0, 2, 3]),
    (0, [0, 0, 1], [0, 0, 0]),
    (2, [1, 1, 1], [1, 1, 0]),
    (1, [1, 1], [1, 0]),
    (101, [3, 7], [30, 71]),
    (101, [7, 3], [71, 30]),
    (15, [1, 1], [8, 7]),
    (10, [1, 1], [5, 5]),
    (15, [1, 1, 1], [5, 5, 5]),
    (10, [1, 1, 1], [4, 3, 3]),
    (5, [70, 30], [4, 1]),
    (5, [30, 70], [2, 3]),
    (800, [1, 1, 1], [267, 267, 266]),
]

# Rhymond/go-money: TestMoney_Allocate and TestMoney_Allocate3 of money_test.go
GO_MONEY_ALLOCATIONS = [
    (100, [50, 50], [50, 50]),
    (100, [30, 30, 30], [34, 33, 33]),
    (200, [25, 25, 50], [50, 50, 100]),
    (5, [50, 25, 25], [3, 1, 1]),
    (100, [33, 33, 33], [34, 33, 33]),
]

# RubyMoney/money: whole amounts of spec/money/allocation_spec.rb, its decimal ratios times ten
RUBY_MONEY_ALLOCATIONS = [
    (100, [1], [100]),
    (100, [5], [100]),
    (100, [1, 1], [50, 50]),
    (100, [1, 1, 2], [25, 25, 50]),
    (100, [7, 3], [70, 30]),
    (10, [1, 2, 1], [3, 5, 2]),
    (10, [1, 1, 2], [3, 2, 5]),
    (100, [1, 1, 0], [50, 50, 0]),
    (100, [0, 1, 1], [0, 50, 50]),
    (5, [1, 1], [3, 2]),
    (100, [1] * 6, [17, 17, 17, 17, 16, 16]),
    (100, [1] * 5, [20] * 5),
]

# moneyphp/money: tests/RoundExamples.php in the modes that exist here
MONEYPHP_ROUNDINGS = [
    ("2.6", Rounding.HALF_EVEN, 3),
    ("2.5", Rounding.HALF_EVEN, 2),
    ("3.5", Rounding.HALF_EVEN, 4),
    ("-2.6", Rounding.HALF_EVEN, -3),
    ("-2.5", Rounding.HALF_EVEN, -2),
    ("-3.5", Rounding.HALF_EVEN, -4),
    ("2", Rounding.HALF_EVEN, 2),
    ("2.5", Rounding.HALF_DOWN, 2),
    ("2.6", Rounding.HALF_DOWN, 3),
    ("-2.5", Rounding.HALF_DOWN, -2),
    ("-2.6", Rounding.HALF_DOWN, -3),
    ("2", Rounding.HALF_DOWN, 2),
    ("12.50", Rounding.HALF_DOWN, 12),
    ("-12.50", Rounding.HALF_DOWN, -12),
    ("-8328.5", Rounding.HALF_DOWN, -8328),
    ("2.2", Rounding.HALF_UP, 2),
    ("2.5", Rounding.HALF_UP, 3),
    ("2", Rounding.HALF_UP, 2),
    ("-2.5", Rounding.HALF_UP, -3),
    ("-2", Rounding.HALF_UP, -2),
    ("-1.5", Rounding.HALF_UP, -2),
    ("-8328.578947368", Rounding.HALF_UP, -8329),
    ("-8328.5", Rounding.HALF_UP, -8329),
]


@pytest.mark.parametrize(
    "total, ratios, shares", MONEYPHP_ALLOCATIONS + GO_MONEY_ALLOCATIONS + RUBY_MONEY_ALLOCATIONS
)
def test_allocates_as_other_libraries_publish(total: int, ratios: list[int], shares: list[int]) -> None:
    """Three libraries' own cases of splitting by ratios."""
    assert allocate(total, ratios) == shares


@pytest.mark.parametrize("text, mode, rounded", MONEYPHP_ROUNDINGS)
def test_rounds_as_another_library_publishes(text: str, mode: Rounding, rounded: int) -> None:
    """One library's own cases of rounding, as decimals."""
    units, scale = parse_units(text)
    assert divide(units, 10**scale, mode) == rounded
