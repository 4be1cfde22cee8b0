"""How payment processors count minor units: mostly as ISO 4217 does, and where they do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from worker.errors import InvalidMoneyRule, TooManyDigits
from worker.money.amount import Amount
from worker.money.currency import Currency
from worker.money.settled import Money, precise_amount
from worker.money.text import MAX_SCALE, checked, shown


class MinorUnit(NamedTuple):
    """A processor's unit of a currency: its decimals, and the step that every value must be a multiple of."""

    exponent: int
    step: int = 1


@dataclass(frozen=True, slots=True)
class MinorUnits:
    """A processor's rules for integer amounts; a currency without an own rule counts as in ISO 4217.

    Raises ``InvalidMoneyRule`` for an exponent outside 0 to 12 or a step below 1.
    """

    processor: str
    overrides: Mapping[str, MinorUnit]

    def __post_init__(self) -> None:
        for code, (exponent, step) in self.overrides.items():
            integers = type(exponent) is int and type(step) is int
            if not integers or not 0 <= exponent <= MAX_SCALE or step < 1:
                raise InvalidMoneyRule(
                    f"minor unit of {code} at {self.processor}: {shown(exponent)} decimals in steps of "
                    f"{shown(step)}; expected 0 to {MAX_SCALE} decimals and a step of 1 or more"
                )

    def unit(self, currency: Currency) -> MinorUnit:
        """Return how the processor counts a currency."""
        return self.overrides.get(currency.code) or MinorUnit(currency.exponent)

    def to_integer(self, amount: Amount | Money) -> int:
        """Return an amount as the processor's integer.

        Raises ``TooManyDigits`` if digits would be lost or the processor's step does not allow the value, and
        ``AmountOverflow`` outside signed 64 bits.
        """
        precise = precise_amount(amount)
        exponent, step = self.unit(precise.currency)
        units, lost = divmod(precise.units * 10**exponent, 10**precise.scale)
        if lost or units % step:
            raise TooManyDigits(
                f"amount {amount} {precise.currency.code}: {self.processor} takes {exponent} decimals "
                f"in steps of {step}; round it by a named mode first"
            )
        return checked(units, exponent)

    def from_integer(self, units: int, currency: Currency) -> Amount:
        """Return the amount that the processor's integer stands for, at the processor's decimals.

        Raises ``TooManyDigits`` if the integer breaks the processor's step, besides what ``Amount`` raises.
        """
        exponent, step = self.unit(currency)
        amount = Amount(units, exponent, currency)
        if units % step:
            raise TooManyDigits(
                f"minor units {units} {currency.code}: {self.processor} counts them in steps of {step}"
            )
        return amount


def minor_units(processor: str, groups: Mapping[MinorUnit, str]) -> MinorUnits:
    """Return a processor's rules from codes listed by unit, separated by blanks."""
    overrides = {code: unit for unit, codes in groups.items() for code in codes.split()}
    return MinorUnits(processor, MappingProxyType(overrides))


ISO_MINOR_UNITS: Final = minor_units("ISO 4217", {})
"""Minor units exactly as ISO 4217 counts them."""

STRIPE_CHARGES: Final = minor_units(
    "Stripe",
    {
        MinorUnit(0): "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF",
        MinorUnit(2, 100): "ISK UGX",
        MinorUnit(3, 10): "BHD JOD KWD OMR TND",
    },
)
"""Charges at Stripe: docs.stripe.com/currencies on zero-decimal, special and three-decimal currencies."""

STRIPE_PAYOUTS: Final = MinorUnits(
    "Stripe payouts",
    MappingProxyType({**STRIPE_CHARGES.overrides, "HUF": MinorUnit(2, 100), "TWD": MinorUnit(2, 100)}),
)
"""Payouts at Stripe: as charges, but HUF and TWD only in whole units (docs.stripe.com/currencies)."""

ADYEN: Final = minor_units("Adyen", {MinorUnit(0): "CVE IDR", MinorUnit(2): "CLP ISK"})
"""Adyen: where docs.adyen.com/development-resources/currency-codes says that it differs from the standard."""
