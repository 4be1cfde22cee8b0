"""Currencies: what ISO 4217 lists, what a configuration adds, and how an unknown code is refused."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import StrEnum
from itertools import takewhile
from types import MappingProxyType
from typing import Final

from worker.errors import InvalidMoneyRule, UnknownCurrency, WithdrawnCurrency
from worker.money import iso4217
from worker.money.text import MAX_SCALE, POWERS, parse_units, shown


class CurrencyKind(StrEnum):
    """What a code stands for, as ISO 4217 marks it; ``custom`` is a unit of the configuration."""

    CURRENCY = "currency"
    FUND = "fund"
    METAL = "metal"
    UNIT = "unit"
    TESTING = "testing"
    NONE = "none"
    CUSTOM = "custom"


_SETTLEABLE_KINDS: Final = frozenset({CurrencyKind.CURRENCY, CurrencyKind.FUND, CurrencyKind.CUSTOM})


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency or unit: ``exponent`` is its number of decimals, ``cash_increment`` is in minor units.

    Equal by code, exponent and kind, so that money mixes whichever registry it comes from; the cash increment
    is what this registry says of coins, not what the currency is.
    Codes are 3 to 12 upper-case letters or digits, the first a letter; exponents are 0 to 12 (ISO 4217 uses
    0 to 4, crypto units often 8). Where ISO 4217 says that an exponent is not applicable it is 0 here and
    ``settleable`` is false, as for XTS and XXX. Raises ``InvalidMoneyRule`` for anything else.
    """

    code: str
    exponent: int
    name: str = field(default="", compare=False)
    numeric: str | None = field(default=None, compare=False)
    kind: CurrencyKind = CurrencyKind.CUSTOM
    cash_increment: int = field(default=1, compare=False)
    settleable: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settleable", self.kind in _SETTLEABLE_KINDS)
        code = self.code
        well_formed = type(code) is str and code.isascii() and code.isalnum() and 3 <= len(code) <= 12
        if not well_formed or code != code.upper() or not code[0].isalpha():
            raise InvalidMoneyRule(
                f"currency code {shown(code)}: expected 3 to 12 upper-case letters or digits, a letter first"
            )
        if type(self.exponent) is not int or not 0 <= self.exponent <= MAX_SCALE:
            raise InvalidMoneyRule(
                f"currency {code}: exponent {self.exponent!r}, expected an integer from 0 to {MAX_SCALE}"
            )
        if type(self.cash_increment) is not int or self.cash_increment < 1:
            raise InvalidMoneyRule(
                f"currency {code}: cash increment {self.cash_increment!r}, expected 1 or more minor units"
            )

    def __str__(self) -> str:
        return self.code


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A code that ISO 4217 lists as historic: ``date`` is ``YYYY-MM`` or ``YYYY``, ``successor`` a code."""

    code: str
    date: str
    successor: str | None
    name: str


@dataclass(frozen=True, slots=True)
class CurrencyRegistry:
    """An immutable set of currencies; adding to it gives a new one."""

    currencies: Mapping[str, Currency]
    withdrawn: Mapping[str, Withdrawn]
    published: str

    def lookup(self, code: str) -> Currency:
        """Return the currency of a code.

        Raises ``WithdrawnCurrency`` with the successor, or ``UnknownCurrency`` with the nearest code.
        """
        try:
            return self.currencies[code]
        except (KeyError, TypeError):
            raise self._refusal(code) from None

    def __contains__(self, code: object) -> bool:
        return code in self.currencies

    def __iter__(self) -> Iterator[Currency]:
        return iter(self.currencies.values())

    def __len__(self) -> int:
        return len(self.currencies)

    def with_units(self, *units: Currency) -> "CurrencyRegistry":
        """Return a registry that knows these units too.

        Raises ``InvalidMoneyRule`` for a code that is taken, or that ISO 4217 has withdrawn.
        """
        currencies = dict(self.currencies)
        for unit in units:
            if unit.code in currencies or unit.code in self.withdrawn:
                raise InvalidMoneyRule(f"unit {unit.code}: the code is taken; choose one that no list uses")
            currencies[unit.code] = unit
        return replace(self, currencies=MappingProxyType(currencies))

    def with_cash_increments(self, increments: Mapping[str, str]) -> "CurrencyRegistry":
        """Return a registry with other cash increments, given as decimals by code, such as EUR 0.05.

        Raises ``InvalidMoneyRule`` if one is not a positive number of minor units.
        """
        currencies = dict(self.currencies)
        for code, text in increments.items():
            currency = self.lookup(code)
            currencies[code] = replace(currency, cash_increment=_increment(text, currency.exponent, code))
        return replace(self, currencies=MappingProxyType(currencies))

    def _refusal(self, code: object) -> UnknownCurrency:
        if type(code) is not str:
            return UnknownCurrency(f"currency {shown(code)}: expected a code as text, such as EUR")
        if (old := self.withdrawn.get(code)) is not None:
            fate = f"use {old.successor}, converting the amount" if old.successor else "nothing succeeded it"
            return WithdrawnCurrency(
                f"currency {code} ({old.name}): ISO 4217 withdrew it in {old.date}; {fate}"
            )
        near = self._nearest(code[:12].upper())
        hint = f"; did you mean {near}?" if near else ""
        return UnknownCurrency(
            f"currency {shown(code)}: neither in ISO 4217 of {self.published} nor a configured unit{hint}"
        )

    def _nearest(self, code: str) -> str | None:
        """Return a code much like it that something settles in, of several the one that begins most alike."""
        known = [one.code for one in self if one.settleable]
        letters = sorted(code)
        swapped = [one for one in known if sorted(one) == letters]
        near = swapped or (known and get_close_matches(code, known, n=len(known)))
        return max(sorted(near), key=lambda one: _same_start(one, code), default=None)


def _same_start(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(bool, map(str.__eq__, one, other)))


def _increment(text: str, exponent: int, code: str) -> int:
    units, scale = parse_units(text)
    if scale > exponent or units <= 0:
        raise InvalidMoneyRule(
            f"cash increment of {code}: {shown(text)}, expected above zero, {exponent} decimals at most"
        )
    return units * POWERS[exponent - scale]


def _rows(table: str, columns: int) -> Iterable[list[str]]:
    return (line.split(" ", columns - 1) for line in table.splitlines())


def build_iso_4217() -> CurrencyRegistry:
    """Return the registry of the pinned table, freshly read."""
    cash = {code: text for code, text, _ in _rows(iso4217.CASH_INCREMENTS, 3)}
    currencies = {}
    for code, numeric, exponent, kind, name in _rows(iso4217.CURRENT, 5):
        digits = 0 if exponent == "-" else int(exponent)
        increment = _increment(cash[code], digits, code) if code in cash else 1
        currencies[code] = Currency(code, digits, name, numeric, CurrencyKind(kind), increment)
    withdrawn = {
        code: Withdrawn(code, date, None if successor == "-" else successor, name)
        for code, date, successor, name in _rows(iso4217.WITHDRAWN, 4)
    }
    return CurrencyRegistry(MappingProxyType(currencies), MappingProxyType(withdrawn), iso4217.PUBLISHED)


ISO_4217: Final = build_iso_4217()
"""The registry of the pinned ISO 4217 table, without custom units."""
