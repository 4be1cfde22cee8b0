"""Exchange: rates as exact fractions with source and time, and conversions that show what they did."""

from dataclasses import dataclass, replace
from math import gcd
from typing import Final

from worker.errors import CurrencyMismatch, InvalidAmount, InvalidMoneyRule, MissingRate, StaleRate
from worker.money.amount import Amount
from worker.money.currency import Currency
from worker.money.rounding import Rounding, divide
from worker.money.settled import Money, precise_amount
from worker.money.text import MAX_SCALE, POWERS, parse_units, require_integer, shown
from worker.money.trail import RoundingStep, exact_text

_BASIS_POINTS: Final = 10_000
MAX_TERM: Final = 10**60
"""Largest numerator or denominator of a rate: three published rates and a markup multiplied fit."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How many ``quote`` one ``base`` is worth: ``numerator / denominator``, exact and above zero.

    ``source`` says who published it, ``as_of`` when, in seconds since 1970, ``derivation`` what was done
    to it since. Raises ``InvalidMoneyRule`` for anything else, or for a currency against itself.
    """

    base: Currency
    quote: Currency
    numerator: int
    denominator: int
    source: str
    as_of: int
    derivation: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        terms = (self.numerator, self.denominator)
        if any(type(term) is not int or not 0 < term <= MAX_TERM for term in terms):
            raise InvalidMoneyRule(
                f"rate {self.pair}: {shown(self.numerator)}/{shown(self.denominator)}, "
                "expected integers above zero"
            )
        if type(self.as_of) is not int:
            raise InvalidMoneyRule(
                f"rate {self.pair}: time {shown(self.as_of)}, expected whole seconds since 1970"
            )
        if self.base == self.quote:
            raise InvalidMoneyRule(f"rate {self.pair}: a currency has no rate against itself")

    @classmethod
    def parse(cls, text: str, base: Currency, quote: Currency, *, source: str, as_of: int) -> "Rate":
        """Return the rate of plain decimal text above zero, of up to 12 decimals."""
        try:
            units, scale = parse_units(text)
        except InvalidAmount as error:
            raise _no_rate(text, base, quote) from error
        if units <= 0:
            raise _no_rate(text, base, quote)
        return cls(base, quote, units, POWERS[scale], source, as_of)

    @property
    def pair(self) -> str:
        """The codes of both, base first: ``EUR/USD``."""
        return f"{self.base.code}/{self.quote.code}"

    def __str__(self) -> str:
        return exact_text(self.numerator, self.denominator)

    def inverse(self) -> "Rate":
        """Return the exact rate the other way round."""
        return replace(
            self,
            base=self.quote,
            quote=self.base,
            numerator=self.denominator,
            denominator=self.numerator,
            derivation=(*self.derivation, f"inverse of {self.pair}"),
        )

    def across(self, other: "Rate") -> "Rate":
        """Return this rate followed by another, exactly; it is as old as the older of the two.

        Raises ``CurrencyMismatch`` unless the other one starts where this one ends.
        """
        if self.quote != other.base:
            raise CurrencyMismatch(f"rate {self.pair} does not lead to {other.pair}")
        numerator, denominator = _reduced(
            self.numerator * other.numerator, self.denominator * other.denominator
        )
        source = self.source if self.source == other.source else f"{self.source}, {other.source}"
        steps = (*self.derivation, *other.derivation, f"{self.pair} across {other.pair}")
        as_of = min(self.as_of, other.as_of)
        return Rate(self.base, other.quote, numerator, denominator, source, as_of, steps)

    def with_markup(self, basis_points: int) -> "Rate":
        """Return the rate less a markup in hundredths of a percent, so that the customer gets less.

        Raises ``InvalidMoneyRule`` outside 0 to 9,999 basis points.
        """
        if type(basis_points) is not int or not 0 <= basis_points < _BASIS_POINTS:
            raise InvalidMoneyRule(f"markup {shown(basis_points)}: expected 0 to 9999 basis points")
        numerator, denominator = _reduced(
            self.numerator * (_BASIS_POINTS - basis_points), self.denominator * _BASIS_POINTS
        )
        steps = (*self.derivation, f"markup of {basis_points} basis points")
        return replace(self, numerator=numerator, denominator=denominator, derivation=steps)

    def fresh(self, now: int, max_age_seconds: int) -> "Rate":
        """Return the rate itself; raises ``StaleRate`` if it is older than allowed, or from the future.

        Both are whole seconds: raises ``InvalidAmount`` for what is not an ``int``.
        """
        require_integer(now, "now")
        require_integer(max_age_seconds, "max_age_seconds")
        age = now - self.as_of
        if not 0 <= age <= max_age_seconds:
            raise StaleRate(
                f"rate {self.pair} of {self.source}: {age} seconds old, 0 to {max_age_seconds} allowed; "
                "load a newer one"
            )
        return self

    def convert(self, amount: Amount | Money, mode: Rounding) -> "Exchange":
        """Return an amount of the base as money of the quote, rounded once by a mode, with the whole record.

        Raises ``CurrencyMismatch`` for an amount in another currency.
        """
        source = precise_amount(amount)
        if source.currency != self.base:
            raise CurrencyMismatch(f"rate {self.pair} converts {self.base.code}, not {source.currency.code}")
        exponent = self.quote.exponent
        numerator = source.units * self.numerator * POWERS[exponent]
        denominator = POWERS[source.scale] * self.denominator
        units = divide(numerator, denominator, mode)
        step = RoundingStep(
            f"convert {self.pair}", numerator, denominator, mode, units, exponent, self.quote.code
        )
        return Exchange(source, Money(units, self.quote), self, step)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The record of a conversion: what was given, what came of it, the rate used and the rounding.

    The exact remainder is the step's: given times rate equals result plus remainder.
    """

    given: Amount
    result: Money
    rate: Rate
    step: RoundingStep

    @property
    def remainder(self) -> str:
        """What rounding left over, exactly, in the quote currency."""
        return self.step.remainder


@dataclass(frozen=True, slots=True)
class Quote:
    """A two-sided rate of one pair: ``bid`` is paid for the base, ``ask`` is what the base costs.

    Raises ``InvalidMoneyRule`` if the pairs differ or the bid is above the ask.
    """

    bid: Rate
    ask: Rate

    def __post_init__(self) -> None:
        bid, ask = self.bid, self.ask
        if bid.pair != ask.pair or bid.numerator * ask.denominator > ask.numerator * bid.denominator:
            raise InvalidMoneyRule(f"quote {bid.pair} {bid} - {ask.pair} {ask}: expected one pair, bid first")

    def rate_from(self, currency: Currency) -> Rate:
        """Return the rate for someone who gives this currency: the bid, or the inverse of the ask.

        Raises ``MissingRate`` if it is neither of the pair.
        """
        if currency == self.bid.base:
            return self.bid
        if currency == self.ask.quote:
            return self.ask.inverse()
        raise MissingRate(f"quote {self.bid.pair}: no rate from {currency.code}")


@dataclass(frozen=True, slots=True)
class RateBook:
    """An immutable set of rates with a currency to cross by.

    Raises ``InvalidMoneyRule`` if one pair is there twice.
    """

    rates: tuple[Rate, ...]
    via: Currency | None = None

    def __post_init__(self) -> None:
        pairs = [rate.pair for rate in self.rates]
        if len(set(pairs)) < len(pairs):
            raise InvalidMoneyRule(f"rates: a pair is there twice among {', '.join(sorted(pairs))}")

    def find(self, base: Currency, quote: Currency, *, now: int, max_age_seconds: int) -> Rate:
        """Return a fresh rate: direct, else the inverse, else across the book's currency.

        Times are in seconds. Raises ``MissingRate``, or ``StaleRate`` for the rate that would have been used.
        """
        rate = self._either_way(base, quote)
        if rate is None and self.via is not None:
            first, second = self._either_way(base, self.via), self._either_way(self.via, quote)
            if first is not None and second is not None:
                rate = first.fresh(now, max_age_seconds).across(second.fresh(now, max_age_seconds))
        if rate is None:
            across = f", nor across {self.via.code}" if self.via is not None else ""
            raise MissingRate(f"rate {base.code}/{quote.code}: neither it nor its inverse is loaded{across}")
        return rate.fresh(now, max_age_seconds)

    def _either_way(self, base: Currency, quote: Currency) -> Rate | None:
        inverse = None
        for rate in self.rates:
            if rate.base == base and rate.quote == quote:
                return rate
            if rate.base == quote and rate.quote == base:
                inverse = rate.inverse()
        return inverse


def _no_rate(text: object, base: Currency, quote: Currency) -> InvalidMoneyRule:
    return InvalidMoneyRule(
        f"rate {base.code}/{quote.code} {shown(text)}: expected a plain decimal above zero within 64 bits, "
        f'of at most {MAX_SCALE} decimals, such as "1.0825"'
    )


def _reduced(numerator: int, denominator: int) -> tuple[int, int]:
    shared = gcd(numerator, denominator)
    return numerator // shared, denominator // shared
