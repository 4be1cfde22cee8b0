"""Percentages."""

import pytest

from worker.errors import InvalidMoneyRule
from worker.money import Percent


@pytest.mark.parametrize(
    "text, units, scale, per_1e14",
    [
        ("2.9", 29, 1, 2_900_000_000_000),
        ("0.0125", 125, 4, 12_500_000_000),
        ("0", 0, 0, 0),
        ("100", 100, 0, 10**14),
        ("0.000000000001", 1, 12, 1),
    ],
)
def test_reads_exact_decimals(text: str, units: int, scale: int, per_1e14: int) -> None:
    """A percentage is the decimal that was written, and its factor is an integer at 14 decimals."""
    percent = Percent.parse(text)
    assert (percent.units, percent.scale, percent.per_1e14, str(percent)) == (units, scale, per_1e14, text)


def test_basis_points_are_hundredths_of_a_percent() -> None:
    """290 basis points are 2.90 %."""
    assert Percent.of_basis_points(290) == Percent(290, 2)
    assert Percent(29) == Percent(29, 0)


@pytest.mark.parametrize("text", ["2.9%", "1e1", "", "+3", " 3", "0.0000000000001", 2.9, 3])
def test_refuses_other_forms(text: str) -> None:
    """A percentage is plain decimal text, as amounts are."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Percent.parse(text)
    assert str(caught.value) == f'percentage {text!r}: expected plain decimal text, such as "2.9"'


@pytest.mark.parametrize("text", ["-1", "100.01", "101", "-0.5"])
def test_refuses_what_is_not_from_0_to_100(text: str) -> None:
    """Less than nothing and more than all are not percentages of a fee."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Percent.parse(text)
    assert str(caught.value) == f"percentage {text}: expected 0 to 100"


@pytest.mark.parametrize(
    "units, scale", [(True, 0), (2.9, 0), ("2", 0), (2, 13), (2, -1), (2, True), (2, 1.0)]
)
def test_refuses_what_is_not_an_integer_at_a_scale(units: int, scale: int) -> None:
    """Floats and booleans are refused at the door, and scales outside 0 to 12."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Percent(units, scale)
    assert str(caught.value) == (
        f"percentage of {units!r} units at scale {scale!r}: expected integers, the scale from 0 to 12"
    )
