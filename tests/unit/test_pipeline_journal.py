"""The pipeline with a journal: an intent before it is sent, an end before it is acknowledged."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
import pytest

from tests.support.dead_letters import delivery
from tests.support.journals import FINGERPRINTS, intent
from tests.support.memory_lane import Stored
from tests.support.memory_stage import MemoryStage
from tests.support.payments import NOW, body
from worker import next_step
from worker.amqp.lane import Properties
from worker.codec import decode
from worker.dead_letters import read_letter
from worker.errors import JournalUnavailable
from worker.journal.memory import Memory, MemoryBooks, MemoryJournal
from worker.journal.protocol import Claim, Ending, Intent
from worker.journal.states import State


class Ailing(MemoryJournal):
    """A journal whose disk fails for its first few writes of one kind."""

    failing: dict[str, int]

    async def claim(self, intents: Sequence[Intent], now: datetime) -> Sequence[Claim]:
        self._fail("claim")
        return await MemoryJournal.claim(self, intents, now)

    async def record(self, endings: Sequence[Ending], now: datetime) -> None:
        self._fail("record")
        await MemoryJournal.record(self, endings, now)

    def _fail(self, what: str) -> None:
        if self.failing.get(what, 0) > 0:
            self.failing[what] -= 1
            raise JournalUnavailable("the disk is full")


@pytest.fixture
def memory() -> Memory:
    """What outlives a worker."""
    return Memory()


@pytest.fixture
async def stage(memory: Memory) -> MemoryStage:
    """A worker with a journal in that memory."""
    stage = MemoryStage()
    stage.remember(MemoryJournal("this worker", memory=memory))
    return stage


def happenings(memory: Memory, payment_id: str = "pay-1") -> list[str]:
    return [entry.happening.value for entry in MemoryBooks(memory).history(payment_id)]


def fingerprint(message: bytes) -> bytes:
    return FINGERPRINTS.of(decode(message, None, None, 10_000).canonical)


async def left_behind(memory: Memory, processor: str) -> Intent:
    """Let another worker claim pay-1 for a processor, and be gone."""
    left = intent(processor=processor, exchange=processor, fingerprint=fingerprint(body()))
    await MemoryJournal("a worker that is gone", memory=memory).claim([left], NOW)
    return left


async def test_a_dispatch_is_in_the_journal(stage: MemoryStage, memory: Memory) -> None:
    """The journal has where the payment is, by which rule, and what it was charged."""
    stage.put(body())
    await stage.drain(1)
    known = MemoryBooks(memory).find("pay-1")
    assert known is not None
    assert (known.state, known.processor, known.rule) == (State.DISPATCHED, "alpha", "euros")
    assert (known.gross, known.net, known.scale) == (1000, 946, 2)
    assert known.body == stage.queue("alpha")[0].body


async def test_a_repeat_is_acknowledged_and_not_sent(stage: MemoryStage, memory: Memory) -> None:
    """A producer that sends a payment again, after it was dispatched, pays once."""
    stage.put(body())
    await stage.drain(1)
    stage.put(b" " + body())
    stage.remember(MemoryJournal("the next worker", memory=memory))
    await stage.drain(1)
    assert stage.counts == {"duplicate": 1}
    assert len(stage.queue("alpha")) == 1
    assert happenings(memory) == ["dispatched", "duplicate"]


async def test_an_intent_left_behind_is_sent_as_it_was_written(stage: MemoryStage, memory: Memory) -> None:
    """What a worker that is gone may have sent goes to its processor, byte by byte, whatever rules say."""
    left = await left_behind(memory, "beta")
    stage.put(body(), redelivered=True)
    await stage.drain(1)
    assert [one.body for one in stage.queue("beta")] == [left.body]
    assert not stage.queue("alpha")
    assert stage.counts == {"dispatched": 1}


async def test_an_intent_left_behind_wins_over_a_rejection(stage: MemoryStage, memory: Memory) -> None:
    """Rules that would now reject a payment do not stop what may have been sent already."""
    francs = body(amount={"value": "10.00", "currency": "CHF"})
    left = intent(processor="beta", exchange="beta", fingerprint=fingerprint(francs))
    await MemoryJournal("a worker that is gone", memory=memory).claim([left], NOW)
    stage.put(francs, redelivered=True)
    await stage.drain(1)
    assert [one.body for one in stage.queue("beta")] == [left.body]
    assert not stage.queue("dead")


async def test_an_intent_left_behind_never_goes_to_another(stage: MemoryStage, memory: Memory) -> None:
    """Its processor refuses it now: it waits, since the earlier publish may have arrived."""
    await left_behind(memory, "alpha")
    stage.broker.full.add("alpha")
    stage.put(body(), redelivered=True)
    await stage.drain(1)
    assert stage.counts == {"delayed": 1}
    assert not stage.queue("beta")


async def test_a_fallback_is_remembered(stage: MemoryStage, memory: Memory) -> None:
    """The first candidate refused, the second was tried: after a crash the second gets it again."""
    stage.broker.full.add("alpha")
    stage.put(body())
    await stage.drain(1)
    assert happenings(memory) == ["refused", "dispatched"]
    sent = stage.queue("beta")[0].body
    memory.payments["pay-1"].known = memory.payments["pay-1"].known._replace(state=State.CLAIMED)
    stage.broker.full.clear()
    stage.remember(MemoryJournal("the next worker", memory=memory))
    stage.put(body(), redelivered=True)
    await stage.drain(1)
    assert [one.body for one in stage.queue("beta")] == [sent, sent]
    assert not stage.queue("alpha")


async def test_a_redelivery_that_was_never_claimed_is_free(stage: MemoryStage) -> None:
    """The journal knows that nothing was sent for it, so a refusal may lead to the fallback."""
    stage.broker.full.add("alpha")
    stage.put(body(), redelivered=True)
    await stage.drain(1)
    assert len(stage.queue("beta")) == 1


async def test_another_payment_with_the_same_id_is_dead(stage: MemoryStage, memory: Memory) -> None:
    """It is dead-lettered with both fingerprints, and changes nothing about the first."""
    stage.put(body())
    stage.put(body(amount={"value": "99.00", "currency": "EUR"}))
    await stage.drain(2)
    headers = stage.headers("dead")
    assert headers["payment-error-code"] == "idempotency_conflict"
    first = FINGERPRINTS.of(decode(body(), None, None, 10_000).canonical).hex()
    assert first in headers["payment-error-message"]
    known = MemoryBooks(memory).find("pay-1")
    assert known is not None
    assert known.state is State.DISPATCHED
    (conflict,) = MemoryBooks(memory).strays()
    assert (conflict.payment_id, conflict.currency, conflict.scale, conflict.gross) == (
        "pay-1",
        "EUR",
        2,
        9900,
    )


async def test_what_a_live_worker_holds_waits(stage: MemoryStage, memory: Memory) -> None:
    """A copy of a payment that is in another worker's hands comes back later."""
    await left_behind(memory, "alpha")
    stage.put(body())
    await stage.drain(1)
    assert stage.counts == {"delayed": 1}
    attempts = orjson.loads(stage.headers("delay.1")["payment-attempts"])
    assert [attempt["code"] for attempt in attempts] == ["claimed_elsewhere"]


