"""Allocation: splitting a total into whole units without losing or creating one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import gcd
from typing import Final, NamedTuple

from worker.errors import InvalidAmount, InvalidMoneyRule, NotConserved
from worker.money.percent import Percent
from worker.money.settled import Money
from worker.money.text import MAX_SCALE, POWERS, shown
from worker.money.trail import RoundingStep, Rule, exact_text

_WHOLE: Final = 100 * POWERS[MAX_SCALE]
MAX_DEPTH: Final = 8
"""Deepest nesting of shares within shares."""


class Rest(Enum):
    """The weight of a share that gets what the percentages leave; several share it equally."""

    REST = "rest"


REST: Final = Rest.REST

Weight = int | Percent | Rest
"""An integer ratio, a percentage, or the rest."""


def allocate(total: int, weights: Sequence[int], increment: int = 1) -> list[int]:
    """Return a total in units split by integer weights: largest remainder first, ties in order.

    Zero weights get zero, a negative total gives the mirror image of its positive, and every share is a
    multiple of the increment. Raises ``InvalidMoneyRule`` for weights that are negative, not ``int`` or all
    zero, and ``InvalidAmount`` for a total that is no multiple of the increment.
    """
    whole = _checked_weights(weights)
    return _checked_shares(_allocate_parts(_parts(total, increment), weights, whole), total, increment)


def _parts(total: int, increment: int) -> int:
    if type(total) is not int:
        raise InvalidAmount(f"total {shown(total)} is of type {type(total).__name__}: only int is exact here")
    if type(increment) is not int or increment < 1:
        raise InvalidAmount(f"increment {shown(increment)}: expected 1 or more units")
    parts, left = divmod(abs(total), increment)
    if left:
        raise InvalidAmount(
            f"total of {total} units: no multiple of the increment {increment}; round it first"
        )
    return parts


def _checked_shares(shares: list[int], total: int, increment: int) -> list[int]:
    factor = increment if total > 0 else -increment
    shares = [share * factor for share in shares]
    if sum(shares) != total:
        raise NotConserved(f"total of {total} units split into {shares}: the shares do not add up")
    return shares


def _checked_weights(weights: Sequence[int]) -> int:
    for weight in weights:
        if type(weight) is not int or weight < 0:
            raise InvalidMoneyRule(f"weight {shown(weight)}: expected an integer of zero or more")
    whole = sum(weights)
    if not whole:
        raise InvalidMoneyRule("weights: at least one must be above zero")
    return whole


def _allocate_parts(parts: int, weights: Sequence[int], whole: int) -> list[int]:
    shares = []
    remainders = []
    left = parts
    for weight in weights:
        exact = parts * weight
        share = exact // whole
        shares.append(share)
        remainders.append(exact % whole)
        left -= share
    # fewer units are left than there are remainders above zero, so that none is chosen twice
    while left > 0:
        largest = remainders.index(max(remainders))
        shares[largest] += 1
        remainders[largest] = 0
        left -= 1
    return shares


@dataclass(frozen=True, slots=True)
class Share:
    """A named share of a whole; shares ``inside`` are taken out of it, and it keeps what they leave.

    Raises ``InvalidMoneyRule`` for a weight that is no integer, ``Percent`` or ``REST``.
    """

    name: str
    weight: Weight
    inside: tuple["Share", ...] = ()

    def __post_init__(self) -> None:
        weight = self.weight
        if type(weight) is not int and not isinstance(weight, Percent | Rest):
            raise InvalidMoneyRule(
                f"share {shown(self.name)}: weight {shown(weight)}, expected an integer, a Percent or REST"
            )


@dataclass(frozen=True, slots=True)
class Allocated:
    """What one share got; its ``path`` names the shares it is inside of, joined by slashes.

    ``step`` shows its exact part of the total, and what it got more or less than that; the remainders of
    all shares add up to nothing.
    """

    path: str
    money: Money
    step: RoundingStep


class _Node(NamedTuple):
    """Weights with what lies inside each of them, reduced to the smallest integers."""

    weights: tuple[int, ...]
    whole: int
    inside: tuple["_Node | None", ...]
    nested: bool


@dataclass(frozen=True, slots=True)
class Split:
    """Shares of a whole: all by integer ratio, or by percentages that make 100 %, ``rest`` shares included.

    ``paths`` names what is allocated, in order: a share, then what is inside of it. Raises
    ``InvalidMoneyRule`` when shares do neither, for names that are empty or repeated, for shares inside
    that are no percentages or exceed 100 %, and for nesting more than 8 deep.
    """

    shares: tuple[Share, ...]
    paths: tuple[str, ...] = field(init=False, compare=False)
    _root: _Node = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", tuple(_paths(self.shares, "", MAX_DEPTH)))
        object.__setattr__(self, "_root", _outer_node(self.shares))

    def units(self, total: int, increment: int = 1) -> list[int]:
        """Return a total in units split among the paths; for increments and errors see ``allocate``."""
        node = self._root
        whole = type(total) is type(increment) is int and increment == 1 and total >= 0
        parts = total if whole else _parts(total, increment)
        shares = _allocate_parts(parts, node.weights, node.whole)
        if node.nested:
            shares = _inside(node, shares)
        return shares if sum(shares) == total else _checked_shares(shares, total, increment)

    def allocate(self, money: Money, *, cash: bool = False) -> tuple[Allocated, ...]:
        """Return money split among the shares, in whole cash increments if asked for, with the trail.

        Raises ``InvalidAmount`` for anything but ``Money``, and for cash that coins cannot pay.
        """
        if not isinstance(money, Money):
            raise InvalidAmount(f"{shown(money)} is of type {type(money).__name__}: expected Money")
        currency, total = money.currency, money.units
        increment = currency.cash_increment if cash else 1
        rule, exponent, code = Rule.LARGEST_REMAINDER, currency.exponent, currency.code
        if total % increment:
            smallest = Money(increment, currency)
            raise InvalidAmount(f"amount {money} {code}: no multiple of {smallest} in cash; round it first")
        return tuple(
            Allocated(
                path,
                Money(units, currency),
                RoundingStep(path, total * part, whole, rule, units, exponent, code, increment),
            )
            for path, units, (part, whole) in zip(
                self.paths, self.units(total, increment), _exact_parts(self._root, 1, 1), strict=True
            )
        )


def _inside(node: _Node, shares: list[int]) -> list[int]:
    allocated = []
    for share, inner in zip(shares, node.inside, strict=True):
        if inner is None:
            allocated.append(share)
        else:
            allocated += _inside(inner, _allocate_parts(share, inner.weights, inner.whole))
    return allocated


def _exact_parts(node: _Node, part: int, whole: int) -> Iterator[tuple[int, int]]:
    for weight, inner in zip(node.weights, node.inside, strict=True):
        of_total = part * weight, whole * node.whole
        if inner is None:
            yield of_total
        else:
            yield from _exact_parts(inner, *of_total)


def _paths(shares: tuple[Share, ...], prefix: str, depth: int) -> Iterator[str]:
    if shares and not depth:
        raise InvalidMoneyRule(f"share {prefix[:-1]}: nested more than {MAX_DEPTH} deep")
    seen = set()
    for share in shares:
        if not share.name or "/" in share.name or share.name in seen:
            raise InvalidMoneyRule(
                f"share {shown(prefix + share.name)}: needs a name of its own, without a slash"
            )
        seen.add(share.name)
        yield prefix + share.name
        yield from _paths(share.inside, f"{prefix}{share.name}/", depth - 1)


def _outer_node(shares: tuple[Share, ...]) -> _Node:
    ratios = [share.weight for share in shares if isinstance(share.weight, int)]
    if ratios and len(ratios) < len(shares):
        raise InvalidMoneyRule("shares: ratios do not mix with percentages or rest; use one kind")
    inside = tuple(_inner_node(share) for share in shares)
    if ratios:
        _checked_weights(ratios)
        return _node(ratios, inside)
    return _node(_percent_weights(shares), inside)


def _percent_weights(shares: tuple[Share, ...]) -> list[int]:
    left = _left_by_percentages(shares)
    rests = sum(share.weight is REST for share in shares)
    if left and not rests:
        raise InvalidMoneyRule(
            f"shares: {_percent_text(left)} % are left over; add a rest share or make 100 %"
        )
    # rest shares are equal parts of what is left, so every weight is counted in parts of that size
    return [
        share.weight.per_1e14 * max(rests, 1) if isinstance(share.weight, Percent) else left
        for share in shares
    ]


def _inner_node(share: Share) -> _Node | None:
    if not share.inside:
        return None
    for inner in share.inside:
        if not isinstance(inner.weight, Percent):
            raise InvalidMoneyRule(
                f"share {inner.name} inside {share.name}: must be a percentage; {share.name} keeps the rest"
            )
    keeps = Share(share.name, REST)
    return _node(_percent_weights((keeps, *share.inside)), (None, *map(_inner_node, share.inside)))


def _left_by_percentages(shares: tuple[Share, ...]) -> int:
    taken = sum(share.weight.per_1e14 for share in shares if isinstance(share.weight, Percent))
    if taken > _WHOLE:
        names = ", ".join(share.name for share in shares)
        raise InvalidMoneyRule(f"shares {names}: they make {_percent_text(taken)} %, 100 % at most")
    return _WHOLE - taken


def _node(weights: Sequence[int], inside: tuple[_Node | None, ...]) -> _Node:
    shared = gcd(*weights)
    reduced = tuple(weight // shared for weight in weights)
    return _Node(reduced, sum(reduced), inside, any(inner is not None for inner in inside))


def _percent_text(per_1e14: int) -> str:
    return exact_text(per_1e14, POWERS[MAX_SCALE])
