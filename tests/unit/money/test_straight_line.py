"""The straight line: what it computes itself, what it leaves to the careful path, and how it reads."""

import pytest

from worker.money import MAX_UNITS, Rounding
from worker.money.steps import Step
from worker.money.straight import ChargeUnits, charge_source, straight_line

PERCENT_AND_FIXED = Step(None, False, (), ((29, 30000),), 0, 1000, 50, 1000)
TAX = Step((0,), False, (), ((1, 0),), 0, 5, 0, MAX_UNITS)
CAREFUL = (0, 0, 0, ())


def careful(units: object, scale: object, items: object = 1) -> tuple[int, int, int, tuple[int, ...]]:
    return CAREFUL


def line(*steps: Step, mode: Rounding = Rounding.HALF_EVEN, inclusive: bool = True) -> ChargeUnits:
    return straight_line(steps, 2, mode, careful, inclusive=inclusive)


@pytest.mark.parametrize(
    "units, result",
    [
        (1234, (1234, 1155, 2, (66, 13))),
        (500, (500, 440, 2, (50, 10))),
        (60, (60, 0, 2, (50, 10))),
        (100_000, (100_000, 98_800, 2, (1000, 200))),
        (MAX_UNITS, (MAX_UNITS, MAX_UNITS - 1200, 2, (1000, 200))),
    ],
)
def test_the_ordinary_case_is_computed_here(units: int, result: tuple[object, ...]) -> None:
    """Percentage, fixed sum, limits and tax of an amount at the exponent."""
    assert line(PERCENT_AND_FIXED, TAX)(units, 2) == result


@pytest.mark.parametrize(
    "arguments",
    [
        (59, 2), (0, 2), (-1, 2), (MAX_UNITS + 1, 2), (1234, 3), (1234, 1), (True, 2), (12.5, 2), (1234, 2.0),
        (1234, 2, -1), (1234, 2, 1_000_001), (1234, 2, True), (1234, 2, 1.0),
    ],
)  # fmt: skip
def test_every_other_case_is_left_to_the_careful_path(arguments: tuple[int, ...]) -> None:
    """Fees larger than the amount, other scales, bounds and types, and items out of range."""
    assert line(PERCENT_AND_FIXED, TAX)(*arguments) is CAREFUL


@pytest.mark.parametrize("items, fee", [(0, 0), (1, 3), (2, 6), (1_000_000, 3_000_000)])
def test_items_are_counted(items: int, fee: int) -> None:
    """A sum an item, from none to a million of them."""
    per_item = Step(None, False, (), ((0, 0),), 3, 1, 0, MAX_UNITS)
    assert line(per_item)(10**9, 2, items) == (10**9, 10**9 - fee, 2, (fee,))
    assert line(per_item)(10, 2) == (10, 7, 2, (3,))


@pytest.mark.parametrize("units, fee", [(25, 2), (35, 4), (26, 3), (24, 2), (45, 4)])
def test_ties_go_to_even_in_line(units: int, fee: int) -> None:
    """A tenth of the amount, rounded half even without a call."""
    assert line(Step(None, False, (), ((1, 0),), 0, 10, 0, MAX_UNITS))(units, 2)[3] == (fee,)


@pytest.mark.parametrize("units, fee", [(3, 0), (4, 1), (10, 1), (11, 2), (17, 2), (18, 3)])
def test_an_odd_denominator_has_no_ties(units: int, fee: int) -> None:
    """A seventh of the amount, to the nearest."""
    assert line(Step(None, False, (), ((1, 0),), 0, 7, 0, MAX_UNITS))(units, 2)[3] == (fee,)


def test_more_than_64_bits_is_left_to_the_careful_path() -> None:
    """A fee without a maximum that no amount could pay is never charged in line."""
    huge = Step(None, False, (), ((3, 0),), 0, 1, 0, MAX_UNITS)
    assert line(huge)(MAX_UNITS, 2) is CAREFUL
    assert line(huge, inclusive=False)(MAX_UNITS, 2) is CAREFUL


