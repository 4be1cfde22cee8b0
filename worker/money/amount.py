"""The two amounts: ``Amount`` at any scale, which accrues, and ``Money`` at its currency's, which settles."""

from dataclasses import dataclass
from functools import total_ordering
from typing import Final

from worker.errors import CurrencyMismatch, InvalidAmount, NotSettleable, TooManyDigits
from worker.money.currency import Currency
from worker.money.rounding import Rounding, divide
from worker.money.text import (
    MAX_SCALE,
    MAX_UNITS,
    MIN_UNITS,
    POWERS,
    checked,
    format_units,
    parse_units,
    shown,
)
from worker.money.trail import RoundingStep


def _require_integer(value: object, what: str) -> None:
    if type(value) is not int:
        raise InvalidAmount(
            f"{what} {shown(value)} is of type {type(value).__name__}: only int is exact here"
        )


def _mismatch(one: Currency, other: Currency) -> CurrencyMismatch:
    return CurrencyMismatch(f"{one.code} and {other.code} do not mix: convert one of them by a rate first")


@total_ordering
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Amount:
    """A precise amount: integer ``units`` at a ``scale`` of 0 to 12 decimals.

    Equal and ordered by value, so 1.0 equals 1.00, though each keeps its own text. Sums and differences take
    the larger scale. Raises ``InvalidAmount`` for what is not an ``int`` (a ``bool`` or ``float``, say),
    ``TooManyDigits`` for another scale, ``AmountOverflow`` outside signed 64 bits and ``CurrencyMismatch``
    when currencies differ.
    """

    units: int
    scale: int
    currency: Currency

    def __post_init__(self) -> None:
        units, scale = self.units, self.scale
        if type(units) is not int or type(scale) is not int:
            _require_integer(units, "units")
            _require_integer(scale, "scale")
        if not 0 <= scale <= MAX_SCALE:
            raise TooManyDigits(f"scale {scale}: expected 0 to {MAX_SCALE} digits after the point")
        if not MIN_UNITS <= units <= MAX_UNITS:
            checked(units, scale)

    @classmethod
    def parse(cls, text: str, currency: Currency) -> "Amount":
        """Return the amount of a plain decimal at the scale it is written in; see ``parse_units``."""
        units, scale = parse_units(text)
        return cls(units, scale, currency)

    @classmethod
    def zero(cls, currency: Currency) -> "Amount":
        """Return nothing of a currency, at its exponent."""
        return cls(0, currency.exponent, currency)

    def __str__(self) -> str:
        return format_units(self.units, self.scale)

    def __repr__(self) -> str:
        return f"Amount('{self}', '{self.currency.code}')"

    def __bool__(self) -> bool:
        return self.units != 0

    def __hash__(self) -> int:
        return hash((self.units * POWERS[MAX_SCALE - self.scale], self.currency.code))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Amount):
            return NotImplemented
        if self.currency != other.currency:
            return False
        return self.units * POWERS[other.scale] == other.units * POWERS[self.scale]

    def __lt__(self, other: "Amount") -> bool:
        if not isinstance(other, Amount):
            return NotImplemented
        if self.currency is not other.currency and self.currency != other.currency:
            raise _mismatch(self.currency, other.currency)
        return self.units * POWERS[other.scale] < other.units * POWERS[self.scale]

    def __add__(self, other: "Amount") -> "Amount":
        if not isinstance(other, Amount):
            return NotImplemented
        currency, scale = self.currency, self.scale
        if currency is not other.currency and currency != other.currency:
            raise _mismatch(currency, other.currency)
        if scale == other.scale:
            return Amount(self.units + other.units, scale, currency)
        larger = max(scale, other.scale)
        return Amount(self._at(larger) + other._at(larger), larger, currency)

    def __sub__(self, other: "Amount") -> "Amount":
        if not isinstance(other, Amount):
            return NotImplemented
        if self.currency is not other.currency and self.currency != other.currency:
            raise _mismatch(self.currency, other.currency)
        larger = max(self.scale, other.scale)
        return Amount(self._at(larger) - other._at(larger), larger, self.currency)

    def __mul__(self, times: int) -> "Amount":
        _require_integer(times, "factor")
        return Amount(self.units * times, self.scale, self.currency)

    __rmul__ = __mul__

    def __neg__(self) -> "Amount":
        return Amount(-self.units, self.scale, self.currency)

    def __abs__(self) -> "Amount":
        return Amount(abs(self.units), self.scale, self.currency)

    def _at(self, scale: int) -> int:
        return self.units * POWERS[scale - self.scale]

    def at_scale(self, scale: int) -> "Amount":
        """Return the same value at another scale; raises ``TooManyDigits`` if digits would be lost."""
        if type(scale) is not int or not 0 <= scale <= MAX_SCALE:
            raise TooManyDigits(f"scale {shown(scale)}: expected 0 to {MAX_SCALE} digits after the point")
        if scale >= self.scale:
            return Amount(self.units * POWERS[scale - self.scale], scale, self.currency)
        kept, lost = divmod(self.units, POWERS[self.scale - scale])
        if lost:
            raise TooManyDigits(
                f"amount {self} {self.currency.code}: {scale} decimals would lose digits; "
                "round it by a named mode"
            )
        return Amount(kept, scale, self.currency)

    def money(self) -> "Money":
        """Return the settleable money of the same value; raises ``TooManyDigits`` if digits would be lost."""
        return Money(self.at_scale(self.currency.exponent).units, self.currency)

    def round(self, mode: Rounding, *, cash: bool = False, label: str = "round") -> "Rounded":
        """Return settleable money rounded by a mode to the minor unit or cash increment, and the rest."""
        currency = self.currency
        increment = currency.cash_increment if cash else 1
        numerator = self.units * POWERS[currency.exponent]
        denominator = POWERS[self.scale]
        units = divide(numerator, denominator * increment, mode) * increment
        money = Money(units, currency)
        scale = max(self.scale, currency.exponent)
        remainder = Amount(self._at(scale) - units * POWERS[scale - currency.exponent], scale, currency)
        step = RoundingStep(label, numerator, denominator, mode, units, currency.exponent, currency.code)
        return Rounded(money, remainder, step)


