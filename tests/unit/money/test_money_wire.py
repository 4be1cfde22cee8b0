"""Amounts as ISO 20022 and google.type.Money write them."""

import pytest

from worker.errors import AmountNotPositive, AmountOverflow, InvalidAmount, TooManyDigits
from worker.money import (
    ISO_4217,
    MAX_UNITS,
    MIN_UNITS,
    Amount,
    Currency,
    GoogleMoney,
    Money,
    from_google_money,
    from_iso_20022,
    to_google_money,
    to_iso_20022,
)

EUR, USD, JPY = (ISO_4217.lookup(code) for code in ("EUR", "USD", "JPY"))


def eur(text: str) -> Amount:
    return Amount.parse(text, EUR)


@pytest.mark.parametrize(
    "text", ["0", "0.00", "12.34", "12.34500", "9999999999999.99999", "999999999999999999"]
)
def test_iso_20022_round_trips(text: str) -> None:
    """What fits its 18 digits, 5 of them decimals, is written as it is."""
    assert to_iso_20022(eur(text), fractions=True) == text
    assert str(from_iso_20022(text, EUR)) == text
    assert from_iso_20022(text, EUR).currency is EUR


def test_iso_20022_takes_money_and_drops_only_zeros() -> None:
    """Six decimals are one too many, unless the last is zero."""
    assert to_iso_20022(Money.parse("12.3", EUR)) == "12.30"
    assert to_iso_20022(eur("0.123450"), fractions=True) == "0.12345"
    with pytest.raises(TooManyDigits) as caught:
        to_iso_20022(eur("0.123456"), fractions=True)
    assert str(caught.value) == "amount 0.123456 EUR: 5 decimals would lose digits; round it by a named mode"
    with pytest.raises(TooManyDigits) as caught:
        from_iso_20022("0.123456", EUR)
    assert str(caught.value) == "amount '0.123456': 6 digits after the point, 5 at most"


def test_iso_20022_refuses_fractions_of_minor_units_unless_asked() -> None:
    """A bank refuses a tenth of a cent, though the format has room for it; zeros mean nothing and go."""
    with pytest.raises(TooManyDigits) as caught:
        to_iso_20022(eur("1.234"))
    assert str(caught.value) == "amount 1.234 EUR: 2 decimals would lose digits; round it by a named mode"
    assert to_iso_20022(eur("1.234"), fractions=True) == "1.234"
    assert to_iso_20022(eur("1.230")) == "1.23"
    assert to_iso_20022(Amount.parse("5.0", JPY)) == "5"
    assert to_iso_20022(Money(123_000, Currency("BTC", 8))) == "0.00123"


def test_iso_20022_drops_zeros_that_have_no_room() -> None:
    """Ten million millions with five zeros after the point have nineteen digits, of which one may go."""
    assert to_iso_20022(eur("10000000000000.00000"), fractions=True) == "10000000000000.0000"
    assert str(from_iso_20022("10000000000000.00000", EUR)) == "10000000000000.0000"
    assert str(from_iso_20022("1.2345000", EUR)) == "1.23450"
    assert str(from_iso_20022("1.0000000", EUR)) == "1.00000"
    assert to_iso_20022(Amount.zero(EUR).at_scale(12)) == "0.00"


def test_iso_20022_amounts_have_no_sign() -> None:
    """The message says who pays whom."""
    with pytest.raises(AmountNotPositive) as caught:
        to_iso_20022(eur("-0.01"))
    assert str(caught.value).startswith("amount -0.01: ISO 20022 amounts have no sign")
    with pytest.raises(AmountNotPositive) as caught:
        from_iso_20022("-0.01", EUR)
    assert str(caught.value) == "amount '-0.01': ISO 20022 amounts have no sign"


@pytest.mark.parametrize("text", ["1000000000000000000", "10000000000000.00001"])
def test_iso_20022_amounts_have_18_digits(text: str) -> None:
    """The nineteenth digit is one too many, wherever the point is."""
    with pytest.raises(AmountOverflow) as caught:
        to_iso_20022(eur(text), fractions=True)
    assert str(caught.value) == f"amount {text}: ISO 20022 amounts have 18 digits at most"
    with pytest.raises(AmountOverflow) as caught:
        from_iso_20022(text, EUR)
    assert str(caught.value) == f"amount {text!r}: ISO 20022 amounts have 18 digits at most"


