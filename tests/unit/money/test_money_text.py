"""Decimal text: what is read, what is refused and in which words."""

import pytest

from worker.errors import AmountNotText, AmountOverflow, InvalidAmount, TooManyDigits
from worker.money import MAX_SCALE, MAX_UNITS, MIN_UNITS, format_units, formatter, parse_units
from worker.money.text import POWERS, checked, shown


@pytest.mark.parametrize(
    "text, units, scale",
    [
        ("0", 0, 0),
        ("0.00", 0, 2),
        ("7", 7, 0),
        ("12.30", 1230, 2),
        ("-12.34", -1234, 2),
        ("-0.5", -5, 1),
        ("0.000125", 125, 6),
        ("0.000000000001", 1, 12),
        ("9223372036854775807", MAX_UNITS, 0),
        ("-9223372036854775808", MIN_UNITS, 0),
        ("9223372.036854775807", MAX_UNITS, 12),
        ("-9223372.036854775808", MIN_UNITS, 12),
    ],
)
def test_reads_plain_decimals_at_the_scale_they_are_written_in(text: str, units: int, scale: int) -> None:
    """A plain decimal is read as units at its own scale, and written back as it was."""
    assert parse_units(text) == (units, scale)
    assert format_units(units, scale) == text


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-", ".", "+1", "1.", ".5", "-.5", "1e3", "1E3", "1,000", "1_000", " 1", "1 ", "1\n", "--1",
        "1.2.3", "1.-2", "0x1", "NaN", "Infinity", "\u0661", "\u00b2", "1\u066b5", "\uff11", "1.\u0661",
        "-+1",
    ],
)  # fmt: skip
def test_refuses_every_other_form(text: str) -> None:
    """Signs, exponents, separators, blanks and digits of other scripts are not amounts."""
    with pytest.raises(InvalidAmount) as caught:
        parse_units(text)
    assert str(caught.value) == f'amount {text!r}: expected a plain decimal, such as "12.34" or "-0.5"'


@pytest.mark.parametrize("text", ["00", "007", "-01.5", "00.1"])
def test_refuses_zeros_that_mean_nothing(text: str) -> None:
    """A leading zero would not come back when the amount is written again."""
    with pytest.raises(InvalidAmount) as caught:
        parse_units(text)
    assert str(caught.value) == f"amount {text!r}: it must not begin with a zero that means nothing"


@pytest.mark.parametrize("text", ["-0", "-0.00"])
def test_refuses_negative_zero(text: str) -> None:
    """Zero has no sign, so a signed one would not come back."""
    with pytest.raises(InvalidAmount) as caught:
        parse_units(text)
    assert str(caught.value) == f"amount {text!r}: zero has no sign"


@pytest.mark.parametrize(
    "value, kind",
    [(1, "int"), (1.5, "float"), (True, "bool"), (None, "NoneType"), (b"1", "bytes")],
)
def test_refuses_what_is_not_text(value: object, kind: str) -> None:
    """Numbers, bytes and nothing at all are refused with their type."""
    with pytest.raises(AmountNotText) as caught:
        parse_units(value)
    assert str(caught.value) == f'amount {value!r} is of type {kind}: write it as text, such as "12.34"'


def test_refuses_more_than_twelve_decimals() -> None:
    """The thirteenth digit after the point is one too many, whatever it is."""
    with pytest.raises(TooManyDigits) as caught:
        parse_units("0.0000000000000")
    assert str(caught.value) == "amount '0.0000000000000': 13 digits after the point, 12 at most"


@pytest.mark.parametrize(
    "text, scale, most",
    [
        ("9223372036854775808", 0, "9223372036854775807"),
        ("-9223372036854775809", 0, "9223372036854775807"),
        ("92233720368547758.08", 2, "92233720368547758.07"),
        ("1" * 31, 0, "9223372036854775807"),
        ("9" * 32, 0, "9223372036854775807"),
    ],
)
def test_refuses_what_does_not_fit_in_64_bits(text: str, scale: int, most: str) -> None:
    """One more than the largest amount, and far more, is named with the largest."""
    with pytest.raises(AmountOverflow) as caught:
        parse_units(text)
    assert (
        str(caught.value)
        == f"amount '{text}' does not fit in 64 bits: at {scale} decimals {most} is the most"
    )


