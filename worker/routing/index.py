"""Finds the few rules that a payment can match, at a cost that hardly grows with their number.

For each field that rules compare for equality, a bit set tells for every value they name which rules allow
it (bit i is rule i, in order); amounts have one for each interval between the bounds that rules name. The
intersection of the payment's bit sets is the set of rules left to try. It depends only on the payment's
shape, which is the tuple of its values as far as rules tell them apart, so it is remembered by shape.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, TypeVar

from schemas.payment import Payment
from worker.routing.conditions import Among, Condition, Range, Value
from worker.routing.fields import getter

MEMORY_BYTES = 64 * 1024 * 1024
"""About what remembered shapes may take, before the memory starts afresh."""
SHAPE_BYTES = 600
"""About what one remembered shape takes besides its rules."""
RULE_BYTES = 16
"""What each rule left by a shape takes: its place, and a reference."""
WIDE_VALUES = 32
"""From so many named values on a field is too varied to stand in a shape."""
FEW = 8
"""Rules for one wide value up to which they are tried against the shape's bit set one by one."""
RAW_FIELDS = {"type": "type", "currency": "amount.currency", "country": "country"}
"""Fields with few values, which stand in a shape as they are; others pass a table of the named values."""

R = TypeVar("R")
Entry = tuple[Mapping[str, frozenset[Value]], tuple[int | None, int | None]]
"""What one rule demands: values by field, and a half-open interval of amounts."""


def split_indexable(parts: Sequence[Condition]) -> tuple[Entry, tuple[Condition, ...]]:
    """Divide a conjunction into what the index decides and what is left to check."""
    among: dict[str, frozenset[Value]] = {}
    low: int | None = None
    high: int | None = None
    rest: list[Condition] = []
    for part in parts:
        if isinstance(part, Among) and not part.negated:
            among[part.field] = among[part.field] & part.values if part.field in among else part.values
        elif isinstance(part, Range) and part.field == "amount":
            low = part.low if low is None else max(low, part.low if part.low is not None else low)
            high = part.high if high is None else min(high, part.high if part.high is not None else high)
        else:
            rest.append(part)
    return (among, (low, high)), tuple(rest)


@dataclass(frozen=True, slots=True)
class _FieldIndex:
    """Which rules allow each value of one field; ``others`` are those that do not ask."""

    read: Callable[[Payment], Any]
    key: Callable[[Payment], Any] | None
    masks: Mapping[Value, int]
    others: int

    def mask(self, payment: Payment) -> int:
        return self.masks.get(self.read(payment), 0) | self.others


@dataclass(frozen=True, slots=True)
class _Wide(Generic[R]):
    """The field with the most named values: for each, the positions of the rules that ask for it."""

    read: Callable[[Payment], Any]
    positions: Mapping[Value, tuple[int, ...]]
    asked: int
    """Bit set of the rules that ask for any value."""


@dataclass(frozen=True, slots=True)
class _Slice(Generic[R]):
    """What one shape leaves of the rules: ``allowed`` as a bit set in bytes, ``general`` those not wide."""

    allowed: bytes
    general: tuple[R, ...]
    places: tuple[int, ...]
    merged: dict[Value, tuple[R, ...]]


@dataclass(frozen=True, slots=True)
class Index(Generic[R]):
    """Rules in order, each with what it demands. ``decided`` marks rules that need no further check."""

    rules: tuple[R, ...]
    decided: int
    fields: tuple[_FieldIndex, ...]
    bounds: tuple[int, ...]
    bands: tuple[int, ...]
    wide: _Wide[R] | None
    _raw: Callable[[Payment], tuple[Any, ...]]
    _keys: tuple[Callable[[Payment], Any], ...]
    _shapes: dict[tuple[Any, ...], _Slice[R]] = field(default_factory=dict, compare=False, repr=False)
    _held: list[int] = field(default_factory=lambda: [0], compare=False, repr=False)
    """Bytes that the shapes take, as its only member."""

    def candidates(self, payment: Payment, amount: int) -> Sequence[R]:
        """Return the rules that may match, in order, up to the first that surely does."""
        shape = self._raw(payment)
        if self._keys:
            shape = (*shape, *[key(payment) for key in self._keys])
        if self.bounds:
            shape = (*shape, bisect_right(self.bounds, amount))
        found = self._shapes.get(shape)
        if found is None:
            found = self._find(payment, amount)
            self._remember(shape, found)
        if self.wide is None:
            return found.general
        value = self.wide.read(payment)
        positions = self.wide.positions.get(value)
        if positions is None:
            return found.general
        if len(positions) > FEW:
            return self._merged(found, value, positions)
        allowed = found.allowed
        special = [i for i in positions if allowed[i >> 3] >> (i & 7) & 1]
        return self._merge(found, special) if special else found.general

    def forget(self) -> None:
        """Forget the shapes seen so far, as if the table were new."""
        self._shapes.clear()
        self._held[0] = 0

    def _remember(self, shape: tuple[Any, ...], found: _Slice[R]) -> None:
        taken = len(found.allowed) + RULE_BYTES * len(found.places) + SHAPE_BYTES
        if self._held[0] + taken > MEMORY_BYTES:
            self.forget()
        self._held[0] += taken
        self._shapes[shape] = found

    def _merged(self, found: _Slice[R], value: Value, positions: Sequence[int]) -> tuple[R, ...]:
        """Merge many rules once, and remember it with the shape."""
        merged = found.merged.get(value)
        if merged is None:
            allowed = found.allowed
            special = [i for i in positions if allowed[i >> 3] >> (i & 7) & 1]
            merged = found.merged[value] = tuple(self._merge(found, special))
        return merged

    def _merge(self, found: _Slice[R], special: Sequence[int]) -> Sequence[R]:
        """Return the general and the special rules in order, up to the first that surely matches."""
        merged = []
        for i in sorted((*found.places, *special)):
            merged.append(self.rules[i])
            if self.decided >> i & 1:
                break
        return merged

    def _find(self, payment: Payment, amount: int) -> _Slice[R]:
        mask = self.bands[bisect_right(self.bounds, amount)]
        for one in self.fields:
            mask &= one.mask(payment)
        general = mask if self.wide is None else mask & ~self.wide.asked
        sure = general & self.decided
        if sure:
            upto = sure ^ (sure - 1)  # everything up to the lowest sure bit: what is after it never decides
            general &= upto
            mask &= upto
        size = (len(self.rules) + 7) // 8
        places = tuple(bits(general))
        return _Slice(mask.to_bytes(size, "little"), tuple([self.rules[i] for i in places]), places, {})


