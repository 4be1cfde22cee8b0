"""Exact converters for amounts as others write them: ISO 20022 messages and google.type.Money."""

from typing import Final, NamedTuple

from worker.errors import AmountNotPositive, AmountOverflow, InvalidAmount, TooManyDigits
from worker.money.amount import Amount
from worker.money.currency import Currency
from worker.money.settled import Money, precise_amount
from worker.money.text import MAX_UNITS, MIN_UNITS, POWERS, format_units, parse_units, shown

ISO_20022_DIGITS: Final = 18
"""Most digits of an ISO 20022 amount (totalDigits of ActiveCurrencyAndAmount)."""

ISO_20022_DECIMALS: Final = 5
"""Most digits after the point of an ISO 20022 amount (fractionDigits of ActiveCurrencyAndAmount)."""

_NANOS_SCALE: Final = 9


class GoogleMoney(NamedTuple):
    """The fields of google.type.Money: whole units and billionths, which never differ in sign."""

    currency_code: str
    units: int
    nanos: int


def to_iso_20022(amount: Amount | Money, *, fractions: bool = False) -> str:
    """Return an amount as ISO 20022 text: not negative, 18 digits at most, 5 of them after the point.

    Decimals beyond the currency's exponent are refused unless ``fractions`` of minor units are asked for.
    Raises ``AmountNotPositive`` below zero, ``TooManyDigits`` if decimals would be lost and
    ``AmountOverflow`` for more than 18 digits. Zeros at the end are kept while they fit.
    """
    precise = precise_amount(amount)
    if precise.units < 0:
        raise AmountNotPositive(
            f"amount {amount}: ISO 20022 amounts have no sign; the message says the direction"
        )
    decimals = ISO_20022_DECIMALS if fractions else min(precise.currency.exponent, ISO_20022_DECIMALS)
    if precise.scale > decimals:
        precise = precise.at_scale(decimals)
    units, scale = _without_spare_zeros(precise.units, precise.scale)
    if units >= 10**ISO_20022_DIGITS:
        raise AmountOverflow(f"amount {amount}: ISO 20022 amounts have {ISO_20022_DIGITS} digits at most")
    return format_units(units, scale)


def _without_spare_zeros(units: int, scale: int) -> tuple[int, int]:
    """Drop zeros at the end of what is too long; totalDigits and fractionDigits do not count them."""
    while scale and units % 10 == 0 and (units >= 10**ISO_20022_DIGITS or scale > ISO_20022_DECIMALS):
        units, scale = units // 10, scale - 1
    return units, scale


def from_iso_20022(text: str, currency: Currency) -> Amount:
    """Return the amount of ISO 20022 text at the scale it is written in, with the same bounds.

    Besides plain decimals it takes a leading plus, as xs:decimal does, and drops zeros beyond the bounds.
    """
    plain = text[1:] if type(text) is str and text[:1] == "+" and text[1:2] != "-" else text
    units, scale = _without_spare_zeros(*parse_units(plain))
    if units < 0:
        raise AmountNotPositive(f"amount {shown(text)}: ISO 20022 amounts have no sign")
    if scale > ISO_20022_DECIMALS:
        raise TooManyDigits(
            f"amount {shown(text)}: {scale} digits after the point, {ISO_20022_DECIMALS} at most"
        )
    if units >= 10**ISO_20022_DIGITS:
        raise AmountOverflow(
            f"amount {shown(text)}: ISO 20022 amounts have {ISO_20022_DIGITS} digits at most"
        )
    return Amount(units, scale, currency)


def to_google_money(amount: Amount | Money) -> GoogleMoney:
    """Return an amount as google.type.Money; raises ``TooManyDigits`` if it has more than 9 decimals."""
    precise = precise_amount(amount)
    if precise.scale > _NANOS_SCALE:
        precise = precise.at_scale(_NANOS_SCALE)
    whole, part = divmod(abs(precise.units), POWERS[precise.scale])
    sign = -1 if precise.units < 0 else 1
    return GoogleMoney(
        precise.currency.code, sign * whole, sign * part * POWERS[_NANOS_SCALE - precise.scale]
    )


def from_google_money(money: GoogleMoney, currency: Currency) -> Amount:
    """Return the amount of a google.type.Money, at the fewest decimals that hold it.

    Zeros are added up to the currency's exponent, if 64 bits have room for them.
    Raises ``InvalidAmount`` for a code that is not the currency's, fields that are not ``int``, nanos
    outside +-999,999,999 or of the other sign, and ``AmountOverflow`` outside signed 64 bits.
    """
    code, units, nanos = money
    if code != currency.code:
        raise InvalidAmount(f"google.type.Money in {shown(code)}: expected {currency.code}")
    if type(units) is not int or type(nanos) is not int or abs(nanos) >= POWERS[_NANOS_SCALE]:
        raise InvalidAmount(
            f"google.type.Money of {shown(units)} units and {shown(nanos)} nanos: expected integers, "
            "the second within +-999999999"
        )
    if units * nanos < 0:
        raise InvalidAmount(f"google.type.Money of {units} units and {nanos} nanos: their signs differ")
    if not MIN_UNITS <= units <= MAX_UNITS:
        raise AmountOverflow(f"google.type.Money of {units} units: more than 64 bits")
    scale = _NANOS_SCALE
    while scale and nanos % 10 == 0:
        nanos, scale = nanos // 10, scale - 1
    amount = Amount(units * POWERS[scale] + nanos, scale, currency)
    missing = max(currency.exponent - scale, 0)
    fits = abs(amount.units) * POWERS[missing] <= MAX_UNITS
    return amount.at_scale(currency.exponent) if missing and fits else amount
