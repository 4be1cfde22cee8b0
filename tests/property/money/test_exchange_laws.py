"""Laws of exchange and of every wire form."""

from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from worker.errors import AmountOverflow, InvalidAmount
from worker.money import (
    ADYEN,
    ISO_4217,
    ISO_MINOR_UNITS,
    MAX_UNITS,
    MIN_UNITS,
    STRIPE_CHARGES,
    STRIPE_PAYOUTS,
    Amount,
    Money,
    Rate,
    Rounding,
    divide,
    from_google_money,
    from_iso_20022,
    to_google_money,
    to_iso_20022,
)

EUR, USD, JPY = (ISO_4217.lookup(code) for code in ("EUR", "USD", "JPY"))
CURRENCIES = [currency for currency in ISO_4217 if currency.settleable]
modes = st.sampled_from([mode for mode in Rounding if mode is not Rounding.CARRY])
currencies = st.sampled_from(CURRENCIES)
scales = st.integers(0, 12)
amounts = st.builds(Amount, st.integers(MIN_UNITS, MAX_UNITS), scales, currencies)
euros = st.builds(Amount, st.integers(-(10**9), 10**9), scales, st.just(EUR))
terms = st.integers(1, 10**15)


def rate_of(base: object, quote: object) -> st.SearchStrategy[Rate]:
    return st.builds(Rate, st.just(base), st.just(quote), terms, terms, st.just("law"), st.just(0))


def value(amount: Amount) -> Fraction:
    return Fraction(amount.units, 10**amount.scale)


def fraction(rate: Rate) -> Fraction:
    return Fraction(rate.numerator, rate.denominator)


@given(euros, rate_of(EUR, USD), modes)
def test_given_times_rate_is_result_plus_remainder(amount: Amount, rate: Rate, mode: Rounding) -> None:
    """A conversion rounds once, by its mode, and its record adds up exactly."""
    exact = value(amount) * fraction(rate)
    assume(abs(exact) < 10**16)
    record = rate.convert(amount, mode)
    assert value(record.result.precise()) + Fraction(record.remainder) == exact
    cents = exact * 100
    assert record.result.units == divide(cents.numerator, cents.denominator, mode)
    assert (record.given, record.rate) == (amount, rate)


@given(rate_of(EUR, USD), rate_of(USD, JPY), st.integers(0, 9999))
def test_rates_compose_exactly(first: Rate, second: Rate, points: int) -> None:
    """Inverse, cross and markup are the fractions' own, and two inverses change nothing."""
    assert fraction(first.inverse()) == 1 / fraction(first)
    assert fraction(first.inverse().inverse()) == fraction(first)
    assert fraction(first.across(second)) == fraction(first) * fraction(second)
    assert fraction(first.with_markup(points)) == fraction(first) * Fraction(10_000 - points, 10_000)


@given(st.integers(0, 10**9), rate_of(EUR, USD))
def test_there_and_back_rounded_down_never_gains(cents: int, rate: Rate) -> None:
    """Whoever converts to and fro cannot make money of rounding."""
    assume(cents * fraction(rate) < 10**16)
    there = rate.convert(Money(cents, EUR), Rounding.DOWN).result
    back = rate.inverse().convert(there, Rounding.DOWN).result
    assert back.units <= cents


@given(st.integers(1, MAX_UNITS), scales)
def test_rate_text_is_exact(units: int, scale: int) -> None:
    """A published rate is the decimal that was published."""
    text = str(Amount(units, scale, EUR))
    assert fraction(Rate.parse(text, EUR, USD, source="law", as_of=0)) == Fraction(units, 10**scale)


@given(amounts)
def test_google_money_round_trips_the_value(amount: Amount) -> None:
    """Units and nanos give back the value, with the same sign, unless digits would be lost."""
    try:
        wire = to_google_money(amount)
    except InvalidAmount:
        assert value(amount) * 10**9 % 1
        return
    assert wire.units * wire.nanos >= 0
    assert abs(wire.nanos) < 10**9
    assert Fraction(wire.units) + Fraction(wire.nanos, 10**9) == value(amount)
    back = from_google_money(wire, amount.currency)
    assert back == amount
    assert back.scale >= min(amount.currency.exponent, amount.scale)


@given(amounts)
def test_iso_20022_round_trips_the_value(amount: Amount) -> None:
    """Text of at most 18 digits gives back the value; what does not fit is refused."""
    try:
        text = to_iso_20022(amount, fractions=True)
    except InvalidAmount:
        too_fine = bool(value(amount) * 10**5 % 1)
        assert too_fine or amount.units < 0 or value(amount) * 10 ** min(amount.scale, 5) >= 10**18
        return
    assert len(text.replace(".", "")) <= 19
    assert from_iso_20022(text, amount.currency) == amount


@given(amounts, st.sampled_from([ISO_MINOR_UNITS, STRIPE_CHARGES, STRIPE_PAYOUTS, ADYEN]))
def test_minor_units_round_trip_the_value(amount: Amount, rules: object) -> None:
    """A processor's integer gives back the value, or is refused because it could not."""
    exponent, step = rules.unit(amount.currency)
    exact = value(amount) * 10**exponent
    try:
        units = rules.to_integer(amount)
    except AmountOverflow:
        assert not MIN_UNITS <= exact <= MAX_UNITS
    except InvalidAmount:
        assert exact % step
    else:
        assert units == exact
        assert rules.from_integer(units, amount.currency) == amount
