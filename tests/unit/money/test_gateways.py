"""Integer minor units as payment processors count them."""

import pytest

from worker.errors import AmountOverflow, InvalidAmount, InvalidMoneyRule, TooManyDigits
from worker.money import (
    ADYEN,
    ISO_4217,
    ISO_MINOR_UNITS,
    MAX_UNITS,
    STRIPE_CHARGES,
    STRIPE_PAYOUTS,
    Amount,
    MinorUnit,
    MinorUnits,
    Money,
)
from worker.money.gateways import minor_units


def amount(text: str, code: str) -> Amount:
    return Amount.parse(text, ISO_4217.lookup(code))


# docs.stripe.com/currencies, "Zero-decimal currencies"; UGX is in that list and among the special cases
STRIPE_ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
# docs.stripe.com/currencies, "Three-decimal currencies"
STRIPE_THREE_DECIMAL = "BHD JOD KWD OMR TND"
# docs.adyen.com/development-resources/currency-codes, decimals 0 and 3
ADYEN_ZERO_DECIMAL = "CVE DJF GNF IDR JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
ADYEN_THREE_DECIMAL = "BHD IQD JOD KWD LYD OMR TND"


@pytest.mark.parametrize("code", STRIPE_ZERO_DECIMAL.split())
@pytest.mark.parametrize("rules", [STRIPE_CHARGES, STRIPE_PAYOUTS])
def test_stripes_zero_decimal_list(rules: MinorUnits, code: str) -> None:
    """Five hundred are 500."""
    assert rules.to_integer(amount("500", code)) == 500
    assert str(rules.from_integer(500, ISO_4217.lookup(code))) == "500"


@pytest.mark.parametrize("code", STRIPE_THREE_DECIMAL.split())
def test_stripes_three_decimal_list_ends_in_zero(code: str) -> None:
    """5.12 dinars are 5120, and 5.124 must be rounded first."""
    assert STRIPE_CHARGES.to_integer(amount("5.12", code)) == 5120
    with pytest.raises(TooManyDigits) as caught:
        STRIPE_CHARGES.to_integer(amount("5.124", code))
    assert str(caught.value) == (
        f"amount 5.124 {code}: Stripe takes 3 decimals in steps of 10; round it by a named mode first"
    )


@pytest.mark.parametrize("code", ["ISK", "UGX"])
def test_stripes_special_cases_are_whole_but_sent_with_two_zeros(code: str) -> None:
    """Five kronur are 500, and half a krona cannot be sent."""
    assert STRIPE_CHARGES.to_integer(amount("5", code)) == 500
    assert str(STRIPE_CHARGES.from_integer(500, ISO_4217.lookup(code))) == "5.00"
    with pytest.raises(TooManyDigits):
        STRIPE_CHARGES.to_integer(amount("5.50", code))


@pytest.mark.parametrize("code", ["HUF", "TWD"])
def test_stripe_pays_out_forint_and_taiwan_dollars_in_whole_units(code: str) -> None:
    """Charged with two decimals, paid out without."""
    assert STRIPE_CHARGES.to_integer(amount("10.45", code)) == 1045
    assert STRIPE_PAYOUTS.to_integer(amount("10.00", code)) == 1000
    with pytest.raises(TooManyDigits) as caught:
        STRIPE_PAYOUTS.to_integer(amount("10.45", code))
    assert str(caught.value) == (
        f"amount 10.45 {code}: Stripe payouts takes 2 decimals in steps of 100; "
        "round it by a named mode first"
    )


def test_adyens_list_of_decimals() -> None:
    """Every currency counts as Adyen's page says; four of them not as in ISO 4217."""
    wholes, thousandths = set(ADYEN_ZERO_DECIMAL.split()), set(ADYEN_THREE_DECIMAL.split())
    not_served = {"BIF", "CLF", "UYI", "UYW"}
    for currency in ISO_4217:
        if currency.settleable and currency.code not in not_served:
            expected = 0 if currency.code in wholes else 3 if currency.code in thousandths else 2
            assert ADYEN.unit(currency) == (expected, 1), currency.code
    differing = {c.code for c in ISO_4217 if ADYEN.unit(c) != ISO_MINOR_UNITS.unit(c)}
    assert differing == {"CLP", "CVE", "IDR", "ISK"}
    assert ADYEN.processor == "Adyen"


