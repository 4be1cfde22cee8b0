"""Sets of payments as unions of boxes: what a rule describes, exactly for values and intervals.

A box bounds some dimensions and leaves the others free. Fields compared for equality have sets of values,
amounts, times and integers in metadata have intervals. What is neither (conditions on text, time windows) is
a dimension of its own that is true or false; ``leading`` and ``moments`` know which of those exclude one
another. Suffixes, globs and plugins count as independent, so that what is claimed to be covered or empty is
so, while a part that remains may still be impossible.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from schemas.iso3166 import COUNTRY_CODES
from worker.routing.conditions import (
    Among,
    Bins,
    Condition,
    Exists,
    Glob,
    Not,
    Prefix,
    Range,
    Suffix,
    Window,
    disjuncts,
)
from worker.routing.fields import ALWAYS_PRESENT, Kind, kind_of
from worker.routing.leading import TextLiterals, can_fit
from worker.routing.moments import WindowLiterals, moment
from worker.routing.sides import EVERYTHING, Span, Values

NUMERIC = frozenset({"amount", "created_at"})
TIME = "time"
NOON: datetime = datetime(2026, 1, 7, 12, tzinfo=UTC)
"""A Wednesday, the time of payments for which time does not matter."""

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
            return EVERYTHING
        return _anything(dimension, missing=dimension not in ALWAYS_PRESENT)

    def is_empty(self, dimension: Dimension, side: Side) -> bool:
        """Return whether nothing lies on this side of a dimension."""
        if isinstance(side, Span):
            return side.empty
        if isinstance(side, Values):
            if side.missing or side.numbers:
                return False
            domain = self.domains.get(dimension) if isinstance(dimension, str) else None
            if side.complement:
                return domain is not None and domain <= side.values
            return not side.values if domain is None else not (side.values & domain)
        return False

    def apart(self, one: Box, other: Box) -> bool:
        """Return whether two boxes surely share nothing, at a glance: by the sets and intervals both name."""
        for dimension, side in other.items():
            mine = one.get(dimension)
            if isinstance(side, Values) and isinstance(mine, Values):
                if side.listed and mine.listed and side.values.isdisjoint(mine.values):
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
        return found if self._possible(found, other) else None

    def minus(self, one: Box, other: Box) -> list[Box]:
        """Return disjoint boxes of the payments in ``one`` that are not in ``other``."""
        if self.apart(one, other) or self.both(one, other) is None:
            return [one]
        pieces: list[Box] = []
        rest = dict(one)
        for dimension, side in other.items():
            mine = rest.get(dimension, self.full(dimension))
            for part in _remainders(mine, side):
                piece = {**rest, dimension: part}
                if not self.is_empty(dimension, part) and self._possible(piece, (dimension,)):
                    pieces.append(piece)
            shared = _shared(mine, side)
            if shared is not None:
                rest[dimension] = shared
        return pieces

    def _possible(self, box: Box, changed: Iterable[Dimension]) -> bool:
        """Return False only if conditions on the text of a field, or on the time, exclude one another."""
        if all(isinstance(dimension, str) for dimension in box):
            return True
        for field in {_subject(dimension) for dimension in changed}:
            if field is None:
                continue
            texts = texts_on(box, field)
            values = box.get(field, self.full(field))
            if texts and isinstance(values, Values) and not can_fit(values, self.domains.get(field), texts):
                return False
            if field == TIME and moment(windows_of(box), NOON) is None:
                return False
        return True

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
            case Exists(field):
                return [{}] if field in NUMERIC else [{field: _anything(field, missing=False)}]
            case Among(field, values, negated):
                named = Values.named(values)
                return [{field: replace(named.inverted(), missing=False) if negated else named}]
            case Range(field, low, high) if field in NUMERIC:
                return [{field: Span(low, high)}]
            case Range(field, low, high):
                return [
                    {field: Values(frozenset(), complement=False, missing=False, numbers=(Span(low, high),))}
                ]
            case Not(Exists(field)) if field in NUMERIC:
                return []
            case Not(Range(field, low, high)) if field in NUMERIC:
                return [{field: side} for side in Span(low, high).outside()]
            case Not(Among() | Range() | Exists() as part):
                return [
                    {dimension: _inverse(side) for dimension, side in box.items()} for box in self._atom(part)
                ]
            case Not(part):
                return [{part: False}]
            case _:
                return [{atom: True}]


def _subject(dimension: Dimension) -> str | None:
    """Return what a dimension is about: a field, or the time."""
    match dimension:
        case str():
            return dimension
        case Prefix() | Suffix() | Glob() | Bins():
            return dimension.field
        case Window():
            return TIME
        case _:
            return None


def texts_on(box: Box, field: str) -> TextLiterals:
    """Return the conditions on the text of a field that a box names."""
    return [
        (dimension, side is True)
        for dimension, side in box.items()
        if isinstance(dimension, Prefix | Suffix | Glob | Bins) and dimension.field == field
    ]


def windows_of(box: Box) -> WindowLiterals:
    """Return the time windows that a box names."""
    return [(dimension, side is True) for dimension, side in box.items() if isinstance(dimension, Window)]


def _anything(field: str, *, missing: bool) -> Values:
    return Values.anything(missing=missing, numbers=kind_of(field) is Kind.OPEN)


def _inverse(side: Side) -> Side:
    return side.inverted() if isinstance(side, Values) else side


def _shared(one: Side | None, other: Side) -> Side | None:
    if one is None:
        return other
    if isinstance(one, Values) and isinstance(other, Values):
        return one.both(other)
    if isinstance(one, Span) and isinstance(other, Span):
        return one.both(other)
    return one if one == other else None


def _remainders(one: Side | None, other: Side) -> list[Side]:
    if isinstance(one, Values) and isinstance(other, Values):
        return [one.both(other.inverted())]
    if isinstance(one, Span) and isinstance(other, Span):
        return [one.both(part) for part in other.outside()]
    if one is None and isinstance(other, bool):
        return [not other]
    return [] if one == other or one is None else [one]