@pytest.mark.parametrize("mode, fee", [(Rounding.UP, 4), (Rounding.DOWN, 3), (Rounding.HALF_UP, 4)])
def test_other_modes_are_called(mode: Rounding, fee: int) -> None:
    """A tenth of 35, by each mode's own division, within limits."""
    assert line(Step(None, False, (), ((1, 0),), 0, 10, 0, MAX_UNITS), mode=mode)(35, 2)[3] == (fee,)
    assert line(Step(None, False, (), ((1, 0),), 0, 10, 9, MAX_UNITS), mode=mode)(35, 2)[3] == (9,)
    assert line(Step(None, False, (), ((1, 0),), 0, 10, 0, 2), mode=mode)(35, 2)[3] == (2,)


def test_tiers_remaining_bases_and_taxes_on_some() -> None:
    """Each kind of base: tiers by size, what is left, and fees by position."""
    tiered = Step(None, False, (100, 200), ((10, 0), (5, 500), (1, 1300)), 0, 100, 0, MAX_UNITS)
    remaining = Step(None, True, (), ((10, 0),), 0, 100, 0, MAX_UNITS)
    tax = Step((0, 1), False, (), ((50, 0),), 0, 100, 0, MAX_UNITS)
    only = Step((1,), False, (), ((50, 0),), 0, 100, 0, MAX_UNITS)
    charge = line(tiered, remaining, tax, only)
    assert [charge(units, 2)[3] for units in (100, 101, 200, 201, 1000)] == [
        (10, 9, 10, 4), (10, 9, 10, 4), (15, 18, 16, 9), (15, 19, 17, 10), (23, 98, 60, 49),
    ]  # fmt: skip


def test_nothing_remaining_is_no_base_below_zero() -> None:
    """A base that fees have used up is zero, not less."""
    flat = Step(None, False, (), ((0, 200),), 0, 1, 0, MAX_UNITS)
    remaining = Step(None, True, (), ((1, 0),), 0, 2, 0, MAX_UNITS)
    assert line(flat, remaining, inclusive=False)(100, 2) == (300, 100, 2, (200, 0))
    assert line(flat, remaining)(100, 2) is CAREFUL


def test_exclusive_fees_are_added_while_they_fit() -> None:
    """On top, up to 64 bits; beyond, the careful path says so."""
    flat = Step(None, False, (), ((0, 5),), 0, 1, 0, MAX_UNITS)
    charge = line(flat, inclusive=False)
    assert charge(100, 2) == (105, 100, 2, (5,))
    assert charge(MAX_UNITS - 5, 2) == (MAX_UNITS, MAX_UNITS - 5, 2, (5,))
    assert charge(MAX_UNITS - 4, 2) is CAREFUL


def test_half_even_is_written_out_and_other_modes_are_called() -> None:
    """The commonest mode costs no call, and a traceback says where it comes from."""
    written, called = line(PERCENT_AND_FIXED), line(PERCENT_AND_FIXED, mode=Rounding.UP)
    assert "divide" not in written.__code__.co_names
    assert "divide" in called.__code__.co_names
    assert written.__code__.co_filename == "<fee schedule>"


def test_no_steps_charge_nothing() -> None:
    """A schedule without fees is a line too, and so is a tax on nothing."""
    assert line()(5, 2) == (5, 5, 2, ())
    assert line(inclusive=False)(5, 2) == (5, 5, 2, ())
    assert line(Step((), False, (), ((1, 0),), 0, 5, 0, MAX_UNITS))(5, 2) == (5, 5, 2, (0,))


def test_the_source_can_be_read() -> None:
    """What is computed stands there, in the schedule's own integers."""
    assert charge_source((PERCENT_AND_FIXED, TAX), 2, Rounding.HALF_EVEN, inclusive=True) == (
        "def charge_units(units, scale, items=1):\n"
        "    if (type(units) is int and type(scale) is int and type(items) is int and scale == 2\n"
        "            and 0 < units <= 9223372036854775807 and 0 <= items <= 1000000):\n"
        "        raised = units * 29 + 30000 + 500\n"
        "        fee0 = raised // 1000\n"
        "        if fee0 & 1 and fee0 * 1000 == raised:\n"
        "            fee0 -= 1\n"
        "        if fee0 < 50:\n"
        "            fee0 = 50\n"
        "        if fee0 > 1000:\n"
        "            fee0 = 1000\n"
        "        fee1 = ((fee0) * 1 + 0 + 2) // 5\n"
        "        taken = fee0 + fee1\n"
        "        net = units - taken\n"
        "        if net >= 0 and net + fee0 + fee1 == units:\n"
        "            return units, net, 2, (fee0, fee1, )\n"
        "    return careful(units, scale, items)\n"
    )