async def test_waiting_for_another_worker_is_no_attempt(stage: MemoryStage, memory: Memory) -> None:
    """A repeat that waited, longer each time, is still one when the payment was dead-lettered meanwhile."""
    await left_behind(memory, "alpha")
    stage.put(body())
    await stage.drain(1)
    for queue in ("delay.1", "delay.5"):
        (waiting,) = stage.queue(queue)
        assert waiting.properties.headers["payment-attempt"] == 1
        if queue == "delay.5":
            known = MemoryBooks(memory).find("pay-1")
            assert known is not None
            dead = Ending(State.DEAD_LETTERED, "pay-1", known.dispatch_id, "returned")
            await MemoryJournal("a worker that is gone", memory=memory).record([dead], NOW)
        stage.open()
        stage.come_back(waiting)
        await stage.drain(1)
    assert stage.counts == {"duplicate": 1}


async def test_what_a_live_worker_holds_waits_however_long(stage: MemoryStage, memory: Memory) -> None:
    """It is not dead-lettered when its attempts are used up: the other worker may have dispatched it."""
    await left_behind(memory, "alpha")
    stage.come_back(Stored(body(), Properties(headers={"payment-attempt": 99}), "", ""))
    await stage.drain(1)
    assert stage.counts == {"delayed": 1}


async def test_a_rejected_payment_is_in_the_journal(stage: MemoryStage, memory: Memory) -> None:
    """So is one that a person has to look at."""
    stage.put(body(payment_id="rejected", amount={"value": "1", "currency": "CHF"}))
    stage.put(body(payment_id="held", amount={"value": "1", "currency": "GBP"}))
    stage.put(b"nonsense")
    await stage.drain(3)
    books = MemoryBooks(memory)
    assert [(k.state, k.code, k.gross) for k in (books.find("rejected"), books.find("held")) if k] == [
        (State.DEAD_LETTERED, "no_francs", 1),
        (State.HELD, "held", 1),
    ]
    assert [entry.code for entry in memory.entries if entry.payment_id is None] == ["malformed_message"]


async def test_a_redriven_payment_is_no_repeat(stage: MemoryStage, memory: Memory) -> None:
    """Sent back from the dead letters it is worked on again, and its copy left in between is a duplicate."""
    stage.put(body(amount={"value": "1", "currency": "CHF"}))
    await stage.drain(1)
    dead = stage.broker.queues["dead"].popleft()
    assert isinstance(dead.properties, Properties)
    letter = read_letter(delivery(dead.body, dead.properties))
    redriven = stage.pipeline.envelopes.redriven("payments.return", letter, NOW)
    assert isinstance(redriven.properties, Properties)
    for _ in range(2):
        stage.come_back(Stored(redriven.body, redriven.properties, "", ""))
        stage.remember(MemoryJournal("the next worker", memory=memory))
        await stage.drain(1)
    assert happenings(memory) == ["dead_lettered", "dead_lettered", "duplicate"]
    assert stage.headers("dead")["payment-redrives"] == 1


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold back for no time."""
    monkeypatch.setattr(next_step, "HELD_BACK_SECONDS", (0.0, 0.0))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("what", ["claim", "record"])
async def test_nothing_goes_on_without_the_journal(stage: MemoryStage, memory: Memory, what: str) -> None:
    """Unrecorded is unacknowledged: it waits until the journal is back, and is sent once."""
    journal = Ailing("this worker", memory=memory)
    journal.failing = {what: 10**9}
    stage.remember(journal)
    stage.put(body())
    async with stage.running():
        await stage.until(lambda: journal.failing[what] < 10**9 - 2)
        assert stage.lane.unacked
        assert len(stage.queue("alpha")) == (what == "record")
        journal.failing[what] = 0
    assert not stage.lane.unacked
    assert len(stage.queue("alpha")) == 1
    assert stage.counts == {"dispatched": 1}


def test_the_fingerprint_is_of_the_value_not_of_its_spelling() -> None:
    """Blanks and the order of members make no other payment."""
    document: dict[str, Any] = orjson.loads(body())
    other = orjson.dumps(dict(reversed(document.items())), option=orjson.OPT_INDENT_2)
    assert fingerprint(other) == fingerprint(body())
