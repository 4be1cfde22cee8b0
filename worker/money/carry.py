"""Carry rounding: each rounding's remainder goes into the next, so that totals never drift."""

from dataclasses import dataclass
from math import gcd
from typing import Final

from worker.errors import AmountOverflow, InvalidAmount
from worker.money.rounding import half_even, require_fraction
from worker.money.text import MAX_UNITS, require_integer, shown

MAX_DENOMINATOR: Final = 10**36
"""Finest remainder kept: every decimal of amounts, percentages and tiers ends well before it."""
_MAX_TEXT_DIGITS: Final = 56


@dataclass(frozen=True, slots=True)
class Carry:
    """The remainder kept for one key: ``numerator / denominator`` minor units, -1/2 or more.

    It is at most 1/2, unless payments were too small for what was due: then it is what they still owe.
    Pure: state in, state out. After any number of roundings the rounded total differs from the exact total by
    this remainder and nothing else. Raises ``InvalidAmount`` below -1/2, ``AmountOverflow`` for a
    denominator above 10**36 or more than 2**63 - 1 minor units.
    """

    numerator: int = 0
    denominator: int = 1

    def __post_init__(self) -> None:
        numerator, denominator = self.numerator, self.denominator
        if type(numerator) is not int or type(denominator) is not int or denominator < 1:
            raise InvalidAmount(
                f"carry {shown(numerator)}/{shown(denominator)}: expected integers, the second above zero"
            )
        if 2 * numerator < -denominator:
            raise InvalidAmount(f"carry {numerator}/{denominator}: expected -1/2 minor units or more")
        if denominator > MAX_DENOMINATOR:
            raise AmountOverflow(f"carry {numerator}/{denominator}: finer than 1/10**36 minor units")
        if numerator > MAX_UNITS * denominator:
            raise AmountOverflow(f"carry {shown(str(numerator))}/{denominator}: more than 64 bits are owed")

    def round(self, numerator: int, denominator: int) -> tuple[int, "Carry"]:
        """Return a fraction of minor units as a whole number, with the remainder to give to the next.

        Raises ``InvalidAmount`` for what is not an ``int``, and a denominator that is not above zero.
        """
        require_fraction(numerator, denominator)
        total = numerator * self.denominator + self.numerator * denominator
        whole = denominator * self.denominator
        units = half_even(total, whole)
        left = total - units * whole
        shared = gcd(left, whole)
        return units, Carry(left // shared, whole // shared)

    def owing(self, units: int) -> "Carry":
        """Return the remainder with whole minor units owed on top of it."""
        require_integer(units, "units")
        return Carry(self.numerator + units * self.denominator, self.denominator)

    @classmethod
    def parse(cls, text: str) -> "Carry":
        """Return the carry of its text, as the journal keeps it: ``"0"`` or ``"-1/4"``."""
        body = text.removeprefix("-") if type(text) is str else ""
        above, slash, below = body.partition("/")
        parts = (above, below) if slash else (above,)
        if not all(part.isascii() and part.isdigit() and len(part) <= _MAX_TEXT_DIGITS for part in parts):
            raise InvalidAmount(f'carry {shown(text)}: expected a fraction of a minor unit, such as "-1/4"')
        numerator = int(above)
        return cls(-numerator if body is not text else numerator, int(below) if slash else 1)

    def __str__(self) -> str:
        return str(self.numerator) if self.denominator == 1 else f"{self.numerator}/{self.denominator}"
