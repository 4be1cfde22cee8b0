"""The journal's counts against the queues' depths: exact at rest, and lenient by what moves."""

from collections import Counter
from typing import Any

import pytest

from worker.bookkeeping.audit import Audit, Place
from worker.bookkeeping.depths import MISSING_LETTERS, Comparison, Depths, compare
from worker.journal.entries import Happening


def found(**places: int) -> Audit:
    """An audit with so many payments at these places."""
    audit = Audit()
    for place, count in places.items():
        audit.currencies["EUR"].places[Place(place)].count = count
    return audit


def depths(**changes: int) -> Depths:
    return Depths(**{"incoming": 0, "consumers": 0, "crashed": 0, "delayed": 0, "dead": 0, **changes})


def problems(audit: Audit, before: Depths, after: Depths | None = None, moved: int = 0) -> list[str]:
    comparisons = compare(audit, before, after or before, moved)
    return [one.problem for one in comparisons if one.problem is not None]


def test_at_rest_they_are_the_same() -> None:
    """Each place with both numbers; held payments are among the dead, and what was never claimed too."""
    audit = found(delayed=3, held=1, dead_lettered=2, unclaimed=2)
    audit.unread = 4
    at_rest = depths(delayed=3, dead=9)
    assert list(compare(audit, at_rest, at_rest, 0)) == [
        Comparison(Place.DELAYED, 3, 3),
        Comparison(Place.DEAD_LETTERED, 9, 9),
        Comparison(Place.IN_FLIGHT, 0, 0),
    ]


def test_what_crashed_its_workers_waits_in_no_queue_of_work() -> None:
    """It is in flight, and its message is among the dead letters."""
    audit = found(in_flight=2)
    audit.crashed, audit.late[Happening.DEAD_LETTERED] = {"pay-1"}, 1
    assert problems(audit, depths(incoming=1, dead=1)) == []
    assert problems(audit, depths(dead=1)) != []


@pytest.mark.parametrize(
    ("counts", "queues", "words"),
    [
        ({"delayed": 3}, {"delayed": 2}, "are in no delay queue"),
        ({"delayed": 3}, {"delayed": 4}, "does not know to be delayed"),
        ({"dead_lettered": 1, "held": 1}, {"dead": 1}, MISSING_LETTERS),
        ({"dead_lettered": 1}, {"dead": 2}, "letters that the journal does not know"),
        ({"in_flight": 2}, {"incoming": 1}, "that no worker holds any more"),
    ],
)
def test_one_too_many_or_too_few_is_seen_at_rest(
    counts: dict[str, Any], queues: dict[str, int], words: str
) -> None:
    """Whichever way the two differ."""
    (problem,) = problems(found(**counts), depths(**queues))
    assert words in problem


@pytest.mark.parametrize(
    ("counts", "queues"),
    [
        ({"delayed": 3}, {"delayed": 2, "incoming": 1}),
        ({"dead_lettered": 2}, {"dead": 1, "crashed": 1}),
        ({"delayed": 1, "in_flight": 1}, {"delayed": 2, "consumers": 1}),
        ({"in_flight": 5}, {"consumers": 1}),
        ({"in_flight": 2}, {"incoming": 1, "crashed": 1}),
    ],
)
def test_what_is_on_its_way_is_no_problem(counts: dict[str, Any], queues: dict[str, int]) -> None:
    """Back in the queue of work, or in a worker's hands and confirmed, and not on record yet."""
    assert problems(found(**counts), depths(**queues)) == []


def test_what_moved_meanwhile_is_allowed_for() -> None:
    """By as many as there are new entries in the history, and by what the queues themselves show."""
    audit = found(delayed=3, dead_lettered=3)
    before, after = depths(consumers=1, delayed=1, dead=2), depths(consumers=1, delayed=0, dead=2)
    assert len(problems(audit, before, after, 0)) == 2
    assert len(problems(audit, before, after, 1)) == 1
    assert problems(audit, before, after, 2) == []
    assert problems(audit, depths(delayed=5, dead=5), depths(delayed=1, dead=1)) == []


def test_copies_of_payments_in_other_hands() -> None:
    """A repeat that waits until the payment is out of another worker's hands is in a delay queue, too."""
    audit = found(delayed=1)
    audit.late = Counter({Happening.DELAYED: 2, Happening.DEAD_LETTERED: 1})
    assert problems(audit, depths(delayed=3, dead=1)) == []
    assert len(problems(audit, depths(delayed=4, dead=2))) == 2


def test_a_message_in_the_queue_of_work_may_be_many_payments() -> None:
    """One that came back from a worker that died explains as many payments as it may carry, and no more."""
    at_rest = depths(incoming=2)
    for at_hand, lost in ((20, 0), (21, 1)):
        comparisons = compare(found(in_flight=at_hand), at_rest, at_rest, 0, a_message=10)
        assert sum(one.problem is not None for one in comparisons) == lost