def bits(mask: int) -> list[int]:
    """Return the positions of the bits that are set, lowest first."""
    found = []
    for base, byte in enumerate(mask.to_bytes((mask.bit_length() + 7) // 8, "little")):
        if byte:
            found += [base * 8 + bit for bit in range(8) if byte >> bit & 1]
    return found


def build_index(rules: Sequence[R], entries: Sequence[Entry], decided: Sequence[bool]) -> Index[R]:
    """Return the index of ``rules``; the three sequences are parallel."""
    demands: dict[str, dict[Value, list[int]]] = {}
    asked: dict[str, list[int]] = {}
    for i, (among, _) in enumerate(entries):
        for name, values in among.items():
            asked.setdefault(name, []).append(i)
            postings = demands.setdefault(name, {})
            for value in values:
                postings.setdefault(value, []).append(i)
    every = (1 << len(rules)) - 1
    coded = [name for name in demands if name not in RAW_FIELDS]
    varied = max(coded, key=lambda name: len(demands[name]), default="")
    wide: _Wide[R] | None = None
    if varied and len(demands[varied]) >= WIDE_VALUES:
        positions = {value: tuple(found) for value, found in demands.pop(varied).items()}
        wide = _Wide(getter(varied), positions, _mask(asked[varied]))
    fields = tuple(
        _field_index(
            name, {value: _mask(found) for value, found in postings.items()}, every ^ _mask(asked[name])
        )
        for name, postings in demands.items()
    )
    bounds, bands = _bands([interval for _, interval in entries], every)
    sure = _mask([i for i, yes in enumerate(decided) if yes])
    raw = _raw_reader([name for name in RAW_FIELDS if name in demands])
    keys = tuple(one.key for one in fields if one.key is not None)
    return Index(tuple(rules), sure, fields, bounds, bands, wide, raw, keys)


def _raw_reader(names: Sequence[str]) -> Callable[[Payment], tuple[Any, ...]]:
    """Return a reader of the fields that stand in a shape as they are, always as a tuple."""
    if not names:
        return lambda _payment: ()
    if len(names) == 1:
        read = attrgetter(RAW_FIELDS[names[0]])
        return lambda payment: (read(payment),)
    return attrgetter(*[RAW_FIELDS[name] for name in names])


def _field_index(name: str, masks: dict[Value, int], others: int) -> _FieldIndex:
    read = getter(name)
    if name in RAW_FIELDS:
        return _FieldIndex(read, None, masks, others)
    codes = {value: code for code, value in enumerate(masks, start=1)}
    return _FieldIndex(read, lambda payment: codes.get(read(payment)), masks, others)


def _mask(positions: Sequence[int]) -> int:
    if not positions:
        return 0
    raw = bytearray(positions[-1] // 8 + 1)  # positions ascend
    for i in positions:
        raw[i >> 3] |= 1 << (i & 7)
    return int.from_bytes(raw, "little")


def _bands(
    intervals: Sequence[tuple[int | None, int | None]], every: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return all bounds in order, and for each interval between them the rules that allow it."""
    opens: dict[int, list[int]] = {}
    closes: dict[int, list[int]] = {}
    late: list[int] = []
    for i, (low, high) in enumerate(intervals):
        if low is not None and high is not None and low >= high:
            late.append(i)  # allows nothing
            continue
        if low is not None:
            opens.setdefault(low, []).append(i)
            late.append(i)
        if high is not None:
            closes.setdefault(high, []).append(i)
    mask = every ^ _mask(late)
    bounds = sorted(opens.keys() | closes.keys())
    bands = [mask]
    for bound in bounds:
        mask |= _mask(opens.get(bound, ()))
        mask &= ~_mask(closes.get(bound, ()))
        bands.append(mask)
    return tuple(bounds), tuple(bands)