def test_overrides_refuse_to_lose_digits() -> None:
    """1.5 escudos cannot be sent without decimals, though ISO 4217 knows centavos."""
    assert ADYEN.to_integer(amount("15.00", "CVE")) == 15
    with pytest.raises(TooManyDigits) as caught:
        ADYEN.to_integer(amount("1.5", "CVE"))
    assert str(caught.value) == (
        "amount 1.5 CVE: Adyen takes 0 decimals in steps of 1; round it by a named mode first"
    )


@pytest.mark.parametrize(
    "text, code, units",
    [("10.99", "USD", 1099), ("-10.99", "USD", -1099), ("0.001", "KWD", 1), ("7", "JPY", 7)],
)
def test_iso_minor_units_round_trip(text: str, code: str, units: int) -> None:
    """Without an override the standard counts, both ways, signs included."""
    currency = ISO_4217.lookup(code)
    assert ISO_MINOR_UNITS.to_integer(amount(text, code)) == units
    assert ISO_MINOR_UNITS.to_integer(Money.parse(text, currency)) == units
    assert str(ISO_MINOR_UNITS.from_integer(units, currency)) == text
    assert ISO_MINOR_UNITS.from_integer(units, currency).currency is currency
    assert ISO_MINOR_UNITS.processor == "ISO 4217"


def test_precise_amounts_convert_while_their_digits_fit() -> None:
    """Zeros at the end are no digits to lose; others are."""
    assert ISO_MINOR_UNITS.to_integer(amount("1.500000", "EUR")) == 150
    assert ISO_MINOR_UNITS.to_integer(amount("-1.500000", "EUR")) == -150
    for text in ("1.500001", "-1.500001"):
        with pytest.raises(TooManyDigits):
            ISO_MINOR_UNITS.to_integer(amount(text, "EUR"))


def test_incoming_integers_keep_the_processors_step() -> None:
    """An integer that the processor cannot have sent is refused."""
    isk = ISO_4217.lookup("ISK")
    with pytest.raises(TooManyDigits) as caught:
        STRIPE_CHARGES.from_integer(550, isk)
    assert str(caught.value) == "minor units 550 ISK: Stripe counts them in steps of 100"
    with pytest.raises(InvalidAmount):
        STRIPE_CHARGES.from_integer(500.0, isk)


def test_integers_stay_within_64_bits() -> None:
    """An amount whose minor units do not fit is refused, written as an amount."""
    whole = Amount(MAX_UNITS // 100, 0, ISO_4217.lookup("EUR"))
    assert ISO_MINOR_UNITS.to_integer(whole) == MAX_UNITS // 100 * 100
    with pytest.raises(AmountOverflow, match=r"amount 92233720368547759\.00 "):
        ISO_MINOR_UNITS.to_integer(Amount(MAX_UNITS // 100 + 1, 0, ISO_4217.lookup("EUR")))


@pytest.mark.parametrize(
    "exponent, step", [(-1, 1), (13, 1), (True, 1), (2.0, 1), (2, 0), (2, -1), (2, True), (2, 1.0)]
)
def test_rules_that_cannot_be_are_refused(exponent: int, step: int) -> None:
    """Decimals are from 0 to 12, steps of 1 or more."""
    with pytest.raises(InvalidMoneyRule) as caught:
        MinorUnits("bank", {"EUR": MinorUnit(exponent, step)})
    assert str(caught.value) == (
        f"minor unit of EUR at bank: {exponent!r} decimals in steps of {step!r}; "
        "expected 0 to 12 decimals and a step of 1 or more"
    )


def test_rules_are_made_of_codes_listed_by_unit() -> None:
    """A processor's page becomes rules line by line, which nobody can change."""
    rules = minor_units("bank", {MinorUnit(0): "CVE IDR", MinorUnit(3, 10): "KWD"})
    assert rules.processor == "bank"
    assert dict(rules.overrides) == {"CVE": (0, 1), "IDR": (0, 1), "KWD": (3, 10)}
    with pytest.raises(TypeError):
        rules.overrides["EUR"] = MinorUnit(2)


def test_own_rules_override_single_currencies() -> None:
    """A processor that counts ariary in fifths of a hundred says so; others stay."""
    rules = MinorUnits("bank", {"MGA": MinorUnit(1, 2), "EUR": MinorUnit(12), "USD": MinorUnit(0)})
    assert rules.to_integer(amount("1.2", "MGA")) == 12
    assert rules.to_integer(amount("1", "EUR")) == 10**12
    assert rules.to_integer(amount("1.5", "KWD")) == 1500
    assert MinorUnit(2).step == 1