@total_ordering
@dataclass(frozen=True, slots=True, repr=False)
class Money:
    """Settleable money: ``units`` minor units of a currency, at its exponent.

    Raises ``InvalidAmount`` for units that are not an ``int``, ``AmountOverflow`` outside signed 64 bits,
    ``NotSettleable`` in XXX, XTS, metals and units of account, ``CurrencyMismatch`` when currencies differ.
    """

    units: int
    currency: Currency

    def __post_init__(self) -> None:
        units = self.units
        if type(units) is not int:
            _require_integer(units, "units")
        if not MIN_UNITS <= units <= MAX_UNITS:
            checked(units, self.currency.exponent)
        if not self.currency.settleable:
            raise not_settleable(self.currency)

    @classmethod
    def parse(cls, text: str, currency: Currency, mode: Rounding | None = None) -> "Money":
        """Return the money of a plain decimal; fewer decimals than the exponent are filled up.

        More raise ``TooManyDigits``, even zeros, unless a rounding mode is named.
        """
        units, scale = parse_units(text)
        exponent = currency.exponent
        if scale <= exponent:
            return cls(units * POWERS[exponent - scale], currency)
        if mode is None:
            raise TooManyDigits(
                f"amount {shown(text)}: {currency.code} has {exponent} digits after the point, not {scale}; "
                "name a rounding mode to accept it"
            )
        return cls(divide(units, POWERS[scale - exponent], mode), currency)

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
        _require_integer(times, "factor")
        return Money(self.units * times, self.currency)

    __rmul__ = __mul__

    def __neg__(self) -> "Money":
        return Money(-self.units, self.currency)

    def __abs__(self) -> "Money":
        return Money(abs(self.units), self.currency)

    def _require_same(self, other: "Money") -> None:
        if self.currency is not other.currency and self.currency != other.currency:
            raise _mismatch(self.currency, other.currency)


def not_settleable(currency: Currency) -> NotSettleable:
    """Return the refusal to settle in a currency, naming what it is."""
    return NotSettleable(
        f"currency {currency.code} ({currency.name}) is a {currency.kind} code: nothing settles in it"
    )


@dataclass(frozen=True, slots=True)
class Rounded:
    """What rounding gave: ``money``, the exact ``remainder`` (amount less money), the step of the trail."""

    money: Money
    remainder: Amount
    step: RoundingStep


__all__: Final = ["Amount", "Money", "Rounded", "not_settleable"]
