"""The closed set of conditions a rule is made of, after names, groups and amounts are resolved.

A condition on a missing field does not hold, whatever its operator, ``ne`` and ``not_in`` included. ``not``
is plain negation: without a country ``not: {country: DE}`` holds and ``country: {ne: DE}`` does not.
"""

from dataclasses import dataclass
from datetime import tzinfo
from enum import Enum

from worker.routing.questions import Use

MINUTES_PER_DAY = 24 * 60


class Flag(Enum):
    """Values that are neither text nor an integer.

    Booleans, kept apart from the integers 0 and 1 that Python holds equal to them; and lists, objects and
    fractions, which are there but equal nothing that a rule can name.
    """

    TRUE = "true"
    FALSE = "false"
    OTHER = "a list, an object or a fraction"

    def __str__(self) -> str:
        return self.value


Value = str | int | Flag


@dataclass(frozen=True, slots=True)
class Among:
    """The field holds one of the values; with ``negated``, it is there and holds none of them."""

    field: str
    values: frozenset[Value]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """The field's number is at least ``low`` and below ``high``; None is unbounded.

    The unit is the field's own: amounts in units of 10^-12, ``created_at`` in microseconds since 1970.
    """

    field: str
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Prefix:
    """The field's text starts with one of these."""

    field: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suffix:
    """The field's text ends with one of these."""

    field: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Glob:
    """The field's whole text fits one of these patterns: ``*`` is any text, ``?`` any one character."""

    field: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BinRange:
    """Card numbers whose first ``digits`` digits are between ``low`` and ``high``, both included."""

    digits: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Bins:
    """The field's leading digits fall into one of these ranges."""

    field: str
    ranges: tuple[BinRange, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """The payment has the field."""

    field: str


@dataclass(frozen=True, slots=True)
class Window:
    """The time of routing falls into a weekly window and between two instants.

    ``days`` are those on which the window begins (Monday is 0). ``start`` and ``end`` are minutes of the day
    in ``zone``; when ``end`` is not after ``start`` the window ends on the next day. ``after`` (included) and
    ``before`` (excluded) are microseconds since 1970.
    """

    days: frozenset[int]
    start: int
    end: int
    zone: tzinfo
    zone_name: str
    after: int | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """A predicate plugin says that the payment fits."""

    use: Use


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; nothing to hold is true."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """At least one part holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Condition"


Condition = Among | Range | Prefix | Suffix | Glob | Bins | Exists | Window | Plugin | All | Any | Not
ALWAYS = All(())


def disjuncts(condition: Condition, most: int) -> list[tuple[Condition, ...]]:
    """Return conjunctions of which one holds exactly when the condition does, ``most`` of them at most.

    Alternatives that would make more stay together as one condition. Nothing is left of ``Any(())``.
    """
    terms: list[tuple[Condition, ...]] = [()]
    for part in conjuncts(pushed_down(condition)):
        choices: list[tuple[Condition, ...]] = [(part,)]
        if isinstance(part, Any):
            inner = [term for one in part.parts for term in disjuncts(one, most)]
            if len(inner) * len(terms) <= most:
                choices = inner
        terms = [(*term, *choice) for term in terms for choice in choices]
    return terms


def pushed_down(condition: Condition, *, negate: bool = False) -> Condition:
    """Return an equal condition in which ``Not`` stands before single tests only."""
    match condition:
        case Not(part):
            return pushed_down(part, negate=not negate)
        case All(parts):
            pushed = tuple(pushed_down(part, negate=negate) for part in parts)
            return Any(pushed) if negate else All(pushed)
        case Any(parts):
            pushed = tuple(pushed_down(part, negate=negate) for part in parts)
            return All(pushed) if negate else Any(pushed)
        case _:
            return Not(condition) if negate else condition


def conjuncts(condition: Condition) -> tuple[Condition, ...]:
    """Return the conditions that must all hold, with nested ``All`` flattened."""
    if isinstance(condition, All):
        return tuple(leaf for part in condition.parts for leaf in conjuncts(part))
    return (condition,)
