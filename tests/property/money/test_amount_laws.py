"""Laws of text, amounts, money and rounding, against fractions."""

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from worker.errors import AmountOverflow, InvalidAmount
from worker.money import (
    ISO_4217,
    MAX_SCALE,
    MAX_UNITS,
    MIN_UNITS,
    Amount,
    Money,
    Rounding,
    divide,
    format_units,
    formatter,
    money_reader,
    parse_units,
    rescale,
    settle,
)
from worker.money.trail import exact_text

EUR = ISO_4217.lookup("EUR")
READ = money_reader(ISO_4217)
CURRENCIES = [currency for currency in ISO_4217 if currency.settleable]
MODES = [mode for mode in Rounding if mode is not Rounding.CARRY]

units = st.integers(MIN_UNITS, MAX_UNITS)
scales = st.integers(0, MAX_SCALE)
modes = st.sampled_from(MODES)
currencies = st.sampled_from(CURRENCIES)
amounts = st.builds(Amount, units, scales, st.just(EUR))
small = st.builds(Amount, st.integers(-(10**4), 10**4), scales, st.just(EUR))
numerators = st.integers(-(10**40), 10**40)
denominators = st.integers(1, 10**30)


def value(amount: Amount) -> Fraction:
    return Fraction(amount.units, 10**amount.scale)


def rounded(exact: Fraction, mode: Rounding) -> int:
    """Round by the words of the mode, on its own terms."""
    below, above = floor(exact), ceil(exact)
    toward_zero = below if exact > 0 else above
    away = above if exact > 0 else below
    if mode in (Rounding.FLOOR, Rounding.CEILING, Rounding.DOWN, Rounding.UP):
        return {"floor": below, "ceiling": above, "down": toward_zero, "up": away}[mode.value]
    if exact - below != above - exact:
        return below if exact - below < above - exact else above
    even = below if below % 2 == 0 else above
    return {"half_even": even, "half_up": away, "half_down": toward_zero}[mode.value]


@given(units, scales)
@example(MIN_UNITS, 0)
@example(MAX_UNITS, 12)
@example(0, 5)
def test_text_round_trips(number: int, scale: int) -> None:
    """Every amount is read back from its text, at its scale."""
    assert parse_units(format_units(number, scale)) == (number, scale)


@given(units, scales)
def test_text_says_the_value(number: int, scale: int) -> None:
    """Another reader of decimals finds the same value in it."""
    assert Fraction(Decimal(format_units(number, scale))) == Fraction(number, 10**scale)
    assert formatter(scale)(number) == format_units(number, scale)


@given(st.text("0123456789.-+eE_, \u0663", max_size=14))
def test_whatever_is_read_is_written_the_same(text: str) -> None:
    """Text is either refused or comes back as it was."""
    try:
        read = parse_units(text)
    except InvalidAmount:
        return
    assert format_units(*read) == text


@given(small, small, small)
def test_addition_is_a_commutative_group(a: Amount, b: Amount, c: Amount) -> None:
    """Order and grouping of sums do not matter, zero changes nothing, and every amount has an opposite."""
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Amount.zero(EUR) == a
    assert not a - a
    assert a - b == a + -b


@given(small, small, st.integers(-100, 100), st.integers(-100, 100))
def test_multiplication_distributes(a: Amount, b: Amount, m: int, n: int) -> None:
    """Multiples of sums are sums of multiples."""
    assert (a + b) * n == a * n + b * n
    assert a * (m + n) == a * m + a * n
    assert a * m * n == a * (m * n)


@given(amounts, amounts)
def test_sums_and_differences_are_exact_or_refused(a: Amount, b: Amount) -> None:
    """The result is the fraction's, unless it does not fit; then and only then it is refused."""
    scale = max(a.scale, b.scale)
    for compute, exact in ((Amount.__add__, value(a) + value(b)), (Amount.__sub__, value(a) - value(b))):
        fits = MIN_UNITS <= exact * 10**scale <= MAX_UNITS
        try:
            result = compute(a, b)
        except AmountOverflow:
            assert not fits
        else:
            assert fits
            assert (value(result), result.scale) == (exact, scale)


@given(amounts, amounts)
def test_order_equality_and_hash_follow_the_value(a: Amount, b: Amount) -> None:
    """Amounts compare as the fractions they stand for."""
    assert (a < b) == (value(a) < value(b))
    assert (a == b) == (value(a) == value(b))
    assert (a >= b) == (value(a) >= value(b))
    if a == b:
        assert hash(a) == hash(b)


