"""Settleable money, and the named rounding that leads to it."""

import pytest

from worker.errors import (
    AmountOverflow,
    CurrencyMismatch,
    InvalidAmount,
    InvalidMoneyRule,
    NotSettleable,
    TooManyDigits,
)
from worker.money import (
    ISO_4217,
    MAX_UNITS,
    MIN_UNITS,
    Amount,
    Carry,
    Currency,
    Money,
    Rounding,
    settle,
    settle_carrying,
)

EUR, USD, JPY, CHF, KWD, XAU, XXX, XTS, CLF = (
    ISO_4217.lookup(code) for code in ("EUR", "USD", "JPY", "CHF", "KWD", "XAU", "XXX", "XTS", "CLF")
)


def eur(text: str) -> Money:
    return Money.parse(text, EUR)


@pytest.mark.parametrize(
    "text, currency, units, written",
    [
        ("12.34", EUR, 1234, "12.34"),
        ("12.3", EUR, 1230, "12.30"),
        ("-12", EUR, -1200, "-12.00"),
        ("1234", JPY, 1234, "1234"),
        ("1.234", KWD, 1234, "1.234"),
        ("1.2345", CLF, 12345, "1.2345"),
    ],
)
def test_reads_decimals_up_to_the_exponent(text: str, currency: Currency, units: int, written: str) -> None:
    """Missing decimals are filled up, and the exponent's are written."""
    money = Money.parse(text, currency)
    assert (money.units, str(money)) == (units, written)


@pytest.mark.parametrize(
    "text, currency, message",
    [
        (
            "1.234",
            EUR,
            "amount '1.234': EUR has 2 digits after the point, not 3; round it by a named mode first",
        ),
        (
            "1.230",
            EUR,
            "amount '1.230': EUR has 2 digits after the point, not 3; round it by a named mode first",
        ),
        (
            "1.0",
            JPY,
            "amount '1.0': JPY has 0 digits after the point, not 1; round it by a named mode first",
        ),
    ],
)
def test_excess_digits_are_refused_even_zeros(text: str, currency: Currency, message: str) -> None:
    """An amount that claims more precision than the currency has is a misunderstanding."""
    with pytest.raises(TooManyDigits) as caught:
        Money.parse(text, currency)
    assert str(caught.value) == message


def test_repr_is_unambiguous_and_equality_exact() -> None:
    """Money is its units and its currency."""
    assert repr(eur("1.5")) == "Money('1.50', 'EUR')"
    assert eur("1.5") == Money(150, EUR)
    assert hash(eur("1.5")) == hash(Money(150, EUR))
    assert eur("1.5") != Money(150, USD)
    assert eur("1.5") != eur("1.51")
    assert eur("1.5") != Amount.parse("1.50", EUR)


def test_arithmetic() -> None:
    """Sums, differences, multiples and signs are exact."""
    assert eur("1.10") + eur("2.20") == eur("3.30")
    assert eur("1.10") - eur("2.20") == eur("-1.10")
    assert eur("1.10") * 3 == 3 * eur("1.10") == eur("3.30")
    assert -eur("1.10") == eur("-1.10")
    assert abs(eur("-1.10")) == abs(eur("1.10")) == eur("1.10")
    assert eur("0.01")
    assert not eur("0")


def test_orders_by_value() -> None:
    """Money of one currency is ordered."""
    assert eur("-1") < eur("0") < eur("0.01")
    assert eur("1") <= eur("1")
    assert not eur("1") < eur("1")


@pytest.mark.parametrize(
    "compute",
    [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a < b, lambda a, b: a >= b],
)
def test_currencies_do_not_mix(compute: object) -> None:
    """The refusal names both currencies."""
    with pytest.raises(CurrencyMismatch) as caught:
        compute(eur("1"), Money(100, USD))
    assert str(caught.value) == "EUR and USD do not mix: convert one of them by a rate first"


def test_money_of_equal_currencies_mixes_though_the_objects_differ() -> None:
    """A currency is what it says, not which object says it."""
    other = Currency(EUR.code, EUR.exponent, EUR.name, EUR.numeric, EUR.kind, EUR.cash_increment)
    assert eur("1") + Money(200, other) == eur("3")


@pytest.mark.parametrize(
    "compute",
    [lambda m: m + 1, lambda m: m - 1, lambda m: m < 1, lambda m: m + m.precise(), lambda m: m / 2, float],
)
def test_only_money_mixes_with_money(compute: object) -> None:
    """Numbers have no currency, and a precise amount must be settled first."""
    with pytest.raises(TypeError):
        compute(eur("1"))


@pytest.mark.parametrize("factor", [1.5, True])
def test_factors_are_integers(factor: int) -> None:
    """Only an int multiplies exactly."""
    with pytest.raises(InvalidAmount) as caught:
        eur("1") * factor
    assert str(caught.value) == (
        f"factor {factor!r} is of type {type(factor).__name__}: only int is exact here"
    )


@pytest.mark.parametrize("units", [True, 1.5, "1", None])
def test_units_are_integers(units: int) -> None:
    """Booleans, floats and text are refused at the door."""
    with pytest.raises(InvalidAmount) as caught:
        Money(units, EUR)
    assert str(caught.value) == f"units {units!r} is of type {type(units).__name__}: only int is exact here"


@pytest.mark.parametrize("currency", [None, "EUR", 978])
def test_a_currency_is_looked_up_first(currency: Currency) -> None:
    """A code is not a currency: a registry knows which units there are."""
    with pytest.raises(InvalidAmount) as caught:
        Money(1, currency)
    assert str(caught.value) == f"currency {currency!r}: expected a Currency, as a registry looks it up"


