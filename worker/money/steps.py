"""Fee components as integer arithmetic: a fee is a piecewise line ``(base * slope + offset) / denominator``.

A percentage has at most 14 decimals as a factor and a sum at most 12, so everything a component adds up
is an integer at 26 decimals; a step is that, divided by what its numbers have in common.
"""

from bisect import bisect_left
from math import gcd
from typing import Final, NamedTuple

from worker.errors import InvalidMoneyRule
from worker.money.currency import Currency
from worker.money.fees import (
    FeeBase,
    FeeComponent,
    FixedTerm,
    PercentTerm,
    PerItemTerm,
    TaxComponent,
    Term,
    TieredTerm,
    TierKind,
)
from worker.money.text import MAX_SCALE, MAX_UNITS, POWERS

_FACTOR_SCALE: Final = MAX_SCALE + 2
_EXACT_SCALE: Final = MAX_SCALE + _FACTOR_SCALE

Line = tuple[int, int]
"""Slope and offset of a fee over its base."""


class Step(NamedTuple):
    """One component for bases at one scale; its fee is in minor units, from ``low`` to ``high``.

    ``taxed`` holds the positions of the fees that are the base, or None when it is the amount;
    ``lines[i]`` is for a base above ``bounds[i - 1]`` up to and with ``bounds[i]``.
    """

    taxed: tuple[int, ...] | None
    remaining: bool
    bounds: tuple[int, ...]
    lines: tuple[Line, ...]
    per_item: int
    denominator: int
    low: int
    high: int


class Pieces(NamedTuple):
    """A component's exact fee: bounds at 12 decimals, slopes at 14, offsets and sum per item at 26."""

    bounds: tuple[int, ...]
    lines: tuple[Line, ...]
    per_item: int
    low: int
    high: int


def component_pieces(component: FeeComponent, currency: Currency) -> Pieces:
    """Return a component's exact fee in a currency; see ``FeeSchedule.compile`` for what it raises."""
    what = f"fee {component.name}"
    bounds = tuple(sorted({bound for term in component.terms for bound in _term_bounds(term, currency)}))
    lines = [(0, 0)] * (len(bounds) + 1)
    per_item = 0
    for term in component.terms:
        if isinstance(term, PerItemTerm):
            per_item += _at_exact_scale(term.prices.in_units(currency, MAX_SCALE, what))
            continue
        own_bounds, own_lines = _term_bounds(term, currency), _term_lines(term, currency, what)
        for index, (slope, offset) in enumerate(lines):
            own = bisect_left(own_bounds, bounds[index]) if index < len(bounds) else len(own_bounds)
            lines[index] = (slope + own_lines[own][0], offset + own_lines[own][1])
    low, high = _limits(component, currency)
    return Pieces(bounds, tuple(lines), per_item, low, high)


def tax_step(tax: TaxComponent, positions: tuple[int, ...]) -> Step:
    """Return the step that taxes the fees at these positions; fees and tax are both in minor units."""
    slope, denominator = tax.percent.per_1e14, POWERS[_FACTOR_SCALE]
    shared = gcd(slope, denominator)
    return Step(positions, False, (), ((slope // shared, 0),), 0, denominator // shared, 0, MAX_UNITS)


def amount_step(pieces: Pieces, base: FeeBase, scale: int, exponent: int) -> Step:
    """Return a component's step for bases at a scale, giving minor units at an exponent."""
    lift = POWERS[MAX_SCALE - scale]
    denominator = POWERS[_EXACT_SCALE - exponent]
    lines = [(slope * lift, offset) for slope, offset in pieces.lines]
    shared = gcd(denominator, pieces.per_item, *(number for line in lines for number in line))
    return Step(
        taxed=None,
        remaining=base is FeeBase.REMAINING,
        bounds=tuple(bound // lift for bound in pieces.bounds),
        lines=tuple((slope // shared, offset // shared) for slope, offset in lines),
        per_item=pieces.per_item // shared,
        denominator=denominator // shared,
        low=pieces.low,
        high=pieces.high,
    )


def _at_exact_scale(units: int) -> int:
    return units * POWERS[_FACTOR_SCALE]


def _term_bounds(term: Term, currency: Currency) -> tuple[int, ...]:
    return term.bounds(currency) if isinstance(term, TieredTerm) else ()


def _term_lines(term: PercentTerm | FixedTerm | TieredTerm, currency: Currency, what: str) -> list[Line]:
    if isinstance(term, PercentTerm):
        return [(term.percent.per_1e14, 0)]
    if isinstance(term, FixedTerm):
        return [(0, _at_exact_scale(term.prices.in_units(currency, MAX_SCALE, what)))]
    return _tier_lines(term, currency, what)


def _tier_lines(term: TieredTerm, currency: Currency, what: str) -> list[Line]:
    slopes = [tier.percent.per_1e14 for tier in term.tiers]
    offsets = [
        0 if tier.fixed is None else _at_exact_scale(tier.fixed.in_units(currency, MAX_SCALE, what))
        for tier in term.tiers
    ]
    if term.kind is TierKind.GRADUATED:
        for index, bound in enumerate(term.bounds(currency)):
            offsets[index + 1] += offsets[index] + bound * (slopes[index] - slopes[index + 1])
    return list(zip(slopes, offsets, strict=True))


def _limits(component: FeeComponent, currency: Currency) -> tuple[int, int]:
    exponent, what = currency.exponent, f"fee {component.name}"
    low = (
        0 if component.minimum is None else component.minimum.in_units(currency, exponent, f"{what}, minimum")
    )
    if component.maximum is None:
        return low, MAX_UNITS
    high = component.maximum.in_units(currency, exponent, f"{what}, maximum")
    if high < low:
        raise InvalidMoneyRule(f"{what}: the maximum in {currency.code} is below the minimum")
    return low, high