@given(amounts, scales)
def test_another_scale_is_the_same_amount(a: Amount, scale: int) -> None:
    """What changes scale without an error is worth the same, and hashes the same."""
    try:
        other = a.at_scale(scale)
    except InvalidAmount:
        assume(False)
    assert (other, hash(other), other.scale) == (a, hash(a), scale)


@given(st.lists(small, max_size=30), st.randoms(use_true_random=False))
def test_totals_do_not_depend_on_order(parts: list[Amount], random: object) -> None:
    """A sum is the same in whatever order payments arrive."""
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert sum(parts, Amount.zero(EUR)) == sum(shuffled, Amount.zero(EUR))
    assert value(sum(parts, Amount.zero(EUR))) == sum(map(value, parts))


@given(numerators, denominators, modes)
def test_each_mode_rounds_as_the_fraction_does(numerator: int, denominator: int, mode: Rounding) -> None:
    """Integer division by a mode is what its words say of the fraction."""
    assert divide(numerator, denominator, mode) == rounded(Fraction(numerator, denominator), mode)


@given(st.integers(-10_000, 10_000), st.integers(1, 40), modes)
def test_each_mode_rounds_ties_as_the_fraction_does(numerator: int, denominator: int, mode: Rounding) -> None:
    """Small denominators, so that ties are common."""
    assert divide(numerator, denominator, mode) == rounded(Fraction(numerator, denominator), mode)


@given(numerators, denominators, modes)
def test_rounding_errors_are_bounded(numerator: int, denominator: int, mode: Rounding) -> None:
    """Modes to the nearest err by half a unit at most, the others by less than one."""
    error = abs(divide(numerator, denominator, mode) - Fraction(numerator, denominator))
    assert error <= Fraction(1, 2) if mode.value.startswith("half") else error < 1


@given(st.integers(-500, 500), st.integers(-500, 500), st.integers(1, 50), modes)
def test_rounding_is_monotonic(a: int, b: int, denominator: int, mode: Rounding) -> None:
    """A larger value never rounds to a smaller one."""
    low, high = min(a, b), max(a, b)
    assert divide(low, denominator, mode) <= divide(high, denominator, mode)


@given(units, scales, scales, modes)
def test_rescaling_rounds_once(number: int, scale: int, to_scale: int, mode: Rounding) -> None:
    """Another scale is the fraction at that scale, rounded by the mode."""
    exact = Fraction(number, 10**scale) * 10**to_scale
    assert rescale(number, scale, to_scale, mode) == rounded(exact, mode)


@given(st.builds(Amount, st.integers(-(10**12), 10**12), scales, currencies), modes, st.booleans())
def test_settling_conserves(amount: Amount, mode: Rounding, cash: bool) -> None:
    """Amount is money plus remainder, money is a multiple of the increment, rounded as the mode says."""
    increment = amount.currency.cash_increment if cash else 1
    settled = settle(amount, mode, cash=cash)
    assert value(settled.money.precise()) + value(settled.remainder) == value(amount)
    exact = value(amount) * 10**amount.currency.exponent / increment
    assert settled.money.units == rounded(exact, mode) * increment
    assert Fraction(settled.step.exact) == value(amount)
    assert Fraction(settled.step.remainder) == value(settled.remainder)


@given(st.builds(Money, units, currencies))
def test_money_round_trips(money: Money) -> None:
    """Money is read back from its text, and from its precise amount."""
    assert Money.parse(str(money), money.currency) == money
    assert Money.of(money.precise()) == money
    assert READ(str(money), money.currency.code) == money


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**9))
def test_exact_text_is_the_fraction(numerator: int, denominator: int) -> None:
    """What the trail prints is the value, to the last digit."""
    assert Fraction(exact_text(numerator, denominator)) == Fraction(numerator, denominator)


@given(st.one_of(st.floats(), st.booleans(), st.decimals(), st.fractions(), st.none(), st.text()))
def test_only_integers_are_units(number: object) -> None:
    """Whatever else Python calls a number is refused by both amounts."""
    with pytest.raises(InvalidAmount):
        Amount(number, 2, EUR)
    with pytest.raises(InvalidAmount):
        Money(number, EUR)
