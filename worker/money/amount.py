"""The precise amount, at any scale up to 12: what accrues from micro-payments, rates and fees."""

from dataclasses import dataclass
from functools import total_ordering

from worker.errors import CurrencyMismatch, InvalidAmount, TooManyDigits
from worker.money.currency import Currency
from worker.money.rounding import Rounding, rescale
from worker.money.text import (
    MAX_SCALE,
    MAX_UNITS,
    MIN_UNITS,
    POWERS,
    checked,
    format_units,
    parse_units,
    require_integer,
    shown,
)


def no_currency(value: object) -> InvalidAmount:
    """Return the refusal of what is not a ``Currency``: a code must be looked up first."""
    return InvalidAmount(f"currency {shown(value)}: expected a Currency, as a registry looks it up")


def mismatch(one: Currency, other: Currency) -> CurrencyMismatch:
    """Return the refusal to mix two currencies, naming both."""
    return CurrencyMismatch(f"{one.code} and {other.code} do not mix: convert one of them by a rate first")


@total_ordering
@dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
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

    def __init__(self, units: int, scale: int, currency: Currency) -> None:
        if type(units) is not int or type(scale) is not int:
            require_integer(units, "units")
            require_integer(scale, "scale")
        if type(currency) is not Currency:
            raise no_currency(currency)
        if not 0 <= scale <= MAX_SCALE:
            raise TooManyDigits(f"scale {scale}: expected 0 to {MAX_SCALE} digits after the point")
        if not MIN_UNITS <= units <= MAX_UNITS:
            checked(units, scale)
        _set_units(self, units)
        _set_scale(self, scale)
        _set_currency(self, currency)

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
            raise mismatch(self.currency, other.currency)
        return self.units * POWERS[other.scale] < other.units * POWERS[self.scale]

    def __add__(self, other: "Amount") -> "Amount":
        if not isinstance(other, Amount):
            return NotImplemented
        currency, scale = self.currency, self.scale
        if currency is not other.currency and currency != other.currency:
            raise mismatch(currency, other.currency)
        if scale == other.scale:
            return Amount(self.units + other.units, scale, currency)
        larger = max(scale, other.scale)
        return Amount(self._at(larger) + other._at(larger), larger, currency)

    def __sub__(self, other: "Amount") -> "Amount":
        if not isinstance(other, Amount):
            return NotImplemented
        if self.currency is not other.currency and self.currency != other.currency:
            raise mismatch(self.currency, other.currency)
        larger = max(self.scale, other.scale)
        return Amount(self._at(larger) - other._at(larger), larger, self.currency)

    def __mul__(self, times: int) -> "Amount":
        require_integer(times, "factor")
        return Amount(self.units * times, self.scale, self.currency)

    __rmul__ = __mul__

    def __neg__(self) -> "Amount":
        return Amount(-self.units, self.scale, self.currency)

    def __abs__(self) -> "Amount":
        return Amount(abs(self.units), self.scale, self.currency)

    def _at(self, scale: int) -> int:
        return self.units * POWERS[scale - self.scale]

    def rounded(self, scale: int, mode: Rounding) -> "Amount":
        """Return the amount at a scale, rounded by a mode; ``settle`` also tells what is left."""
        return Amount(rescale(self.units, self.scale, scale, mode), scale, self.currency)

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


# the fields' own setters: a frozen dataclass's __init__ would take half as long again
_set_units, _set_scale, _set_currency = (
    Amount.__dict__[name].__set__ for name in ("units", "scale", "currency")
)
