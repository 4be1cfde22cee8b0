"""``when:`` as it is written, turned into conditions; everything wrong is reported with its path."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.rule_conditions import OPERATORS
from worker.routing.amounts import amount_range, bounds_of, read_amount, read_instant
from worker.routing.conditions import (
    All,
    Among,
    Any,
    BinRange,
    Bins,
    Condition,
    Exists,
    Glob,
    Not,
    Plugin,
    Prefix,
    Range,
    Suffix,
    Value,
)
from worker.routing.fields import NAMED_FIELDS, Kind, kind_of
from worker.routing.names import Names
from worker.routing.problems import Path, listing, nearest
from worker.routing.uses import NoPlugins, Uses
from worker.routing.windows import read_window

GROUPING = ("all", "any", "not", "time", "plugin")
COMPARISONS = ("gt", "gte", "lt", "lte")
TEXT_OPERATORS = ("eq", "ne", "in", "not_in", "prefix", "suffix", "glob", "bin", "exists")
NUMBER_OPERATORS = ("eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "between", "exists")
BY_KIND: dict[Kind, tuple[str, ...]] = {
    Kind.TEXT: TEXT_OPERATORS,
    Kind.OPEN: OPERATORS,
    Kind.AMOUNT: NUMBER_OPERATORS,
    Kind.INSTANT: NUMBER_OPERATORS,
}
BIN_TEXT = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")
NEVER = Any(())


def read_when(value: object, path: Path, names: Names, uses: Uses | None = None) -> Condition:
    """Return the condition that a ``when:`` mapping describes; problems are collected in ``names``."""
    uses = uses or Uses(NoPlugins(), names.problems)
    if not isinstance(value, Mapping):
        names.problems.add(path, "conditions are a mapping of fields, such as {type: card, country: DE}")
        return NEVER
    return All(tuple(_entry(key, part, (*path, key), names, uses) for key, part in value.items()))


def _entry(  # noqa: PLR0911 - one return for each kind of entry
    key: object, value: object, path: Path, names: Names, uses: Uses
) -> Condition:
    if key in ("all", "any"):
        if not isinstance(value, list) or not value:
            names.problems.add(path, f"`{key}` is a list of conditions")
            return NEVER
        parts = tuple(read_when(part, (*path, i), names, uses) for i, part in enumerate(value))
        return All(parts) if key == "all" else Any(parts)
    if key == "not":
        return Not(read_when(value, path, names, uses))
    if key == "time":
        return _windows(value, path, names)
    if key == "plugin":
        return All(tuple(Plugin(use) for use in uses.read_when(value, path)))
    kind = kind_of(key) if isinstance(key, str) else None
    if kind is None or not isinstance(key, str):
        valid = (*NAMED_FIELDS, *GROUPING)
        known = f"fields are {listing(valid, 20)}, method.* and metadata.*"
        names.problems.add_key(path, f"unknown field {key!r}{nearest(key, valid)} ({known})")
        return NEVER
    return _field(_Reader(key, kind, names), value, path)


def _windows(value: object, path: Path, names: Names) -> Condition:
    if isinstance(value, list) and value:
        found = [read_window(part, (*path, i), names) for i, part in enumerate(value)]
        return Any(tuple(window for window in found if window is not None))
    return read_window(value, path, names) or NEVER


@dataclass(frozen=True, slots=True)
class _Reader:
    """What the operators of one field need to know."""

    field: str
    kind: Kind
    names: Names

    def add(self, path: Path, message: str) -> Condition:
        self.names.problems.add(path, message)
        return NEVER

    @property
    def numeric(self) -> bool:
        return self.kind in (Kind.AMOUNT, Kind.INSTANT)


def _field(reader: _Reader, value: object, path: Path) -> Condition:
    if not isinstance(value, Mapping):
        return _equal(reader, value, path)
    if not value:
        return reader.add(path, f"expected operators: {listing(BY_KIND[reader.kind], 20)}")
    parts = [_operator(reader, operator, operand, (*path, operator)) for operator, operand in value.items()]
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _operator(reader: _Reader, operator: object, operand: object, path: Path) -> Condition:
    valid = BY_KIND[reader.kind]
    if operator not in valid or not isinstance(operator, str):
        known = f"{reader.field} has {listing(valid, 20)}"
        reader.names.problems.add_key(
            path, f"unknown operator {operator!r}{nearest(operator, valid)} ({known})"
        )
        return NEVER
    return OPERATOR_READERS[operator](reader, operator, operand, path)


def _equal(reader: _Reader, value: object, path: Path) -> Condition:
    """``eq`` and ``in``, and a plain value or list without an operator."""
    items = _items(value, path)
    if not items:
        return reader.add(path, "an empty list matches nothing; name at least one value")
    if reader.numeric:
        parts = tuple(_compared(reader, "eq", item, where) for item, where in items)
        return parts[0] if len(parts) == 1 else Any(parts)
    values: set[Value] = set()
    for item, where in items:
        values |= _values(reader, item, where)
    return Among(reader.field, frozenset(values))


def _values(reader: _Reader, item: object, path: Path) -> set[Value]:
    values = set(reader.names.expand(item, path))
    for value in values:
        if reader.kind is Kind.TEXT and not isinstance(value, str):
            reader.add(path, f"{reader.field} is text; write {value} in quotes: '{value}'")
        else:
            reader.names.check_value(reader.field, value, path)
    return values


def _one(reader: _Reader, operator: str, operand: object, path: Path) -> Condition:
    if isinstance(operand, list | Mapping):
        return reader.add(path, f"`{operator}` takes one value; for several write `in` or `not_in`")
    equal = _equal(reader, operand, path)
    return _negated(equal) if operator == "ne" else equal


def _several(reader: _Reader, operator: str, operand: object, path: Path) -> Condition:
    is_group = isinstance(operand, str) and operand.startswith("$")
    if not is_group and not isinstance(operand, list):
        return reader.add(path, f"`{operator}` takes a list, such as [{operand}], or a $group")
    equal = _equal(reader, operand, path)
    return _negated(equal) if operator == "not_in" else equal


def _negated(condition: Condition) -> Condition:
    if isinstance(condition, Among):
        return Among(condition.field, condition.values, negated=True)
    return Not(condition)


def _compared(reader: _Reader, operator: str, operand: object, path: Path) -> Condition:
    if reader.kind is Kind.AMOUNT:
        amount = read_amount(operand, path, reader.names)
        return NEVER if amount is None else amount_range(*bounds_of(operator, amount[0]), amount[1])
    if reader.kind is Kind.INSTANT:
        instant = read_instant(operand, path, reader.names)
        return NEVER if instant is None else Range(reader.field, *bounds_of(operator, instant))
    if not isinstance(operand, int) or isinstance(operand, bool):
        return reader.add(path, f"`{operator}` on {reader.field} compares integers; found {operand!r}")
    return Range(reader.field, *bounds_of(operator, operand))


def _comparison(reader: _Reader, operator: str, operand: object, path: Path) -> Condition:
    if not isinstance(operand, list):
        return _compared(reader, operator, operand, path)
    if reader.kind is not Kind.AMOUNT or not operand:
        return reader.add(path, f"`{operator}` takes one value")
    currencies: set[str | None] = set()
    for i, item in enumerate(operand):
        amount = read_amount(item, (*path, i), reader.names)
        if amount is not None and (amount[1] is None or amount[1] in currencies):
            reader.add(
                (*path, i), "in a list of amounts each names its own currency, such as ['10 EUR', '11 USD']"
            )
        currencies.add(amount[1] if amount else None)
    return Any(tuple(_compared(reader, operator, item, (*path, i)) for i, item in enumerate(operand)))


def _between(reader: _Reader, _operator: str, operand: object, path: Path) -> Condition:
    if not isinstance(operand, list) or len(operand) != 2:
        return reader.add(path, "`between` takes two values, both included: [lowest, highest]")
    low = _compared(reader, "gte", operand[0], (*path, 0))
    high = _compared(reader, "lte", operand[1], (*path, 1))
    if reader.kind is Kind.AMOUNT and low is not NEVER and high is not NEVER:
        currencies = {str(text).partition(" ")[2] for text in operand}
        if len(currencies) > 1:
            return reader.add(path, "both ends of `between` name the same currency, or neither names one")
    if isinstance(low, Range) and isinstance(high, Range):
        if low.low is not None and high.high is not None and low.low >= high.high:
            return reader.add(path, f"the lower end {operand[0]} is above the upper end {operand[1]}")
        return Range(reader.field, low.low, high.high)
    return All((low, high))


def _texts(reader: _Reader, operator: str, operand: object, path: Path) -> Condition:
    texts: list[str] = []
    for item, where in _items(operand, path):
        if not isinstance(item, str) or not item:
            return reader.add(where, f"`{operator}` takes text in quotes, found {item!r}")
        texts.append(item)
    if not texts:
        return reader.add(path, f"`{operator}` takes text or a list of texts")
    return TEXT_CONDITIONS[operator](reader.field, tuple(texts))


def _items(operand: object, path: Path) -> list[tuple[object, Path]]:
    """Return what is to be read with its path: the members of a list, or the one value."""
    if isinstance(operand, list):
        return [(item, (*path, i)) for i, item in enumerate(operand)]
    return [(operand, path)]


def _bins(reader: _Reader, _operator: str, operand: object, path: Path) -> Condition:
    ranges = []
    for item, where in _items(operand, path):
        match = BIN_TEXT.fullmatch(item) if isinstance(item, str) else None
        if match is None:
            reader.add(where, f"{item!r} is not a card number prefix in quotes, '411111' or '400000-499999'")
            continue
        low, high = match[1], match[2] or match[1]
        if len(low) != len(high) or low > high:
            reader.add(where, f"in {item!r} both ends have the same number of digits, the lower one first")
            continue
        ranges.append(BinRange(len(low), int(low), int(high)))
    return Bins(reader.field, tuple(ranges)) if ranges else NEVER


def _exists(reader: _Reader, _operator: str, operand: object, path: Path) -> Condition:
    if not isinstance(operand, bool):
        return reader.add(path, f"`exists` is true or false, found {operand!r}")
    return Exists(reader.field) if operand else Not(Exists(reader.field))


TEXT_CONDITIONS: dict[str, Callable[[str, tuple[str, ...]], Condition]] = {
    "prefix": Prefix,
    "suffix": Suffix,
    "glob": Glob,
}
OPERATOR_READERS: dict[str, Callable[[_Reader, str, object, Path], Condition]] = {
    **dict.fromkeys(("eq", "ne"), _one),
    **dict.fromkeys(("in", "not_in"), _several),
    **dict.fromkeys(COMPARISONS, _comparison),
    **dict.fromkeys(("prefix", "suffix", "glob"), _texts),
    "between": _between,
    "bin": _bins,
    "exists": _exists,
}
