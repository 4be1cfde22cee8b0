"""Which conditions exclude one another, against every text of a small alphabet and every half hour."""

from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.routing import windows
from worker.routing.checks import text_test
from worker.routing.conditions import BinRange, Bins, Prefix, Window
from worker.routing.fields import microseconds
from worker.routing.leading import can_fit, fits, shortest
from worker.routing.moments import moment
from worker.routing.sides import Values

TEXTS = ["".join(text) for length in range(5) for text in product("01a", repeat=length)]
NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
WEEKS = [datetime(2026, month, day, tzinfo=UTC) for month, day in ((1, 5), (3, 9), (3, 28), (7, 6), (10, 26))]
HALF_HOURS = [week + timedelta(minutes=30 * i) for week in WEEKS for i in range(2 * 24 * 8)]


@st.composite
def bins(draw):
    found = []
    for _ in range(draw(st.integers(1, 2))):
        digits = draw(st.integers(1, 3))
        low, high = sorted(draw(st.tuples(*[st.integers(0, 10**digits - 1)] * 2)))
        found.append(BinRange(digits, low, high))
    return Bins("method.bin", tuple(found))


prefixes = st.lists(st.sampled_from(TEXTS[1:]), min_size=1, max_size=2).map(
    lambda texts: Prefix("method.bin", tuple(texts))
)
literals = st.lists(st.tuples(st.one_of(bins(), prefixes), st.booleans()), max_size=4)


@settings(max_examples=300, deadline=None)
@given(literals)
def test_a_text_is_found_when_there_is_one(some):
    """Prefixes and card ranges exclude one another when no text fits, and what is found fits."""
    found = list(shortest(some))
    assert all(fits(some, text) for text in found)
    anything = Values.anything(missing=False, numbers=False)
    assert can_fit(anything, None, some) is bool(found)
    if not found:
        assert not any(all(text_test(one)(text) is true for one, true in some) for text in TEXTS)


@settings(max_examples=200, deadline=None)
@given(literals, st.frozensets(st.sampled_from(TEXTS), max_size=4), st.booleans())
def test_listed_values_are_asked_one_by_one(some, texts, missing):
    """Of a list of values, or a missing field, it is exact whatever the conditions are."""
    values = Values(texts, complement=False, missing=missing)
    absent = missing and not any(true for _, true in some)
    assert can_fit(values, None, some) is (absent or any(fits(some, text) for text in texts))
    assert can_fit(values.inverted(), frozenset(TEXTS), some) is (
        (not missing and not any(true for _, true in some))
        or any(fits(some, text) for text in TEXTS if text not in texts)
    )


@st.composite
def open_windows(draw):
    zone = draw(st.sampled_from(["UTC", "Europe/Malta", "America/New_York", "Asia/Kolkata"]))
    start, end = draw(st.tuples(*[st.integers(0, 47).map(lambda half: half * 30)] * 2))
    after, before = sorted(draw(st.tuples(*[st.sampled_from(HALF_HOURS).map(microseconds)] * 2)))
    return Window(
        days=frozenset(draw(st.sets(st.integers(0, 6), min_size=1))),
        start=start,
        end=end,
        zone=ZoneInfo(zone),
        zone_name=zone,
        after=after if draw(st.booleans()) else None,
        before=before if draw(st.booleans()) else None,
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(open_windows(), st.booleans()), min_size=1, max_size=4))
def test_a_moment_is_found_when_there_is_one(some):
    """Windows exclude one another when no moment fits, and the moment found fits."""

    def at(now: datetime) -> bool:
        return all(windows.holds(window, now) is is_open for window, is_open in some)

    found = moment(some, NOON)
    assert at(found) if found else not any(map(at, HALF_HOURS))
