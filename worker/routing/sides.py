"""Sides of a box: sets of values and intervals of integers, with intersection and complement."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.routing.conditions import Value


@dataclass(frozen=True, slots=True)
class Span:
    """Integers from ``low`` to below ``high``; None is unbounded."""

    low: int | None
    high: int | None

    @property
    def empty(self) -> bool:
        """Whether no integer lies in it."""
        return self.low is not None and self.high is not None and self.low >= self.high

    def both(self, other: "Span") -> "Span":
        """Return the integers in this interval and in the other."""
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Span(max(lows, default=None), min(highs, default=None))

    def outside(self) -> list["Span"]:
        """Return the intervals of all other integers; an empty interval leaves everything."""
        if self.empty:
            return [EVERYTHING]
        below = [] if self.low is None else [Span(None, self.low)]
        return below + ([] if self.high is None else [Span(self.high, None)])


EVERYTHING = Span(None, None)
Spans = tuple[Span, ...]


def spans_both(ones: Spans, others: Spans) -> Spans:
    """Return the integers that lie in intervals of both."""
    return tuple(both for one in ones for other in others if not (both := one.both(other)).empty)


def spans_outside(spans: Spans) -> Spans:
    """Return the integers that lie in none of the intervals."""
    left: Spans = (EVERYTHING,)
    for span in spans:
        left = spans_both(left, tuple(span.outside()))
    return left


@dataclass(frozen=True, slots=True)
class Values:
    """What a field may hold: texts and booleans, or with ``complement`` all others, and integers by interval.

    ``missing`` says whether the field may be absent.
    """

    values: frozenset[Value]
    complement: bool
    missing: bool
    numbers: Spans = ()

    def inverted(self) -> "Values":
        """Return everything else."""
        return Values(self.values, not self.complement, not self.missing, spans_outside(self.numbers))

    def both(self, other: "Values") -> "Values":
        """Return what is in this set and in the other."""
        missing = self.missing and other.missing
        numbers = spans_both(self.numbers, other.numbers) if self.numbers and other.numbers else ()
        if self.complement and other.complement:
            return Values(self.values | other.values, complement=True, missing=missing, numbers=numbers)
        if self.complement:
            left = other.values - self.values
        else:
            left = self.values - other.values if other.complement else self.values & other.values
        return Values(left, complement=False, missing=missing, numbers=numbers)

    @property
    def listed(self) -> bool:
        """Whether it is nothing but a list of texts and booleans."""
        return not (self.complement or self.missing or self.numbers)

    @classmethod
    def named(cls, values: Sequence[Value] | frozenset[Value]) -> "Values":
        """Return the set of exactly these values."""
        numbers = tuple(Span(one, one + 1) for one in values if isinstance(one, int))
        texts = frozenset(one for one in values if not isinstance(one, int))
        return cls(texts, complement=False, missing=False, numbers=numbers)

    @classmethod
    def anything(cls, *, missing: bool, numbers: bool) -> "Values":
        """Return every value; with ``missing`` its absence, with ``numbers`` integers too."""
        return cls(frozenset(), complement=True, missing=missing, numbers=(EVERYTHING,) if numbers else ())
