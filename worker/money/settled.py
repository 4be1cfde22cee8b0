"""Settleable money, at its currency's exponent, and the named rounding that an amount needs to become it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import total_ordering
from typing import final

from worker.errors import InvalidAmount, NotSettleable, TooManyDigits
from worker.money.amount import Amount, mismatch, no_currency
from worker.money.carry import Carry
from worker.money.currency import Currency, CurrencyRegistry
from worker.money.rounding import Rounding, divide
from worker.money.text import (
    MAX_UNITS,
    MIN_UNITS,
    POWERS,
    SURE_CHARACTERS,
    checked,
    format_units,
    parse_units,
    require_integer,
    shown,
)
from worker.money.trail import RoundingStep


class _Unsealed:
    """Money while it is made: its fields are set as they are, and its class then makes it immutable.

    Nothing that sets the fields of a frozen class is as fast.
    """

    __slots__ = ("currency", "units")
    units: int
    currency: Currency


@final
@total_ordering
@dataclass(frozen=True, slots=True, init=False, repr=False)
class Money(_Unsealed):
    """Settleable money: ``units`` minor units of a currency, at its exponent.

    Raises ``InvalidAmount`` for units that are not an ``int``, ``AmountOverflow`` outside signed 64 bits,
    ``NotSettleable`` in XXX, XTS, metals and units of account, ``CurrencyMismatch`` when currencies differ.
    """

    units: int
    currency: Currency

    def __init__(self, units: int, currency: Currency) -> None:
        if type(units) is not int:
            require_integer(units, "units")
        if type(currency) is not Currency:
            raise no_currency(currency)
        if not MIN_UNITS <= units <= MAX_UNITS:
            checked(units, currency.exponent)
        if not currency.settleable:
            raise not_settleable(currency)
        _set_units(self, units)
        _set_currency(self, currency)

    @classmethod
    def parse(cls, text: str, currency: Currency) -> "Money":
        """Return the money of a plain decimal; fewer decimals than the exponent are filled up.

        More raise ``TooManyDigits``, even zeros: ``settle`` rounds an ``Amount``, and yields what is left.
        """
        if type(currency) is not Currency:
            raise no_currency(currency)
        units, scale = parse_units(text)
        exponent = currency.exponent
        if scale == exponent and currency.settleable:
            # what parse_units gives is checked, and the constructor would check it again
            money = _Unsealed()
            money.units, money.currency = units, currency
            money.__class__ = Money
            return money  # type: ignore[return-value]
        if scale <= exponent:
            return cls(units * POWERS[exponent - scale], currency)
        raise TooManyDigits(
            f"amount {shown(text)}: {currency.code} has {exponent} digits after the point, not {scale}; "
            "round it by a named mode first"
        )

    @classmethod
    def of(cls, amount: Amount) -> "Money":
        """Return the money of the same value; raises ``TooManyDigits`` if digits would be lost."""
        require_amount(amount)
        return cls(amount.at_scale(amount.currency.exponent).units, amount.currency)

    def precise(self) -> Amount:
        """Return the same value as a precise amount."""
        return Amount(self.units, self.currency.exponent, self.currency)

    def __str__(self) -> str:
        return format_units(self.units, self.currency.exponent)

    def __repr__(self) -> str:
        return f"Money('{self}', '{self.currency.code}')"

    def __bool__(self) -> bool:
        return self.units != 0

    def __lt__(self, other: "Money") -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        self._require_same(other)
        return self.units < other.units

    def __add__(self, other: "Money") -> "Money":
        if not isinstance(other, Money):
            return NotImplemented
        self._require_same(other)
        return Money(self.units + other.units, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        if not isinstance(other, Money):
            return NotImplemented
        self._require_same(other)
        return Money(self.units - other.units, self.currency)

    def __mul__(self, times: int) -> "Money":
        require_integer(times, "factor")
        return Money(self.units * times, self.currency)

    __rmul__ = __mul__

    def __neg__(self) -> "Money":
        return Money(-self.units, self.currency)

    def __abs__(self) -> "Money":
        return Money(abs(self.units), self.currency)

    def _require_same(self, other: "Money") -> None:
        if self.currency is not other.currency and self.currency != other.currency:
            raise mismatch(self.currency, other.currency)


# the fields' own setters: a frozen dataclass's __init__ would take half as long again
_set_units, _set_currency = (_Unsealed.__dict__[name].__set__ for name in ("units", "currency"))


def money_reader(registry: CurrencyRegistry) -> Callable[[str, str], Money]:
    """Return ``Money.parse`` for text and a code that the registry looks up, made once and called often.

    What is written at the currency's exponent, as money mostly is, is read in one pass; all else, and every
    error, is what ``lookup`` and ``parse`` make of it.
    """
    known = {currency.code: currency for currency in registry if currency.settleable}

    def read(text: str, code: str) -> Money:
        try:
            currency = known[code]
            whole, point, fraction = text.partition(".")
            digits = whole + fraction
            # see parse_units, which makes the same checks
            if (
                type(text) is str
                and len(text) <= SURE_CHARACTERS
                and len(fraction) == currency.exponent
                and digits.isdigit()
                and digits.isascii()
                and (whole >= "1" or whole == "0")
                and (fraction or not point)
            ):
                money = _Unsealed()
                money.units, money.currency = int(digits), currency
                money.__class__ = Money
                return money  # type: ignore[return-value]
        except (AttributeError, KeyError, TypeError):
            pass  # no text, or no code of the registry
        return Money.parse(text, registry.lookup(code))

    return read


def require_amount(amount: Amount) -> Amount:
    """Return an ``Amount`` as it is; raises ``InvalidAmount`` for anything else, such as ``Money``."""
    if not isinstance(amount, Amount):
        raise InvalidAmount(f"{shown(amount)} is of type {type(amount).__name__}: expected an Amount")
    return amount


def precise_amount(amount: Amount | Money) -> Amount:
    """Return an ``Amount`` as it is, ``Money`` as the amount it is; raises ``InvalidAmount`` for all else."""
    return amount.precise() if isinstance(amount, Money) else require_amount(amount)


def not_settleable(currency: Currency) -> NotSettleable:
    """Return the refusal to settle in a currency, naming what it is."""
    return NotSettleable(
        f"currency {currency.code} ({currency.name}) is of kind {currency.kind}: nothing settles in it"
    )


@dataclass(frozen=True, slots=True)
class Rounded:
    """What rounding gave: ``money``, the exact ``remainder`` (amount less money), the step of the trail."""

    money: Money
    remainder: Amount
    step: RoundingStep


def settle(amount: Amount, mode: Rounding, *, cash: bool = False, label: str = "settle") -> Rounded:
    """Return an amount as money rounded by a mode, to the minor unit or the cash increment, and the rest."""
    require_amount(amount)
    currency, exponent = amount.currency, amount.currency.exponent
    increment = currency.cash_increment if cash else 1
    numerator, denominator = amount.units * POWERS[exponent], POWERS[amount.scale]
    units = divide(numerator, denominator * increment, mode) * increment
    step = RoundingStep(label, numerator, denominator, mode, units, exponent, currency.code, increment)
    return _rounded(amount, step)


def settle_carrying(amount: Amount, carry: Carry, *, label: str = "settle") -> tuple[Rounded, Carry]:
    """Return an amount as money rounded with the remainder kept so far, and the remainder to keep."""
    require_amount(amount)
    currency = amount.currency
    numerator, denominator = amount.units * POWERS[currency.exponent], POWERS[amount.scale]
    units, kept = carry.round(numerator, denominator)
    mode, exponent = Rounding.CARRY, currency.exponent
    step = RoundingStep(label, numerator, denominator, mode, units, exponent, currency.code)
    return _rounded(amount, step), kept


def _rounded(amount: Amount, step: RoundingStep) -> Rounded:
    money = Money(step.result, amount.currency)
    return Rounded(money, amount - money.precise(), step)
