"""What dead letters add up to, by code and currency: integers of 10^-12, exact at any size."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from worker.dead_letters.letter import DeadLetter
from worker.money import ISO_4217, MAX_SCALE, format_units

_DECIMALS_OF_UNKNOWN: Final = 2


@dataclass(slots=True)
class Sum:
    """How many letters, and their amounts together; letters without a readable one have no currency."""

    letters: int = 0
    units: int = 0


@dataclass(slots=True)
class Totals:
    """Sums of dead letters by (code, currency)."""

    sums: dict[tuple[str, str | None], Sum] = field(default_factory=dict)

    def add(self, letter: DeadLetter) -> None:
        """Count one letter."""
        currency, units = letter.amount or (None, 0)
        total = self.sums.setdefault((letter.code, currency), Sum())
        total.letters += 1
        total.units += units

    @property
    def letters(self) -> int:
        """How many letters were counted."""
        return sum(total.letters for total in self.sums.values())

    @property
    def codes(self) -> frozenset[str]:
        """The codes that were counted."""
        return frozenset(code for code, _ in self.sums)

    def rows(self) -> Iterator[tuple[str, str | None, int, str | None]]:
        """Yield code, currency, letters and amount as a plain decimal, the most frequent code first."""
        by_code: dict[str, int] = {}
        for (code, _), total in self.sums.items():
            by_code[code] = by_code.get(code, 0) + total.letters
        order = sorted(self.sums, key=lambda key: (-by_code[key[0]], key[0], key[1] is None, key[1] or ""))
        for code, currency in order:
            total = self.sums[code, currency]
            amount = None if currency is None else plain_amount(total.units, currency)
            yield code, currency, total.letters, amount

    def by_currency(self) -> list[tuple[str, str]]:
        """Return each currency with its sum over all codes, in alphabetical order."""
        sums: dict[str, int] = {}
        for (_, currency), total in self.sums.items():
            if currency is not None:
                sums[currency] = sums.get(currency, 0) + total.units
        return [(currency, plain_amount(units, currency)) for currency, units in sorted(sums.items())]


def plain_amount(units: int, currency: str) -> str:
    """Write units of 10^-12 as a plain decimal, with the currency's own decimals or more if needed."""
    known = ISO_4217.currencies.get(currency)
    decimals = _DECIMALS_OF_UNKNOWN if known is None else known.exponent
    whole, _, fraction = format_units(units, MAX_SCALE).partition(".")
    fraction = fraction.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{fraction}" if fraction else whole
