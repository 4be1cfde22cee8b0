"""The rounding trail: every step that rounded, kept so that people can check it by hand."""

from dataclasses import dataclass
from enum import StrEnum
from math import gcd

from worker.money.rounding import Rounding
from worker.money.text import format_units


def exact_text(numerator: int, denominator: int) -> str:
    """Return a fraction as exact text: a decimal if it ends, ``"10/3"`` otherwise."""
    shared = gcd(numerator, denominator)
    numerator, denominator = numerator // shared, denominator // shared
    rest, twos, fives = denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest >> 1, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest > 1:
        return f"{numerator}/{denominator}"
    scale = max(twos, fives)
    return format_units(numerator * 10**scale // denominator, scale)


class Rule(StrEnum):
    """What decided a result where no rounding mode did."""

    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    CLAMPED = "clamped"
    OWED = "owed"
    LARGEST_REMAINDER = "largest_remainder"


@dataclass(frozen=True, slots=True)
class RoundingStep:
    """One step: ``numerator / denominator`` minor units at ``exponent`` became ``result`` minor units.

    ``mode`` is the rounding mode, or the rule that decided instead of one; ``increment`` is what the result
    is a multiple of, in minor units.
    """

    label: str
    numerator: int
    denominator: int
    mode: Rounding | Rule
    result: int
    exponent: int
    currency: str
    increment: int = 1

    @property
    def exact(self) -> str:
        """The value before rounding, in whole currency units."""
        return exact_text(self.numerator, self.denominator * 10**self.exponent)

    @property
    def rounded(self) -> str:
        """The value after rounding, in whole currency units."""
        return format_units(self.result, self.exponent)

    @property
    def remainder(self) -> str:
        """Exact less rounded, in whole currency units."""
        left = self.numerator - self.result * self.denominator
        return exact_text(left, self.denominator * 10**self.exponent)

    @property
    def verb(self) -> str:
        """``rounded``, ``exact`` if nothing had to be, or by a rule ``bounded`` or ``allocated``."""
        if self.mode is Rule.LARGEST_REMAINDER:
            return "allocated"
        if isinstance(self.mode, Rule):
            return "bounded"
        return "rounded" if self.numerator != self.result * self.denominator else "exact"

    def as_dict(self) -> dict[str, str]:
        """Return the step as text by name, as the journal and ``--json`` print it."""
        step = {
            "step": self.label,
            "exact": self.exact,
            "mode": self.mode.value,
            "result": self.rounded,
            "remainder": self.remainder,
            "currency": self.currency,
        }
        return step if self.increment == 1 else {**step, "increment": self._increment}

    def __str__(self) -> str:
        steps = "" if self.increment == 1 else f" in steps of {self._increment}"
        return (
            f"{self.label}: {self.exact} -> {self.rounded} {self.currency} "
            f"({self.mode.value}{steps}, remainder {self.remainder})"
        )

    @property
    def _increment(self) -> str:
        return format_units(self.increment, self.exponent)
