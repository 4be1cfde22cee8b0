"""When some time windows are open and others closed: exact, whatever their time zones, over a century.

Between two changes of the clocks the windows of several zones are one pattern of minutes that comes back each
week; so there is one pattern to look at for each set of offsets that the zones have at the same time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Final

from worker.routing import windows
from worker.routing.conditions import MINUTES_PER_DAY, Window
from worker.routing.fields import EPOCH, MICROSECOND, microseconds

MINUTE: Final = 60_000_000
"""Microseconds, the unit of instants here."""
WEEK: Final = 7 * MINUTES_PER_DAY
ALL_WEEK: Final = (1 << WEEK) - 1
"""One bit for each minute of a week, Monday 00:00 the lowest."""
FIRST: Final = microseconds(EPOCH.replace(year=2000))
LAST: Final = microseconds(EPOCH.replace(year=2100))
MARGIN: Final = microseconds(EPOCH.replace(year=1998))
"""28 years: after so many, weekdays, leap years and changes of the clocks come back alike."""
EARLIEST, LATEST = (microseconds(EPOCH.replace(year=year)) for year in (2, 9998))

WindowLiterals = Sequence[tuple[Window, bool]]
"""Windows, each with whether it is to be open."""
Offsets = tuple[int, ...]
"""Minutes that zones are ahead of UTC."""


def moment(literals: WindowLiterals, wanted: datetime) -> datetime | None:
    """Return a moment when the windows are open and closed as said, ``wanted`` or one soon after; or None.

    Looked at are the years 2000 to 2099, and 28 years before and after each instant that a window names.
    """
    if all(windows.holds(window, wanted) is is_open for window, is_open in literals):
        return wanted
    ends = {end for window, _ in literals for end in (window.after, window.before) if end is not None}
    low, high = min(FIRST, *_moved(ends, -MARGIN)), max(LAST, *_moved(ends, MARGIN))
    zones = tuple(dict.fromkeys(window.zone for window, _ in literals))
    found: list[int] = []
    for start, end in pairwise(sorted({low, high, *(one for one in ends if low < one < high)})):
        weekly = _weekly(literals, start)
        if weekly is None:
            continue
        for offsets, spells in _spells(zones, low, high).items():
            minutes = _minutes(weekly, dict(zip(zones, offsets, strict=True)))
            for begins, stops in spells if minutes else ():
                bounds = max(start, begins), min(end, stops)
                for earliest in {bounds[0], max(bounds[0], microseconds(wanted))}:
                    one = _first(minutes, earliest)
                    found += [one] if one < bounds[1] else []
    best = min(found, key=lambda one: (one < microseconds(wanted), one), default=None)
    return None if best is None else EPOCH + best * MICROSECOND


def _moved(ends: Iterable[int], by: int) -> tuple[int, ...]:
    return tuple(min(max(end + by, EARLIEST), LATEST) for end in ends) or (FIRST, LAST)


def _weekly(literals: WindowLiterals, then: int) -> list[tuple[tzinfo, int]] | None:
    """Return the minutes of the local week that each window leaves then; None if one leaves none."""
    found = []
    for window, is_open in literals:
        begun = window.after is None or then >= window.after
        if begun and (window.before is None or then < window.before):
            bits = week_of(window)
            found.append((window.zone, bits if is_open else ALL_WEEK & ~bits))
        elif is_open:
            return None
    return found


def week_of(window: Window) -> int:
    """Return the minutes of the local week in which a window is open, one bit each."""
    length = window.end - window.start
    day = ((1 << (length if length > 0 else length + MINUTES_PER_DAY)) - 1) << window.start
    bits = 0
    for weekday in window.days:
        bits |= day << weekday * MINUTES_PER_DAY
    return (bits | bits >> WEEK) & ALL_WEEK


def _minutes(weekly: Iterable[tuple[tzinfo, int]], offsets: dict[tzinfo, int]) -> int:
    """Return the minutes of the week in UTC that all of these leave."""
    left = ALL_WEEK
    for zone, bits in weekly:
        left &= _turned(bits, offsets[zone])
    return left


def _turned(bits: int, by: int) -> int:
    """Return the week that begins so many minutes later."""
    by %= WEEK
    return (bits >> by | bits << WEEK - by) & ALL_WEEK


def _first(minutes: int, start: int) -> int:
    """Return the first instant from ``start`` on that lies in one of these minutes of the week in UTC."""
    minute = start // MINUTE
    week = _turned(minutes, minute + 3 * MINUTES_PER_DAY)  # 1970 began on a Thursday
    ahead = (week & -week).bit_length() - 1
    return max(start, (minute + ahead) * MINUTE)


@lru_cache(maxsize=64)
def _spells(zones: tuple[tzinfo, ...], low: int, high: int) -> dict[Offsets, list[tuple[int, int]]]:
    """Return for each set of offsets the intervals in which the zones have it."""
    changes = {change for zone in zones for change in _changes(zone, low, high)}
    found: dict[Offsets, list[tuple[int, int]]] = {}
    for begins, stops in pairwise(sorted({low, high, *changes})):
        offsets = tuple(_offset(zone, begins) for zone in zones)
        found.setdefault(offsets, []).append((begins, stops))
    return found


@lru_cache(maxsize=256)
def _changes(zone: tzinfo, low: int, high: int) -> list[int]:
    """Return when a zone's offset changes; one that is undone within the same week is not seen."""
    found: list[int] = []
    week = WEEK * MINUTE
    before = _offset(zone, low)
    for start in range(low, high, week):
        after = _offset(zone, start + week)
        if after != before:
            early, late = start, start + week
            while late - early > 1:
                middle = (early + late) // 2
                early, late = (middle, late) if _offset(zone, middle) == before else (early, middle)
            found.append(late)
            before = after
    return found


def _offset(zone: tzinfo, moment: int) -> int:
    ahead = (EPOCH + moment * MICROSECOND).astimezone(zone).utcoffset()
    return 0 if ahead is None else ahead // MICROSECOND // MINUTE
