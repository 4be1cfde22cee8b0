"""One payment's story: found by its ids, told in words, with its roundings."""

from typing import Any

import pytest

from tests.support.journals import dispatched, ended, intent, later
from tests.support.payments import NOW, RULES, body, rule_table
from worker.bookkeeping.roundings import kept_steps, steps_by_rules
from worker.bookkeeping.story import nearest, read_story, where
from worker.codec import decode
from worker.journal.books import Standing
from worker.journal.memory import Memory, MemoryBooks, MemoryJournal
from worker.journal.protocol import Ending, Intent
from worker.journal.states import State
from worker.journal.times import milliseconds
from worker.planning import Planner

SOON = milliseconds(later(30))
LATE = milliseconds(later(3600))


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def journal(memory: Memory) -> MemoryJournal:
    return MemoryJournal("host 12 ab", 60, memory)


def stands(memory: Memory) -> Standing:
    standing = MemoryBooks(memory).find("pay-1")
    assert standing is not None
    return standing


async def test_a_payment_is_found_by_either_id(memory: Memory, journal: MemoryJournal) -> None:
    """With its history; what nobody knows has no story."""
    first = intent()
    await journal.claim([first], later(0))
    await journal.record([dispatched(first)], later(1))
    books = MemoryBooks(memory)
    story = read_story(books, "pay-1")
    assert story is not None
    assert story == read_story(books, first.dispatch_id or "")
    assert (story.standing, [entry.ended for entry in story.history]) == (
        stands(memory), [milliseconds(later(1))],
    )  # fmt: skip
    assert story.fees[0]["amount"]["value"] == "0.34"
    assert read_story(books, "pay-2") is None


async def test_what_was_never_claimed_has_a_story(memory: Memory, journal: MemoryJournal) -> None:
    """A message that could not be charged, say: there is its dead letter, and no payment."""
    await journal.record(
        [Ending(State.DEAD_LETTERED, "pay-9", None, "fee_exceeds_amount", claimed=False)], NOW
    )
    story = read_story(MemoryBooks(memory), "pay-9")
    assert story is not None
    assert (story.standing, [entry.code for entry in story.history]) == (None, ["fee_exceeds_amount"])


async def test_the_nearest_id(memory: Memory, journal: MemoryJournal) -> None:
    """One that begins alike is offered, a stranger is not."""
    await journal.claim([intent("pay-3-0000017"), intent("pay-3-0000018"), intent("zebra")], NOW)
    books = MemoryBooks(memory)
    assert nearest(books, "pay-3-000018") == "pay-3-0000018"
    assert nearest(books, "order/77") is None


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        (
            State.DELAYED,
            "unroutable",
            "in a delay queue since 2026-11-24 12:00:01.000Z (unroutable); it comes",
        ),
        (State.DEAD_LETTERED, "no_route", "among the dead letters since 2026-11-24 12:00:01.000Z (no_route)"),
        (State.HELD, "held", "held for a person among the dead letters"),
    ],
)
async def test_where_it_is_when_it_was_not_dispatched(
    memory: Memory, journal: MemoryJournal, state: State, code: str, words: str
) -> None:
    """Since when, why, and how to get on."""
    first = intent()
    await journal.claim([first], later(0))
    await journal.record([ended(state, first, code)], later(1))
    assert where(stands(memory), SOON).startswith(words)


async def test_where_it_is_in_hand_and_dispatched(memory: Memory, journal: MemoryJournal) -> None:
    """In a live worker's hands, then perhaps in a dead one's, then at the processor."""
    first = intent()
    await journal.claim([first], later(0))
    live, dead = (where(stands(memory), now) for now in (SOON, LATE))
    assert live == "in the hands of worker host 12 ab since 2026-11-24 12:00:00.000Z, about to go to alpha"
    assert "is gone or slow" in dead
    await journal.record([dispatched(first)], later(1))
    assert where(stands(memory), LATE) == (
        "at alpha: its exchange processor.alpha confirmed it 2026-11-24 12:00:01.000Z"
    )


async def test_where_it_is_when_it_has_crashed_its_workers(memory: Memory, journal: MemoryJournal) -> None:
    """Among the dead letters, and perhaps at the processor; claimed again, it is in hand."""
    await journal.claim([intent()], later(0))
    await journal.record([Ending(State.DEAD_LETTERED, "pay-1", None, "crashed", claimed=False)], later(1))
    history = MemoryBooks(memory).history("pay-1")
    assert "alpha may have it; a redrive goes on from there" in where(stands(memory), LATE, history)
    await journal.claim([intent(redrives=1)], later(100))
    assert "is gone or slow" in where(stands(memory), milliseconds(later(1000)), history)


def planned(**changes: Any) -> Intent:
    """An intent with the bytes that the planner makes of a payment of 10.01 EUR, by the tests' rules."""
    decoded = decode(body(value="10.01"), "application/json", None, 10_000)
    dispatch = Planner(rule_table({**RULES, **changes})).plan(decoded, NOW).dispatch(0)
    return intent(body=dispatch.body)


async def test_roundings_are_worked_out_by_the_same_rules(memory: Memory, journal: MemoryJournal) -> None:
    """2.9 % and 0.25; another version of the rules, or other fees, show nothing rather than a guess."""
    await journal.claim([planned()], NOW)
    standing = stands(memory)
    (step,) = steps_by_rules(standing, rule_table())
    assert step == {
        "step": "processing", "exact": "0.54029", "mode": "half_even", "result": "0.54",
        "remainder": "0.00029", "currency": "EUR",
    }  # fmt: skip
    assert steps_by_rules(standing, rule_table(version="v2")) == ()
    dearer = {"standard": {"components": [{"name": "processing", "percent": "9"}]}}
    assert steps_by_rules(standing, rule_table({**RULES, "fees": dearer})) == ()
    held = [{"name": "all", "when": {"currency": "EUR"}, "route": {"hold": "look"}}]
    assert steps_by_rules(standing, rule_table({**RULES, "rules": held})) == ()
    assert steps_by_rules(standing._replace(body=None), rule_table()) == ()


async def test_roundings_that_the_journal_keeps(memory: Memory, journal: MemoryJournal) -> None:
    """Shown while they are those of the dispatch's fees."""
    await journal.claim([intent()], NOW)
    trail = '[{"step":"processing","result":"0.30"},{"step":"processing (minimum)","result":"0.34"}]'
    standing = stands(memory)._replace(trail=trail)
    assert len(kept_steps(standing)) == 2
    assert kept_steps(standing._replace(trail=trail.replace("0.34", "0.35"))) == ()
    assert kept_steps(standing._replace(trail=None)) == ()


async def test_fees_that_cannot_be_read(memory: Memory, journal: MemoryJournal) -> None:
    """Bytes that are no dispatch do not keep its story from being told."""
    await journal.claim([intent(body=b"{")], NOW)
    story = read_story(MemoryBooks(memory), "pay-1")
    assert story is not None
    assert (story.fees, story.steps) == ((), ())
    assert steps_by_rules(stands(memory), rule_table()) == ()
