"""The precise amount."""

import pickle

import pytest

from worker.errors import AmountOverflow, CurrencyMismatch, InvalidAmount, TooManyDigits
from worker.money import ISO_4217, MAX_UNITS, MIN_UNITS, Amount, Currency, Rounding

EUR, USD, JPY = (ISO_4217.lookup(code) for code in ("EUR", "USD", "JPY"))


def eur(text: str) -> Amount:
    return Amount.parse(text, EUR)


@pytest.mark.parametrize("text", ["12.34", "0.000125", "-0.5", "7", "1.00"])
def test_text_is_the_wire_form_and_repr_names_the_currency(text: str) -> None:
    """str() is what goes on the wire; repr() cannot be mistaken for another amount."""
    assert str(eur(text)) == text
    assert repr(eur(text)) == f"Amount('{text}', 'EUR')"


def test_equal_is_what_is_worth_the_same() -> None:
    """Zeros at the end change the text, not the value, and hashes follow."""
    assert eur("1.5") == eur("1.500")
    assert hash(eur("1.5")) == hash(eur("1.500"))
    assert eur("1.5") != eur("1.51")
    assert hash(eur("1.5")) != hash(eur("1.51"))
    assert eur("1.5") != Amount.parse("1.5", USD)
    assert hash(eur("1.5")) != hash(Amount.parse("1.5", USD))
    assert eur("1.5") != "1.5"


def test_amounts_of_equal_currencies_mix_though_the_objects_differ() -> None:
    """A currency is what it says, not which object says it."""
    other = Currency(EUR.code, EUR.exponent, EUR.name, EUR.numeric, EUR.kind, EUR.cash_increment)
    assert eur("1") + Amount.parse("2", other) == eur("3")
    assert eur("3") - Amount.parse("2", other) == eur("1")
    assert eur("1") < Amount.parse("2", other)
    assert eur("2") == Amount.parse("2", other)


def test_orders_by_value_across_scales() -> None:
    """Smaller and larger are about the value, whatever the scale."""
    ordered = [eur("-1"), eur("-0.999"), eur("0"), eur("0.0001"), eur("0.1"), eur("2")]
    assert sorted({*ordered}) == ordered
    assert eur("0.1") <= eur("0.10")
    assert not eur("0.1") < eur("0.10")
    assert eur("2") > eur("1.999999")


def test_sums_and_differences_take_the_larger_scale() -> None:
    """Nothing is rounded when scales differ."""
    assert str(eur("1.5") + eur("0.25")) == "1.75"
    assert str(eur("0.25") + eur("1.5")) == "1.75"
    assert str(eur("1.5") - eur("0.250")) == "1.250"
    assert str(eur("0.250") - eur("1.5")) == "-1.250"
    assert str(eur("1.5") + eur("1.5")) == "3.0"


def test_multiplies_by_integers_on_either_side() -> None:
    """Three times and times three are the same."""
    assert str(eur("0.05") * 3) == str(3 * eur("0.05")) == "0.15"


def test_negation_absolute_value_and_truth() -> None:
    """Signs are as in arithmetic, and zero is false."""
    assert str(-eur("0.05")) == "-0.05"
    assert str(abs(eur("-0.05"))) == str(abs(eur("0.05"))) == "0.05"
    assert eur("0.01")
    assert not eur("0.00")


def test_zero_is_at_the_exponent() -> None:
    """Nothing of a currency is written with the currency's decimals."""
    assert (str(Amount.zero(EUR)), str(Amount.zero(JPY))) == ("0.00", "0")
    assert Amount.zero(EUR).currency is EUR


def test_every_result_keeps_the_currency() -> None:
    """No operation loses what the amount is of."""
    a = eur("-1.5")
    results = (
        a + eur("0.25"),
        a - eur("0.25"),
        a * 2,
        -a,
        abs(a),
        a.at_scale(3),
        a.at_scale(1),
        a.at_scale(12),
    )
    assert all(result.currency is EUR for result in (*results, a.rounded(0, Rounding.UP)))


def test_rounded_is_at_the_scale_asked_for() -> None:
    """A named mode takes digits away; a larger scale adds zeros."""
    assert str(eur("12.345").rounded(2, Rounding.HALF_EVEN)) == "12.34"
    assert str(eur("12.345").rounded(2, Rounding.UP)) == "12.35"
    assert str(eur("12.345").rounded(0, Rounding.DOWN)) == "12"
    assert str(eur("1").rounded(2, Rounding.DOWN)) == "1.00"
    with pytest.raises(TooManyDigits):
        eur("1").rounded(13, Rounding.DOWN)
    with pytest.raises(TooManyDigits):
        eur("1").rounded(-1, Rounding.DOWN)


@pytest.mark.parametrize("currency", [None, "EUR", 978])
def test_a_currency_is_looked_up_first(currency: Currency) -> None:
    """A code is not a currency: a registry knows which units there are."""
    with pytest.raises(InvalidAmount) as caught:
        Amount(1, 2, currency)
    assert str(caught.value) == f"currency {currency!r}: expected a Currency, as a registry looks it up"


def test_at_scale_adds_zeros_and_takes_only_zeros_away() -> None:
    """Another scale is another text of the same value."""
    assert str(eur("1.5").at_scale(3)) == "1.500"
    assert str(eur("1.500").at_scale(1)) == "1.5"
    assert str(eur("1.5").at_scale(1)) == "1.5"
    assert str(eur("-20").at_scale(0)) == "-20"


