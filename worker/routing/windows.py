"""Time windows: reading them from a rule, and telling whether a moment falls into one."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from schemas.rule_conditions import DAYS
from worker.routing.amounts import read_instant
from worker.routing.conditions import MINUTES_PER_DAY, Window
from worker.routing.fields import microseconds
from worker.routing.names import Names
from worker.routing.problems import Path, listing, nearest

CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
KEYS = ("days", "from", "to", "zone", "after", "before")


def holds(window: Window, now: datetime) -> bool:
    """Return whether ``now`` (with an offset) falls into the window."""
    if window.after is not None or window.before is not None:
        moment = microseconds(now)
        if window.after is not None and moment < window.after:
            return False
        if window.before is not None and moment >= window.before:
            return False
    local = now.astimezone(window.zone)
    minute = local.hour * 60 + local.minute
    if window.start < window.end:
        return local.weekday() in window.days and window.start <= minute < window.end
    if minute >= window.start:
        return local.weekday() in window.days
    return minute < window.end and (local.weekday() - 1) % 7 in window.days


def read_window(value: object, path: Path, names: Names) -> Window | None:
    """Return the window that a mapping describes, or None after reporting what is wrong with it."""
    if not isinstance(value, Mapping) or not value:
        names.problems.add(path, f"a time window is a mapping of {listing(KEYS)}")
        return None
    before = len(names.problems.found)
    for key in value:
        if key not in KEYS:
            message = f"unknown part of a time window {key!r}{nearest(key, KEYS)} (known: {listing(KEYS)})"
            names.problems.add_key((*path, key), message)
    zone_name = value.get("zone", "UTC")
    window = Window(
        days=_days(value.get("days"), (*path, "days"), names),
        start=_clock(value.get("from", "00:00"), (*path, "from"), names),
        end=_clock(value.get("to", "24:00"), (*path, "to"), names),
        zone=_zone(zone_name, (*path, "zone"), names),
        zone_name=str(zone_name),
        after=read_instant(value["after"], (*path, "after"), names) if "after" in value else None,
        before=read_instant(value["before"], (*path, "before"), names) if "before" in value else None,
    )
    if window.after is not None and window.before is not None and window.after >= window.before:
        names.problems.add((*path, "before"), "`before` is not later than `after`, so the window never opens")
    return window if len(names.problems.found) == before else None


def _days(value: object, path: Path, names: Names) -> frozenset[int]:
    if value is None:
        return frozenset(range(7))
    if not isinstance(value, list) or not value:
        names.problems.add(path, f"days are a list out of {listing(DAYS)}")
        return frozenset()
    for i, day in enumerate(value):
        if day not in DAYS:
            names.problems.add(
                (*path, i), f"unknown day {day!r}{nearest(day, DAYS)} (days are {listing(DAYS)})"
            )
    return frozenset(DAYS.index(day) for day in value if day in DAYS)


def _clock(value: object, path: Path, names: Names) -> int:
    match = CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        names.problems.add(path, f"{value!r} is not a time of day in quotes, such as '09:00'")
        return 0
    hours, minutes = match.groups()
    return MINUTES_PER_DAY if hours is None else int(hours) * 60 + int(minutes)


def _zone(value: object, path: Path, names: Names) -> tzinfo:
    if value == "UTC":
        return UTC
    try:
        if isinstance(value, str):
            return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    zones = available_timezones()
    hint = nearest(value, zones) if zones else "; this machine has no time zone data, install tzdata"
    names.problems.add(path, f"unknown time zone {value!r}{hint}")
    return UTC
