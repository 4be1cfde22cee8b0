"""Carry rounding: each rounding's remainder goes into the next, so that totals never drift."""

from dataclasses import dataclass
from math import gcd
from typing import Final

from worker.errors import AmountOverflow, InvalidAmount
from worker.money.rounding import half_even
from worker.money.text import shown

MAX_DENOMINATOR: Final = 10**36
"""Finest remainder kept: every decimal of amounts, percentages and tiers ends well before it."""


@dataclass(frozen=True, slots=True)
class Carry:
    """The remainder kept for one key: ``numerator / denominator`` minor units, from -1/2 to 1/2.

    Pure: state in, state out. After any number of roundings the rounded total differs from the exact total by
    this remainder and nothing else. Raises ``InvalidAmount`` outside those bounds, ``AmountOverflow`` for a
    denominator above 10**36.
    """

    numerator: int = 0
    denominator: int = 1

    def __post_init__(self) -> None:
        numerator, denominator = self.numerator, self.denominator
        if type(numerator) is not int or type(denominator) is not int or denominator < 1:
            raise InvalidAmount(
                f"carry {shown(numerator)}/{shown(denominator)}: expected integers, the second above zero"
            )
        if 2 * abs(numerator) > denominator:
            raise InvalidAmount(f"carry {numerator}/{denominator}: more than half a minor unit")
        if denominator > MAX_DENOMINATOR:
            raise AmountOverflow(f"carry {numerator}/{denominator}: finer than 1/10**36 minor units")

    def round(self, numerator: int, denominator: int) -> tuple[int, "Carry"]:
        """Return a fraction of minor units as a whole number, with the remainder to give to the next."""
        total = numerator * self.denominator + self.numerator * denominator
        whole = denominator * self.denominator
        units = half_even(total, whole)
        left = total - units * whole
        shared = gcd(left, whole)
        return units, Carry(left // shared, whole // shared)

    @classmethod
    def parse(cls, text: str) -> "Carry":
        """Return the carry of its text, as the journal keeps it: ``"0"`` or ``"-1/4"``."""
        body = text.removeprefix("-")
        above, slash, below = body.partition("/")
        parts = (above, below) if slash else (above,)
        if not all(part.isascii() and part.isdigit() and len(part) <= 40 for part in parts):
            raise InvalidAmount(f'carry {shown(text)}: expected a fraction of a minor unit, such as "-1/4"')
        numerator = int(above)
        return cls(-numerator if body is not text else numerator, int(below) if slash else 1)

    def __str__(self) -> str:
        return str(self.numerator) if self.denominator == 1 else f"{self.numerator}/{self.denominator}"
