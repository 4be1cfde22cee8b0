"""Sets of payments as unions of boxes: what a rule describes, exactly for values and intervals.

A box bounds some dimensions and leaves the others free. Fields compared for equality have sets of values,
amounts and times have intervals. What is neither (text patterns, card ranges, time windows) is a dimension of
its own that is true or false: two such conditions count as independent, so that what is claimed to be covered
or empty is so, while a part that remains may still be impossible.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.iso3166 import COUNTRY_CODES
from worker.routing.conditions import Among, Condition, Exists, Not, Range, Value, disjuncts
from worker.routing.fields import ALWAYS_PRESENT

NUMERIC = frozenset({"amount", "created_at"})


@dataclass(frozen=True, slots=True)
class Values:
    """These values, or with ``complement`` all others; ``missing`` says whether the field may be absent."""

    values: frozenset[Value]
    complement: bool
    missing: bool

    def inverted(self) -> "Values":
        """Return everything else."""
        return Values(self.values, not self.complement, not self.missing)

    def both(self, other: "Values") -> "Values":
        """Return what is in this set and in the other."""
        missing = self.missing and other.missing
        if self.complement and other.complement:
            return Values(self.values | other.values, complement=True, missing=missing)
        if self.complement:
            return Values(other.values - self.values, complement=False, missing=missing)
        if other.complement:
            return Values(self.values - other.values, complement=False, missing=missing)
        return Values(self.values & other.values, complement=False, missing=missing)


@dataclass(frozen=True, slots=True)
class Span:
    """Integers from ``low`` to below ``high``; None is unbounded."""

    low: int | None
    high: int | None


Dimension = str | Condition
Side = Values | Span | bool
Box = Mapping[Dimension, Side]


@dataclass(frozen=True, slots=True)
class Space:
    """The payments there can be: the fields that have a known, finite set of values."""

    domains: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, currencies: Iterable[str]) -> "Space":
        """Return the space of payments in these currencies, from any country."""
        return cls({"currency": frozenset(currencies), "country": COUNTRY_CODES})

    def full(self, dimension: Dimension) -> Side | None:
        """Return the whole of a dimension; None for one that is true or false."""
        if not isinstance(dimension, str):
            return None
        if dimension == "amount":
            return Span(1, None)
        if dimension == "created_at":
            return Span(None, None)
        return Values(frozenset(), complement=True, missing=dimension not in ALWAYS_PRESENT)

    def is_empty(self, dimension: Dimension, side: Side) -> bool:
        """Return whether nothing lies on this side of a dimension."""
        match side:
            case Span(low, high):
                return low is not None and high is not None and low >= high
            case Values(values, complement, missing):
                domain = self.domains.get(dimension) if isinstance(dimension, str) else None
                if missing:
                    return False
                if complement:
                    return domain is not None and domain <= values
                return not values if domain is None else not (values & domain)
            case _:
                return False

    def apart(self, one: Box, other: Box) -> bool:
        """Return whether two boxes surely share nothing, at a glance: by the sets and intervals both name."""
        for dimension, side in other.items():
            mine = one.get(dimension)
            if isinstance(side, Values) and isinstance(mine, Values):
                named = not (side.complement or mine.complement or (side.missing and mine.missing))
                if named and side.values.isdisjoint(mine.values):
                    return True
            elif isinstance(side, Span) and isinstance(mine, Span):
                below = side.high is not None and mine.low is not None and side.high <= mine.low
                if below or (side.low is not None and mine.high is not None and side.low >= mine.high):
                    return True
        return False

    def both(self, one: Box, other: Box) -> Box | None:
        """Return the box of payments in both, or None when there are none."""
        found = dict(one)
        for dimension, side in other.items():
            mine = found.get(dimension, self.full(dimension))
            shared = _shared(mine, side)
            if shared is None or self.is_empty(dimension, shared):
                return None
            found[dimension] = shared
        return found

    def minus(self, one: Box, other: Box) -> list[Box]:
        """Return disjoint boxes of the payments in ``one`` that are not in ``other``."""
        if self.apart(one, other) or self.both(one, other) is None:
            return [one]
        pieces: list[Box] = []
        rest = dict(one)
        for dimension, side in other.items():
            mine = rest.get(dimension, self.full(dimension))
            pieces += [
                {**rest, dimension: part}
                for part in _remainders(mine, side)
                if not self.is_empty(dimension, part)
            ]
            shared = _shared(mine, side)
            if shared is not None:
                rest[dimension] = shared
        return pieces

    def left(self, boxes: Sequence[Box], taken: Iterable[Box], most: int) -> list[Box] | None:
        """Return the boxes without what is taken, or None when more than ``most`` pieces would be needed."""
        remaining = list(boxes)
        for box in taken:
            remaining = [piece for one in remaining for piece in self.minus(one, box)]
            if len(remaining) > most:
                return None
            if not remaining:
                break
        return remaining

    def boxes(self, condition: Condition, most: int = 256) -> list[Box]:
        """Return boxes that together hold exactly the payments for which the condition holds."""
        found: list[Box] = []
        for term in disjuncts(condition, most):
            boxes: list[Box] = [{}]
            for atom in term:
                boxes = [
                    both
                    for box in boxes
                    for one in self._atom(atom)
                    if (both := self.both(box, one)) is not None
                ]
            found += boxes
        return found

    def _atom(self, atom: Condition) -> list[Box]:  # noqa: PLR0911 - one return for each kind of condition
        match atom:
            case Not(Exists(field)) if field not in NUMERIC:
                return [{field: Values(frozenset(), complement=False, missing=True)}]
            case Exists(field):
                return (
                    [{}]
                    if field in NUMERIC
                    else [{field: Values(frozenset(), complement=True, missing=False)}]
                )
            case Among(field, values, negated):
                return [{field: Values(values, complement=negated, missing=False)}]
            case Not(Among(field, values, negated)):
                missing = field not in ALWAYS_PRESENT
                return [{field: Values(values, complement=not negated, missing=missing)}]
            case Range(field, low, high) if field in NUMERIC:
                return [{field: Span(low, high)}]
            case Not(Range(field, low, high)) if field in NUMERIC:
                sides = ([Span(None, low)] if low is not None else []) + (
                    [Span(high, None)] if high is not None else []
                )
                return [{field: side} for side in sides]
            case Not(part):
                return [{part: False}]
            case _:
                return [{atom: True}]


def _shared(one: Side | None, other: Side) -> Side | None:
    if one is None:
        return other
    if isinstance(one, Values) and isinstance(other, Values):
        return one.both(other)
    if isinstance(one, Span) and isinstance(other, Span):
        lows = [low for low in (one.low, other.low) if low is not None]
        highs = [high for high in (one.high, other.high) if high is not None]
        return Span(max(lows, default=None), min(highs, default=None))
    return one if one == other else None


def _remainders(one: Side | None, other: Side) -> list[Side]:
    if isinstance(one, Values) and isinstance(other, Values):
        return [one.both(other.inverted())]
    if isinstance(one, Span) and isinstance(other, Span):
        parts: list[Side | None] = []
        if other.low is not None:
            parts.append(_shared(one, Span(None, other.low)))
        if other.high is not None:
            parts.append(_shared(one, Span(other.high, None)))
        return [part for part in parts if part is not None]
    if one is None and isinstance(other, bool):
        return [not other]
    return [] if one == other or one is None else [one]
