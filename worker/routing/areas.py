"""What each rule describes, and what of it earlier rules leave to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.routing.conditions import Value
from worker.routing.processors import Processor
from worker.routing.region import Box, Dimension, Side, Space
from worker.routing.sides import Span, Values
from worker.routing.table import Rule, RuleTable

MAX_PIECES = 512
"""Boxes that one question may come to before the answer is that it cannot be decided."""


@dataclass(frozen=True, slots=True)
class Area:
    """A rule with the payments it describes, and those of them that no earlier rule takes (None: unknown)."""

    rule: Rule
    boxes: list[Box]
    live: list[Box] | None


def areas_of(table: RuleTable, space: Space) -> list[Area]:
    """Return the area of every rule but the default, in order."""
    described = [space.boxes(rule.condition) for rule in table.rules[:-1]]
    before = Before.of(described)
    areas: list[Area] = []
    for position, (rule, boxes) in enumerate(zip(table.rules, described, strict=False)):
        near = [box for box in before.near(boxes) if not all(space.apart(box, one) for one in boxes)]
        areas.append(Area(rule, boxes, space.left(boxes, near, MAX_PIECES)))
        before.add(position, boxes)
    return areas


@dataclass(slots=True)
class Before:
    """The boxes of earlier rules, found by the field that tells most of them apart."""

    pivot: str
    by_value: dict[Value, list[tuple[int, Box]]] = field(default_factory=dict)
    others: list[tuple[int, Box]] = field(default_factory=list)
    everything: list[tuple[int, Box]] = field(default_factory=list)

    @classmethod
    def of(cls, described: Sequence[Sequence[Box]]) -> "Before":
        """Return an empty one for rules that describe these boxes."""
        named: dict[str, set[Value]] = {}
        for boxes in described:
            for box in boxes:
                for dimension, side in box.items():
                    if isinstance(dimension, str) and isinstance(side, Values) and side.listed:
                        named.setdefault(dimension, set()).update(side.values)
        return cls(max(named, key=lambda one: len(named[one]), default=""))

    def add(self, position: int, boxes: Sequence[Box]) -> None:
        """Add the boxes of the next rule."""
        for box in boxes:
            self.everything.append((position, box))
            side = box.get(self.pivot)
            if isinstance(side, Values) and side.listed:
                for value in side.values:
                    self.by_value.setdefault(value, []).append((position, box))
            else:
                self.others.append((position, box))

    def near(self, boxes: Sequence[Box]) -> list[Box]:
        """Return earlier boxes that may share payments with these, in the order of their rules."""
        found: dict[int, tuple[int, Box]] = {}
        for box in boxes:
            side = box.get(self.pivot)
            if not isinstance(side, Values) or not side.listed:
                return [one for _, one in self.everything]
            for value in side.values:
                found |= {id(entry[1]): entry for entry in self.by_value.get(value, ())}
        found |= {id(entry[1]): entry for entry in self.others}
        return [one for _, one in sorted(found.values(), key=lambda entry: entry[0])]


def acceptance(space: Space, processor: Processor) -> list[Box]:
    """Return boxes that hold exactly the payments a processor takes."""
    if not processor.enabled:
        return []
    allowed = {"type": processor.types, "currency": processor.currencies, "country": processor.countries}
    box: Box = {
        field: Values(frozenset(values), complement=False, missing=False)
        for field, values in allowed.items()
        if values is not None
    }
    boxes = [box]
    for limit in processor.limits:
        sides = [Span(None, limit.low)] if limit.low is not None else []
        sides += [Span(limit.high, None)] if limit.high is not None else []
        for side in sides:
            excluded: dict[Dimension, Side] = {"amount": side}
            if limit.currency is not None:
                excluded["currency"] = Values(frozenset({limit.currency}), complement=False, missing=False)
            boxes = [piece for one in boxes for piece in space.minus(one, excluded)]
    return boxes


def meet(space: Space, ones: Sequence[Box], others: Sequence[Box]) -> list[Box]:
    """Return the boxes of payments that lie in one of each."""
    return [both for one in ones for other in others if (both := space.both(one, other)) is not None]
