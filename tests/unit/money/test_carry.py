"""Carry: the accumulator that keeps what rounding leaves."""

import pytest

from worker.errors import AmountOverflow, InvalidAmount
from worker.money import Carry


def test_gives_each_remainder_to_the_next() -> None:
    """Four quarters of a cent make one cent, when the second half is reached."""
    carry, results = Carry(), []
    for _ in range(8):
        units, carry = carry.round(1, 4)
        results.append((units, str(carry)))
    assert results == [
        (0, "1/4"), (0, "1/2"), (1, "-1/4"), (0, "0"), (0, "1/4"), (0, "1/2"), (1, "-1/4"), (0, "0"),
    ]  # fmt: skip


def test_negative_values_carry_the_same_way() -> None:
    """A refund of quarters is the mirror image."""
    units, carry = Carry().round(-3, 4)
    assert (units, carry) == (-1, Carry(1, 4))


def test_whole_values_leave_the_remainder_as_it_was() -> None:
    """Nothing is lost and nothing is used up by whole units."""
    assert Carry(1, 4).round(8, 2) == (4, Carry(1, 4))


def test_remainders_of_different_denominators_add_exactly() -> None:
    """A third and a sixth make a half, kept in lowest terms."""
    assert Carry(1, 3).round(1, 6) == (0, Carry(1, 2))


@pytest.mark.parametrize(
    "text, carry", [("0", Carry()), ("1/4", Carry(1, 4)), ("-1/2", Carry(-1, 2)), ("1/3", Carry(1, 3))]
)
def test_text_round_trips(text: str, carry: Carry) -> None:
    """The journal's text is read back as the same remainder."""
    assert Carry.parse(text) == carry
    assert str(carry) == text


def test_reads_a_whole_denominator() -> None:
    """A fraction that is zero may be written with a denominator."""
    assert Carry.parse("0/5") == Carry(0, 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1/",
        "/2",
        "1/-2",
        "--1/2",
        "1/2/3",
        "0.5",
        "+1/2",
        "\u0661/4",
        "1 /2",
        "1" * 57,
        f"1/{'1' * 57}",
    ],
)
def test_refuses_other_text(text: str) -> None:
    """Only what the accumulator writes is read."""
    with pytest.raises(InvalidAmount) as caught:
        Carry.parse(text)
    assert str(caught.value).startswith(f"carry '{text[:30]}")


@pytest.mark.parametrize("text", [None, 0, True, b"1/4"])
def test_reads_text_only(text: str) -> None:
    """A journal's column of another type is refused, not guessed at."""
    with pytest.raises(InvalidAmount) as caught:
        Carry.parse(text)
    assert str(caught.value) == f'carry {text!r}: expected a fraction of a minor unit, such as "-1/4"'
    assert str(caught.value).endswith(': expected a fraction of a minor unit, such as "-1/4"')


def test_the_longest_digits_are_read() -> None:
    """Fifty-six digits are read, and refused for what they say, not for their length."""
    with pytest.raises(AmountOverflow):
        Carry.parse("1/" + "1" * 56)
    owed = Carry((2**63 - 1) * 10**36, 10**36)
    assert Carry.parse(str(owed)) == owed


@pytest.mark.parametrize("numerator, denominator", [(-2, 3), (-1, 1), (-51, 100)])
def test_refuses_less_than_minus_half_a_unit(numerator: int, denominator: int) -> None:
    """A remainder below minus a half would have been rounded."""
    with pytest.raises(InvalidAmount) as caught:
        Carry(numerator, denominator)
    assert str(caught.value) == f"carry {numerator}/{denominator}: expected -1/2 minor units or more"


def test_what_is_owed_is_kept_up_to_64_bits() -> None:
    """Payments too small for what is due leave whole units in the remainder."""
    assert Carry(1, 4).owing(3) == Carry(13, 4)
    assert Carry(13, 4).round(1, 4) == (4, Carry(-1, 2))
    assert Carry(2**63 - 1).numerator == 2**63 - 1
    with pytest.raises(AmountOverflow) as caught:
        Carry(2**63)
    assert str(caught.value) == f"carry '{2**63}'/1: more than 64 bits are owed"


@pytest.mark.parametrize("numerator, denominator", [(0, 0), (0, -1), (True, 2), (1, 2.0), (0.0, 1), ("1", 2)])
def test_refuses_what_is_no_fraction(numerator: int, denominator: int) -> None:
    """Both are integers, and the denominator is above zero."""
    with pytest.raises(InvalidAmount) as caught:
        Carry(numerator, denominator)
    assert str(caught.value) == (
        f"carry {numerator!r}/{denominator!r}: expected integers, the second above zero"
    )


def test_refuses_fractions_finer_than_any_decimal_of_ours() -> None:
    """A denominator of 10**36 is kept, the next is refused, so that states stay small."""
    assert Carry(1, 10**36).denominator == 10**36
    with pytest.raises(AmountOverflow) as caught:
        Carry(0, 10**36 + 1)
    assert str(caught.value) == f"carry 0/{10**36 + 1}: finer than 1/10**36 minor units"


def test_the_first_remainder_is_nothing() -> None:
    """A new key starts at zero."""
    assert Carry() == Carry(0, 1)