@pytest.mark.parametrize("units", [MAX_UNITS + 1, MIN_UNITS - 1])
def test_units_fit_in_64_bits(units: int) -> None:
    """Both bounds are inside, and nothing beyond; the message has the currency's decimals."""
    assert {Money(MAX_UNITS, EUR).units, Money(MIN_UNITS, EUR).units} == {MAX_UNITS, MIN_UNITS}
    with pytest.raises(AmountOverflow, match=r"at 2 decimals 92233720368547758\.07 is the most"):
        Money(units, EUR)


@pytest.mark.parametrize(
    "currency, message",
    [
        (XAU, "currency XAU (Gold) is of kind metal"),
        (XTS, "currency XTS (Codes specifically reserved for testing purposes) is of kind testing"),
        (XXX, f"currency XXX ({XXX.name}) is of kind none"),
    ],
)
def test_nothing_settles_in_codes_that_are_no_money(currency: Currency, message: str) -> None:
    """A metal, the test code and no currency have amounts, but no money."""
    assert str(Amount(15, 1, currency)) == "1.5"
    for settle_one in (lambda: Money(1, currency), lambda: Money.parse("1", currency)):
        with pytest.raises(NotSettleable) as caught:
            settle_one()
        assert str(caught.value) == f"{message}: nothing settles in it"


def test_of_and_precise_are_inverse() -> None:
    """The same value moves between both kinds exactly, or not at all."""
    assert Money.of(Amount.parse("1.5", EUR)) == eur("1.50")
    assert Money.of(Amount.parse("1.500000", EUR)) == eur("1.50")
    assert (str(eur("1.5").precise()), eur("1.5").precise().scale) == ("1.50", 2)
    with pytest.raises(TooManyDigits):
        Money.of(Amount.parse("1.501", EUR))


def test_settling_names_the_mode_and_yields_the_remainder() -> None:
    """Amount equals money plus remainder, and the step says how."""
    rounded = settle(Amount.parse("0.000125", EUR), Rounding.UP, label="meter")
    assert (rounded.money, str(rounded.remainder)) == (eur("0.01"), "-0.009875")
    assert str(rounded.step) == "meter: 0.000125 -> 0.01 EUR (up, remainder -0.009875)"


def test_settling_fills_up_missing_decimals() -> None:
    """An amount with fewer decimals than the currency leaves nothing."""
    rounded = settle(Amount.parse("3", EUR), Rounding.HALF_EVEN)
    assert (rounded.money, str(rounded.remainder)) == (eur("3.00"), "0.00")
    assert str(rounded.step) == "settle: 3 -> 3.00 EUR (half_even, remainder 0)"


@pytest.mark.parametrize(
    "text, mode, settled, remainder",
    [
        ("1.22", Rounding.HALF_EVEN, "1.20", "0.02"),
        ("1.23", Rounding.HALF_EVEN, "1.25", "-0.02"),
        ("1.225", Rounding.HALF_EVEN, "1.20", "0.025"),
        ("1.225", Rounding.HALF_UP, "1.25", "-0.025"),
        ("-1.23", Rounding.DOWN, "-1.20", "-0.03"),
        ("1.25", Rounding.UP, "1.25", "0.00"),
    ],
)
def test_cash_is_rounded_to_what_coins_can_pay(
    text: str, mode: Rounding, settled: str, remainder: str
) -> None:
    """Swiss cash goes by five rappen, in any mode."""
    rounded = settle(Amount.parse(text, CHF), mode, cash=True)
    assert (str(rounded.money), str(rounded.remainder)) == (settled, remainder)


def test_the_trail_names_the_cash_increment() -> None:
    """Why 1.23 became 1.25 is in the step, as a line and by name."""
    step = settle(Amount.parse("1.23", CHF), Rounding.HALF_EVEN, cash=True).step
    assert str(step) == "settle: 1.23 -> 1.25 CHF (half_even in steps of 0.05, remainder -0.02)"
    assert step.as_dict()["increment"] == "0.05"


def test_without_cash_the_minor_unit_is_the_increment() -> None:
    """Card payments in francs go by the rappen."""
    assert str(settle(Amount.parse("1.234", CHF), Rounding.HALF_EVEN).money) == "1.23"


def test_settling_by_carry_keeps_the_remainder() -> None:
    """Eight eighths of a cent make one cent, and nothing is left."""
    carry, total = Carry(), Amount.zero(EUR)
    for _ in range(8):
        rounded, carry = settle_carrying(Amount.parse("0.00125", EUR), carry, label="meter")
        total += rounded.money.precise()
    assert (str(total), carry) == ("0.01", Carry())
    assert str(rounded.step) == "meter: 0.00125 -> 0.00 EUR (carry, remainder 0.00125)"


def test_settling_by_carry_has_a_label_of_its_own() -> None:
    """The trail calls it settle where nothing else is said."""
    rounded, carry = settle_carrying(Amount.parse("0.014", EUR), Carry())
    assert (rounded.step.label, rounded.step.mode, rounded.step.exponent) == ("settle", Rounding.CARRY, 2)
    assert (str(rounded.money), str(rounded.remainder), carry) == ("0.01", "0.004", Carry(2, 5))


def test_carry_is_no_mode_to_settle_by_alone() -> None:
    """Without the remainder so far there is nothing to carry."""
    with pytest.raises(InvalidMoneyRule):
        settle(Amount.parse("0.001", EUR), Rounding.CARRY)


def test_money_is_immutable_and_slotted() -> None:
    """No attribute can be changed or added."""
    with pytest.raises(AttributeError):
        eur("1").units = 5
    assert not hasattr(eur("1"), "__dict__")