def test_iso_20022_text_is_plain_here() -> None:
    """Of the forms that XML Schema would allow besides, only a leading plus is read."""
    assert from_iso_20022("+1.50", EUR) == eur("1.50")
    for text in ("01", "1.", ".5", "++1", "+-1", "+", "-0", " 1"):
        with pytest.raises(InvalidAmount) as caught:
            from_iso_20022(text, EUR)
        assert caught.type is InvalidAmount  # of a wrong form, rather than negative


@pytest.mark.parametrize(
    "text, units, nanos, written",
    [
        # the comment of money.proto: -1.75 is units -1 and nanos -750,000,000
        ("-1.75", -1, -750_000_000, "-1.75"),
        ("0.00", 0, 0, "0.00"),
        ("12.34", 12, 340_000_000, "12.34"),
        ("-0.5", 0, -500_000_000, "-0.50"),
        ("0.000000001", 0, 1, "0.000000001"),
        ("7", 7, 0, "7.00"),
        ("0.120000000000", 0, 120_000_000, "0.12"),
        ("9223372036854775807", MAX_UNITS, 0, "9223372036854775807"),
        ("-9223372036854775808", MIN_UNITS, 0, "-9223372036854775808"),
        ("922337203685477580.7", 922337203685477580, 700_000_000, "922337203685477580.7"),
        ("92233720368547758", 92233720368547758, 0, "92233720368547758.00"),
        ("92233720368547759", 92233720368547759, 0, "92233720368547759"),
    ],
)
def test_google_money_round_trips(text: str, units: int, nanos: int, written: str) -> None:
    """Whole units and billionths of the same sign, and back at the fewest decimals from the exponent on."""
    assert to_google_money(eur(text)) == GoogleMoney("EUR", units, nanos)
    assert str(from_google_money(GoogleMoney("EUR", units, nanos), EUR)) == written


def test_google_money_takes_money() -> None:
    """Settleable money converts as precise amounts do."""
    assert to_google_money(Money(5, JPY)) == ("JPY", 5, 0)
    assert str(from_google_money(GoogleMoney("JPY", 5, 0), JPY)) == "5"


def test_google_money_has_nine_decimals() -> None:
    """The tenth decimal would be lost."""
    with pytest.raises(TooManyDigits) as caught:
        to_google_money(eur("0.0000000001"))
    assert str(caught.value) == (
        "amount 0.0000000001 EUR: 9 decimals would lose digits; round it by a named mode"
    )


@pytest.mark.parametrize(
    "money, error, message",
    [
        (GoogleMoney("USD", 1, 0), InvalidAmount, "google.type.Money in 'USD': expected EUR"),
        (
            GoogleMoney("EUR", 1, -1),
            InvalidAmount,
            "google.type.Money of 1 units and -1 nanos: their signs differ",
        ),
        (
            GoogleMoney("EUR", -1, 1),
            InvalidAmount,
            "google.type.Money of -1 units and 1 nanos: their signs differ",
        ),
        (
            GoogleMoney("EUR", MAX_UNITS + 1, 0),
            AmountOverflow,
            "google.type.Money of 9223372036854775808 units: more than 64 bits",
        ),
        (
            GoogleMoney("EUR", MIN_UNITS - 1, 0),
            AmountOverflow,
            "google.type.Money of -9223372036854775809 units: more than 64 bits",
        ),
    ],
)
def test_google_money_that_cannot_be_is_refused(money: GoogleMoney, error: type, message: str) -> None:
    """Another code, differing signs and more than 64 bits break its definition."""
    with pytest.raises(error) as caught:
        from_google_money(money, EUR)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "units, nanos", [(True, 0), (1.0, 0), (1, 0.5), (1, False), (1, 10**9), (-1, -(10**9)), ("1", 0)]
)
def test_google_money_fields_are_integers_within_bounds(units: int, nanos: int) -> None:
    """A billion nanos are a unit, and floats are none."""
    with pytest.raises(InvalidAmount) as caught:
        from_google_money(GoogleMoney("EUR", units, nanos), EUR)
    assert str(caught.value) == (
        f"google.type.Money of {units!r} units and {nanos!r} nanos: expected integers, "
        "the second within +-999999999"
    )


def test_google_money_may_need_more_than_our_64_bits() -> None:
    """Units near the bound with nanos do not fit an amount of ours."""
    with pytest.raises(AmountOverflow):
        from_google_money(GoogleMoney("EUR", MAX_UNITS, 1), EUR)
    assert from_google_money(GoogleMoney("USD", 0, 999_999_999), USD).units == 999_999_999
    assert from_google_money(GoogleMoney("USD", 0, -999_999_999), USD).units == -999_999_999
