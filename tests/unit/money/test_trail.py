"""The rounding trail."""

import pytest

from worker.money import Rounding, RoundingStep
from worker.money.trail import exact_text

STEP = RoundingStep("processing", 1_2345, 100, Rounding.HALF_EVEN, 123, 2, "EUR")


@pytest.mark.parametrize(
    "numerator, denominator, text",
    [
        (0, 1, "0"),
        (0, 7, "0"),
        (10, 5, "2"),
        (1, 2, "0.5"),
        (-1, 8, "-0.125"),
        (1, 20, "0.05"),
        (12345, 10000, "1.2345"),
        (10, 3, "10/3"),
        (-20, 6, "-10/3"),
        (9, 3, "3"),
        (9, 6, "1.5"),
        (1, 25, "0.04"),
        (100, 1, "100"),
        (1, 6, "1/6"),
        (1, 5**40, f"0.{2**40:040d}"),
        (1, 2**40, f"0.{5**40:040d}"),
    ],
)
def test_fractions_are_exact_text(numerator: int, denominator: int, text: str) -> None:
    """A fraction that ends is a decimal without needless zeros; another is shown in lowest terms."""
    assert exact_text(numerator, denominator) == text


def test_a_step_shows_what_it_did_in_whole_units() -> None:
    """Exact value, result and remainder are in the currency's own units."""
    assert (STEP.exact, STEP.rounded, STEP.remainder) == ("1.2345", "1.23", "0.0045")


def test_a_step_reads_as_a_line() -> None:
    """People read one line a rounding."""
    assert str(STEP) == "processing: 1.2345 -> 1.23 EUR (half_even, remainder 0.0045)"


def test_a_step_is_text_by_name() -> None:
    """The journal and --json get the same facts by name."""
    assert STEP.as_dict() == {
        "step": "processing",
        "exact": "1.2345",
        "mode": "half_even",
        "result": "1.23",
        "remainder": "0.0045",
        "currency": "EUR",
    }