def test_never_converts_very_long_digit_strings() -> None:
    """A megabyte of digits is refused at once, before int() reads it, and shown cut."""
    with pytest.raises(AmountOverflow) as caught:
        parse_units("9" * 1_000_000)
    assert str(caught.value).startswith(f"amount '{'9' * 39}... does not fit")


@pytest.mark.parametrize(
    "units, scale, text",
    [
        (0, 0, "0"),
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (50, 2, "0.50"),
        (500, 2, "5.00"),
        (-5, 2, "-0.05"),
        (-500, 2, "-5.00"),
        (-7, 0, "-7"),
        (1, 12, "0.000000000001"),
        (10**30, 2, "1" + "0" * 28 + ".00"),
    ],
)
def test_writes_every_digit_of_the_scale(units: int, scale: int, text: str) -> None:
    """Units are written with exactly the scale's digits after the point, at any size."""
    assert format_units(units, scale) == text
    assert formatter(scale)(units) == text


def test_a_formatter_writes_both_sides_of_one_whole_unit() -> None:
    """Just below, at and above one unit, and below zero."""
    write = formatter(2)
    assert [write(units) for units in (-100, -99, 99, 100, 101)] == ["-1.00", "-0.99", "0.99", "1.00", "1.01"]


@pytest.mark.parametrize("scale", range(13))
def test_a_formatter_is_format_units_for_its_scale(scale: int) -> None:
    """At every scale, on both sides of zero and of one unit."""
    write, one = formatter(scale), 10**scale
    for units in (0, 1, -1, one - 1, one, one + 1, -one, 12_345 * one + 678, MAX_UNITS, MIN_UNITS):
        assert write(units) == format_units(units, scale)


@pytest.mark.parametrize("units", [MIN_UNITS, -1, 0, MAX_UNITS])
def test_checked_returns_what_fits(units: int) -> None:
    """Both ends of signed 64 bits fit."""
    assert checked(units, 2) == units


@pytest.mark.parametrize(
    "units, text", [(MAX_UNITS + 1, "9223372036854775808"), (MIN_UNITS - 1, "-9223372036854775809")]
)
def test_checked_refuses_the_next_one(units: int, text: str) -> None:
    """One past either end is refused, written as an amount."""
    with pytest.raises(AmountOverflow) as caught:
        checked(units, 0)
    assert str(caught.value) == (
        f"amount {text} does not fit in 64 bits: at 0 decimals 9223372036854775807 is the most"
    )


@pytest.mark.parametrize(
    "value, text",
    [
        ("abc", "'abc'"),
        (7, "7"),
        ("x" * 40, f"'{'x' * 40}'"),
        ("x" * 41, f"'{'x' * 39}..."),
        ("\x00" * 41, "'" + "\\x00" * 9 + "\\x0..."),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1..."),
        ("\n", "'\\n'"),
    ],
)
def test_messages_show_values_quoted_and_cut(value: object, text: str) -> None:
    """What an error shows is quoted, on one line, and at most 43 characters."""
    assert shown(value) == text


@pytest.mark.parametrize("cut_off", ["a'", "'", "''"])
def test_what_is_cut_off_decides_nothing(cut_off: str) -> None:
    """Not even which quotes the rest is shown in."""
    assert shown("a" * 41 + cut_off) == f"'{'a' * 39}..."


def test_bounds_are_those_of_signed_64_bits_and_twelve_decimals() -> None:
    """The promised bounds, and powers of ten as far as amounts times percentages reach."""
    assert (MIN_UNITS, MAX_UNITS, MAX_SCALE) == (-9223372036854775808, 9223372036854775807, 12)
    assert tuple(10**n for n in range(27)) == POWERS
