"""Which texts fulfil some conditions and not others: exact for prefixes and card ranges.

Both look at how a text begins only, so that a longer text fulfils whatever a shorter one does: the shortest
texts that fulfil what is wanted are the only ones to ask whether they escape what is not.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from worker.routing.checks import TextCondition, text_test
from worker.routing.conditions import BinRange, Bins, Flag, Prefix
from worker.routing.sides import Values

TextLiterals = Sequence[tuple[TextCondition, bool]]
"""Conditions on one field, each with whether it is to hold."""
Span = tuple[int, int]


def fits(literals: TextLiterals, text: str) -> bool:
    """Return whether a text fulfils the conditions that are to hold, and none of the others."""
    return all(text_test(condition)(text) is true for condition, true in literals)


def can_fit(values: Values, domain: frozenset[str] | None, literals: TextLiterals) -> bool:
    """Return False only if no value of these fits; ``domain`` is all the texts there are, if they are known.

    Of suffixes and globs the answer knows only what single values say.
    """
    if not any(true for _, true in literals) and (
        values.missing or values.numbers or any(isinstance(one, Flag) for one in values.values)
    ):
        return True  # what is no text fulfils no condition on text
    if not values.complement:
        texts: Iterable[object] = values.values if domain is None else values.values & domain
    elif domain is not None:
        texts = domain - values.values
    else:
        return next(shortest(literals), None) is not None
    return any(isinstance(text, str) and fits(literals, text) for text in texts)


def shortest(literals: TextLiterals) -> Iterator[str]:
    """Yield texts that fit the prefixes and card ranges; none if there is none."""
    known = [(one, true) for one, true in literals if isinstance(one, Prefix | Bins)]
    wanted = [one for one, true in known if true]
    if not wanted:
        yield ""
    for text in dict.fromkeys(text for one in wanted if isinstance(one, Prefix) for text in one.texts):
        if fits(known, text):
            yield text
    unwanted = [one for one, true in known if not true]
    for digits in sorted({one.digits for condition in wanted for one in _ranges(condition)}):
        yield from (f"{low:0{digits}}" for low in _lows(wanted, unwanted, digits))


def _ranges(condition: Prefix | Bins) -> Iterable[BinRange]:
    """Return a condition's card ranges; a prefix of digits is one."""
    if isinstance(condition, Bins):
        return condition.ranges
    numbers = (text for text in condition.texts if text.isascii() and text.isdigit())
    return [BinRange(len(text), int(text), int(text)) for text in numbers]


@lru_cache(maxsize=4096)
def _spans(condition: Prefix | Bins, digits: int) -> tuple[Span, ...]:
    """Return the numbers of so many digits that fulfil a condition, as disjoint half-open intervals."""
    scaled = sorted(
        (one.low * 10 ** (digits - one.digits), (one.high + 1) * 10 ** (digits - one.digits))
        for one in _ranges(condition)
        if one.digits <= digits
    )
    found: list[Span] = []
    end = 0
    for low, high in scaled:
        if high > end:
            found.append((max(low, end), high))
            end = high
    return tuple(found)


def _lows(wanted: Sequence[Prefix | Bins], unwanted: Sequence[Prefix | Bins], digits: int) -> Iterator[int]:
    """Yield where intervals begin whose numbers of so many digits lie in all that is wanted, and no other."""
    spans = [(low, high, 1) for condition in wanted for low, high in _spans(condition, digits)]
    if next(_overlapping(spans, len(wanted)), None) is None:
        return
    spans += [(*span, -len(wanted)) for condition in unwanted for span in _spans(condition, digits)]
    yield from _overlapping(spans, len(wanted))


def _overlapping(spans: Iterable[tuple[int, int, int]], wanted: int) -> Iterator[int]:
    """Yield where the weights of the intervals that are open begin to sum to ``wanted``."""
    steps = sorted(step for low, high, weight in spans for step in ((low, weight), (high, -weight)))
    inside = 0
    for i, (number, weight) in enumerate(steps):
        inside += weight
        if inside == wanted and (i + 1 == len(steps) or steps[i + 1][0] > number):
            yield number
