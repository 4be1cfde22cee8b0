"""Payments in an order: which of a batch may go at once. Pure."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")


def waves(items: Iterable[T], key: Callable[[T], Hashable | None]) -> list[list[T]]:
    """Part items so that no wave has two of one key, and each key's items keep their order over the waves.

    Items whose key is None have no order, and go with the first.
    """
    parts: list[list[T]] = []
    before: Counter[Hashable] = Counter()
    for item in items:
        own = key(item)
        place = 0
        if own is not None:
            place = before[own]
            before[own] += 1
        if place == len(parts) or not parts:
            parts.append([])
        parts[place].append(item)
    return parts