def test_at_scale_refuses_to_lose_digits() -> None:
    """A digit that is not zero needs a named rounding."""
    with pytest.raises(TooManyDigits) as caught:
        eur("1.25").at_scale(1)
    assert str(caught.value) == "amount 1.25 EUR: 1 decimals would lose digits; round it by a named mode"


@pytest.mark.parametrize("scale", [-1, 13, True, 2.0])
def test_scales_are_integers_from_0_to_12(scale: int) -> None:
    """No other scale exists."""
    with pytest.raises((TooManyDigits, InvalidAmount)):
        Amount(1, scale, EUR)
    with pytest.raises(TooManyDigits) as caught:
        eur("1.25").at_scale(scale)
    assert str(caught.value) == f"scale {scale!r}: expected 0 to 12 digits after the point"


@pytest.mark.parametrize(
    "units, scale, message",
    [
        (True, 2, "units True is of type bool: only int is exact here"),
        (1.5, 2, "units 1.5 is of type float: only int is exact here"),
        ("1", 2, "units '1' is of type str: only int is exact here"),
        (1, False, "scale False is of type bool: only int is exact here"),
        (1, 2.0, "scale 2.0 is of type float: only int is exact here"),
        (1, 13, "scale 13: expected 0 to 12 digits after the point"),
        (1, -1, "scale -1: expected 0 to 12 digits after the point"),
    ],
)
def test_refuses_what_is_not_an_integer_at_a_scale(units: int, scale: int, message: str) -> None:
    """Booleans, floats and text are refused at the door, by name."""
    with pytest.raises(InvalidAmount) as caught:
        Amount(units, scale, EUR)
    assert str(caught.value) == message


@pytest.mark.parametrize("factor", [1.5, True, "2", None])
def test_factors_are_integers(factor: int) -> None:
    """Only an int multiplies exactly."""
    with pytest.raises(InvalidAmount) as caught:
        eur("1") * factor
    assert str(caught.value) == (
        f"factor {factor!r} is of type {type(factor).__name__}: only int is exact here"
    )


def test_both_ends_of_64_bits_are_amounts() -> None:
    """The bounds themselves are inside."""
    assert Amount(MAX_UNITS, 2, EUR).units == MAX_UNITS
    assert Amount(MIN_UNITS, 2, EUR).units == MIN_UNITS


def test_an_overflow_is_shown_at_its_scale() -> None:
    """The refused amount is written as an amount."""
    with pytest.raises(AmountOverflow) as caught:
        Amount(MAX_UNITS + 1, 2, EUR)
    assert str(caught.value) == (
        "amount 92233720368547758.08 does not fit in 64 bits: at 2 decimals 92233720368547758.07 is the most"
    )


@pytest.mark.parametrize(
    "compute",
    [
        lambda: Amount(MAX_UNITS + 1, 0, EUR),
        lambda: Amount(MIN_UNITS - 1, 0, EUR),
        lambda: Amount(MAX_UNITS, 0, EUR) + Amount(1, 0, EUR),
        lambda: Amount(MIN_UNITS, 0, EUR) - Amount(1, 0, EUR),
        lambda: Amount(MAX_UNITS, 0, EUR) * 2,
        lambda: -Amount(MIN_UNITS, 0, EUR),
        lambda: abs(Amount(MIN_UNITS, 0, EUR)),
        lambda: Amount(MAX_UNITS, 0, EUR) + Amount(0, 1, EUR),
        lambda: Amount(MAX_UNITS, 0, EUR).at_scale(1),
    ],
)
def test_results_outside_64_bits_are_refused(compute: object) -> None:
    """Every operation checks its result."""
    with pytest.raises(AmountOverflow, match="does not fit in 64 bits"):
        compute()


@pytest.mark.parametrize(
    "compute",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a < b,
        lambda a, b: a >= b,
    ],
)
def test_currencies_do_not_mix(compute: object) -> None:
    """The refusal names both currencies."""
    with pytest.raises(CurrencyMismatch) as caught:
        compute(eur("1"), Amount.parse("1", USD))
    assert str(caught.value) == "EUR and USD do not mix: convert one of them by a rate first"


@pytest.mark.parametrize(
    "compute",
    [
        lambda a: a + 1,
        lambda a: a - 1,
        lambda a: a < 1,
        lambda a: 1 + a,
        lambda a: sum([a, a]),
        lambda a: a / 2,
        lambda a: a // 2,
        float,
        int,
    ],
)
def test_numbers_are_no_amounts(compute: object) -> None:
    """A bare number has no currency, and division must say how it rounds."""
    with pytest.raises(TypeError):
        compute(eur("1"))


def test_amounts_are_immutable_and_slotted() -> None:
    """No attribute can be changed or added."""
    with pytest.raises(AttributeError):
        eur("1").units = 5
    assert not hasattr(eur("1"), "__dict__")


def test_amounts_survive_pickling() -> None:
    """A worker process gets the same amount."""
    copied = pickle.loads(pickle.dumps(eur("12.340")))  # noqa: S301
    assert (copied, str(copied)) == (eur("12.34"), "12.340")
