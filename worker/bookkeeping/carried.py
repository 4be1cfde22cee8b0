"""Whether remainders add up: exact fees are the charged ones and what was carried on, exactly."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import orjson

from worker.journal.books import Kept, Page
from worker.journal.protocol import Charged
from worker.money import Carry, Rounding, Rule

_DUE: Final = {Rounding.CARRY.value: "exact", Rule.MINIMUM.value: "result", Rule.MAXIMUM.value: "result"}
"""What is due by a step of the trail: the exact fee, or the contract's bound in its place."""


@dataclass(slots=True)
class CarryBooks:
    """One currency's fees that are rounded by carry, in whole currency units.

    ``exact`` fees are ``charged`` ones and what is ``left``. ``anew`` counts payments that were charged by
    other rules in the end: what they had left in remainders before, ``left_anew``, stays there.
    """

    payments: int = 0
    exact: Fraction = Fraction()
    charged: Fraction = Fraction()
    left: Fraction = Fraction()
    anew: int = 0
    left_anew: Fraction = Fraction()
    keys: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    """By how many minor units payments have changed each key's remainder."""

    def enter(self, page: Page) -> Iterator[str]:
        """Add a payment; yield what is wrong with it."""
        changes = {carried.key: _change(carried.before, carried.after) for carried in page.carried}
        for key, change in changes.items():
            self.keys[key] += change
        charged, standing = page.charged, page.standing
        if charged is None:
            yield "has changed remainders, but was not charged with them"
            return
        try:
            exact, exponent = _due(charged)
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            yield "how its fees were rounded cannot be read"
            return
        left = sum(changes.values(), Fraction()) / 10**exponent
        fees = Fraction(charged.gross - charged.net, 10**charged.scale)
        if set(page.keys) != changes.keys() or Fraction(standing.fees, 10**standing.scale) != fees:
            self.anew += 1
            self.left_anew += left
            return
        self.payments += 1
        self.exact += exact
        self.charged += fees
        self.left += left
        if exact != fees + left:
            yield f"its exact fees are {exact}, but it was charged {fees} and left {left} in remainders"

    @staticmethod
    def wrong_remainders(
        all_books: Iterable["CarryBooks"], kept: Mapping[str, Kept]
    ) -> Iterator[tuple[str, str]]:
        """Yield keys whose remainder is not what payments, pruned ones too, have left in it, and why."""
        changes = {key: change for books in all_books for key, change in books.keys.items()}
        for key in sorted(changes.keys() | kept.keys()):
            remainder, pruned = kept.get(key, _NOTHING)
            is_kept = Fraction(remainder.numerator, remainder.denominator)
            left = changes.get(key, Fraction()) + pruned
            if is_kept != left:
                yield key, f"its remainder is {is_kept}, but payments have left {left} minor units in it"


_NOTHING: Final = Kept(Carry(), Fraction())


def _change(before: Carry, after: Carry) -> Fraction:
    return Fraction(after.numerator, after.denominator) - Fraction(before.numerator, before.denominator)


def _due(charged: Charged) -> tuple[Fraction, int]:
    """Return the exact fees in whole currency units, and the decimals of its minor units."""
    steps = orjson.loads(charged.trail)
    due = [Fraction(step[_DUE[step["mode"]]]) for step in steps if step["mode"] in _DUE]
    exponent = len(steps[0]["result"].partition(".")[2]) if steps else 0
    return sum(due, Fraction()), exponent
