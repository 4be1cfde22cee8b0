"""The ordinary case is done the short way; the long way, which gives the same, is for all else."""

from collections.abc import Callable

import pytest

from worker.money import Share, Split, allocation, formatter, parse_units, text


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str], None]:
    """Return what makes a function of a module fail when it is called."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise AssertionError("the long way was taken")

    return lambda owner, name: monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize(
    "written, units, scale",
    [
        ("0", 0, 0),
        ("1", 1, 0),
        ("12", 12, 0),
        ("0.05", 5, 2),
        ("1.00", 100, 2),
        ("12.345", 12345, 3),
        ("0.000000000001", 1, 12),
        ("12345678901234", 12_345_678_901_234, 0),
    ],
)
def test_plain_text_is_read_in_one_pass(
    forbid: Callable[[object, str], None], written: str, units: int, scale: int
) -> None:
    """Amounts of up to fourteen characters are units and scale at once."""
    forbid(text, "_parse_slowly")
    assert parse_units(written) == (units, scale)


@pytest.mark.parametrize(
    "scale, units, written",
    [(1, 0, "0.0"), (2, 0, "0.00"), (2, 1, "0.01"), (2, 1234, "12.34"), (3, 1234, "1.234")],
)
def test_common_decimals_are_looked_up(
    forbid: Callable[[object, str], None], scale: int, units: int, written: str
) -> None:
    """Up to three decimals, the text after the point is made in advance."""
    forbid(text, "format_units")
    assert formatter(scale)(units) == written


@pytest.mark.parametrize("total", [0, 1, 100])
def test_splitting_a_payment_checks_its_sum_alone(forbid: Callable[[object, str], None], total: int) -> None:
    """Without an increment, shares that add up are returned as they are."""
    split = Split((Share("a", 1), Share("b", 1)))
    forbid(allocation, "_parts")
    forbid(allocation, "_checked_shares")
    assert sum(split.units(total)) == total
