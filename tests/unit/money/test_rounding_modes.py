"""Rounding modes by name and by value."""

import pytest

from worker.errors import InvalidMoneyRule
from worker.money import Rounding, divide, rescale
from worker.money.text import shown

TENTHS = (55, 25, 16, 11, 10, 5, 1, 0, -1, -5, -10, -11, -16, -25, -55)


@pytest.mark.parametrize(
    "mode, rounded",
    [
        # the table of java.math.RoundingMode for 5.5 2.5 1.6 1.1 1.0 and their negatives, and less
        (Rounding.UP, (6, 3, 2, 2, 1, 1, 1, 0, -1, -1, -1, -2, -2, -3, -6)),
        (Rounding.DOWN, (5, 2, 1, 1, 1, 0, 0, 0, 0, 0, -1, -1, -1, -2, -5)),
        (Rounding.CEILING, (6, 3, 2, 2, 1, 1, 1, 0, 0, 0, -1, -1, -1, -2, -5)),
        (Rounding.FLOOR, (5, 2, 1, 1, 1, 0, 0, 0, -1, -1, -1, -2, -2, -3, -6)),
        (Rounding.HALF_UP, (6, 3, 2, 1, 1, 1, 0, 0, 0, -1, -1, -1, -2, -3, -6)),
        (Rounding.HALF_DOWN, (5, 2, 2, 1, 1, 0, 0, 0, 0, 0, -1, -1, -2, -2, -5)),
        (Rounding.HALF_EVEN, (6, 2, 2, 1, 1, 0, 0, 0, 0, 0, -1, -1, -2, -2, -6)),
    ],
)
def test_each_mode_rounds_as_its_name_says(mode: Rounding, rounded: tuple[int, ...]) -> None:
    """Every mode gives the published results on both signs, ties included."""
    assert tuple(divide(tenths, 10, mode) for tenths in TENTHS) == rounded


@pytest.mark.parametrize("mode", [mode for mode in Rounding if mode is not Rounding.CARRY])
def test_whole_numbers_stay(mode: Rounding) -> None:
    """No mode changes what is whole already."""
    assert [divide(n * 7, 7, mode) for n in (-2, -1, 0, 1, 2)] == [-2, -1, 0, 1, 2]


@pytest.mark.parametrize("value", [mode.value for mode in Rounding])
def test_modes_are_found_by_their_wire_name(value: str) -> None:
    """The eight names are what rule files write."""
    assert Rounding.named(value).value == value


def test_there_are_exactly_the_eight_promised_modes() -> None:
    """The names are stable: they stand in rule files."""
    assert [mode.value for mode in Rounding] == [
        "half_even", "half_up", "half_down", "up", "down", "ceiling", "floor", "carry",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name, message",
    [
        ("half-even", "rounding 'half-even': did you mean half_even?"),
        ("flor", "rounding 'flor': did you mean floor?"),
        (
            "xyz",
            "rounding 'xyz': expected one of half_even, half_up, half_down, up, down, ceiling, floor, carry",
        ),
        (
            7,
            "rounding 7: expected one of half_even, half_up, half_down, up, down, ceiling, floor, carry",
        ),
    ],
)
def test_other_names_are_refused_with_the_nearest(name: str, message: str) -> None:
    """A typo is answered with the mode that was meant, anything else with all of them."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Rounding.named(name)
    assert str(caught.value) == message


@pytest.mark.parametrize("mode", ["xyz", None, [Rounding.UP]])
def test_what_is_no_mode_is_refused(mode: Rounding) -> None:
    """Wherever a mode is taken, nothing else is."""
    for compute in (lambda: divide(1, 2, mode), lambda: rescale(15, 1, 0, mode)):
        with pytest.raises(InvalidMoneyRule) as caught:
            compute()
        assert str(caught.value) == f"rounding {shown(mode)}: expected a Rounding"


def test_carry_cannot_round_without_its_remainder() -> None:
    """Carry is an accumulator; dividing by it would silently be another mode."""
    with pytest.raises(InvalidMoneyRule) as caught:
        divide(1, 2, Rounding.CARRY)
    assert str(caught.value) == (
        "rounding carry: it needs the remainder kept so far; name another mode where none is"
    )


def test_rescaling_up_is_exact_and_down_rounds_by_the_mode() -> None:
    """More decimals add zeros; fewer need the mode; the same scale changes nothing."""
    assert rescale(125, 2, 5, Rounding.DOWN) == 125_000
    assert rescale(125, 2, 2, Rounding.DOWN) == 125
    assert rescale(125, 2, 1, Rounding.HALF_EVEN) == 12
    assert rescale(125, 2, 1, Rounding.HALF_UP) == 13
    assert rescale(-125, 2, 0, Rounding.FLOOR) == -2
    assert rescale(5, 0, 40, Rounding.CARRY) == 5 * 10**40
    assert rescale(5, 2, 2, Rounding.CARRY) == 5
