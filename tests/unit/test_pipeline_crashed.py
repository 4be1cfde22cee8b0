"""Payments whose worker crashed over them, on a broker in memory: set aside, taken alone, dead at last."""

import asyncio
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from schemas import dead_letter as headers
from tests.support.memory_lane import MemoryDelivery, Stored
from tests.support.memory_stage import CRASHED, INCOMING, RETURNED, MemoryStage
from tests.support.payments import body
from worker.amqp.lane import Properties
from worker.errors import BrokerUnavailable
from worker.journal.memory import Memory, MemoryJournal
from worker.retry import RetryPolicies, RetryPolicy
from worker.source import FORGIVEN, UNREAD_AFTER


def arrive(stage: MemoryStage, message: bytes = body(), times_back: int = 0, **found: Any) -> None:
    """Let a producer's payment lie in the queue of work after it has come back so often."""
    stage.arrive(Stored(message, Properties(headers=found), "", ""), "payments", "card.eur", times_back)


async def handle(stage: MemoryStage) -> None:
    stage.open()
    await stage.drain(1)


async def alone(stage: MemoryStage, times_back: int = 0) -> None:
    """Let a worker take alone what was set aside, after it has come back so often there."""
    one = stage.broker.queues["crashed"].popleft()
    stage.source = CRASHED
    stage.arrive(one, one.exchange, one.routing_key, times_back)
    await handle(stage)


async def test_one_crash_may_be_any_restart() -> None:
    """The payment is handled in the queue of work, by its first candidate."""
    stage = MemoryStage()
    arrive(stage, times_back=1)
    await handle(stage)
    assert stage.counts == {"dispatched": 1}


async def test_after_the_second_crash_a_payment_is_set_aside_unseen() -> None:
    """Whatever its body is, it is not looked at; what the producer wrote and its past go along."""
    stage = MemoryStage()
    arrive(stage, b"\xff not even text", 2, tenant="blue")
    await handle(stage)
    (aside,) = stage.queue("crashed")
    assert (aside.body, aside.routing_key) == (b"\xff not even text", "in.crashed")
    found = dict(aside.properties.headers)
    assert (found["tenant"], found[headers.ATTEMPT], found[headers.ATTEMPTS]) == ("blue", 1, "[]")
    assert (found[headers.EXCHANGE], found[headers.ROUTING_KEY]) == ("payments", "card.eur")
    assert "x-delivery-count" not in found
    assert stage.counts == {"set_aside": 1}


async def test_the_log_tells_which_payment_is_set_aside_and_why() -> None:
    """By what looks like its id, since it is not decoded."""
    stage = MemoryStage()
    arrive(stage, times_back=2)
    with capture_logs() as logs:
        await handle(stage)
    [line] = [line for line in logs if line["event"] == "set_aside"]
    assert (line["payment_id"], line["code"]) == ("pay-1", "crashed")
    assert line["reason"].startswith("2 sessions have ended with it in hand")


async def test_a_producer_cannot_set_its_payment_aside() -> None:
    """The broker's own count is on redeliveries only."""
    stage = MemoryStage()
    arrive(stage, **{"x-delivery-count": 99})
    await handle(stage)
    assert stage.counts == {"dispatched": 1}


async def test_neighbours_of_a_crash_are_dispatched_alone() -> None:
    """They lose nothing but time; the first candidate may have them from before, so no other gets them."""
    stage = MemoryStage()
    arrive(stage, times_back=2)
    await handle(stage)
    stage.broker.bindings["alpha"] = None
    await alone(stage)
    assert not stage.queue("beta")
    (delayed,) = stage.queue("delay.1")
    assert delayed.routing_key == "crashed"
    assert delayed.properties.headers[headers.PINNED] == "alpha"
    stage.broker.bindings["alpha"] = "alpha"
    stage.arrive(delayed, "payments.return", "crashed")
    await handle(stage)
    assert orjson.loads(stage.queue("alpha")[0].body)["payment_id"] == "pay-1"
    assert stage.queue("alpha")[0].properties.headers[headers.ATTEMPT] == 2


async def test_the_third_crash_kills_it() -> None:
    """Its dead letter is what the producer sent, and lists the crash."""
    stage = MemoryStage()
    arrive(stage, times_back=2)
    await handle(stage)
    await alone(stage, times_back=1)
    (dead,) = stage.queue("dead")
    found = dead.properties.headers
    assert dead.body == body()
    assert (found[headers.ERROR_CODE], found[headers.PAYMENT_ID]) == ("crashed", "pay-1")
    assert [one["code"] for one in orjson.loads(found[headers.ATTEMPTS])] == ["crashed"]
    assert not stage.queue("alpha")


@pytest.mark.parametrize("message", [body(), b'{"payment_id": "pay-1", ', b"\xff"])
async def test_what_kills_by_being_read_is_dead_unread(message: bytes) -> None:
    """After two crashes alone not even its id is parsed; what looks like one is noted."""
    stage = MemoryStage()
    arrive(stage, message, times_back=2)
    await handle(stage)
    await alone(stage, times_back=2)
    (dead,) = stage.queue("dead")
    found = dead.properties.headers
    assert (dead.body, found[headers.ERROR_CODE]) == (message, "crashed")
    assert found.get(headers.PAYMENT_ID) == ("pay-1" if b"pay-1" in message else None)


async def test_what_the_broker_set_aside_is_taken_alone_too() -> None:
    """It comes without a word of ours, and may have been sent before: it stays with the first candidate."""
    stage = MemoryStage(source=CRASHED)
    stage.broker.bindings["alpha"] = None
    stage.arrive(Stored(body(), Properties(), "", ""), "payments.return", "in.crashed")
    await handle(stage)
    assert not stage.queue("beta")
    assert stage.headers("delay.1")[headers.PINNED] == "alpha"


async def test_a_dispatch_that_was_given_back_is_still_one_when_set_aside() -> None:
    """Its routing key says so; the next candidate gets the payment."""
    stage = MemoryStage()
    arrive(stage)
    await handle(stage)
    sent = stage.broker.queues["alpha"].popleft()
    stage.source = RETURNED
    stage.arrive(sent, "payments.return", "returned", times_back=2)
    await handle(stage)
    assert stage.counts == {"set_aside": 1}
    await alone(stage)
    assert orjson.loads(stage.queue("beta")[0].body)["attempt"] == 2
    assert stage.counts == {"returned": 1, "dispatched": 1}


@pytest.mark.parametrize("times_back", range(1, UNREAD_AFTER))
async def test_a_journal_that_knows_of_the_dispatch_is_believed(times_back: int) -> None:
    """A payment that was dispatched before its worker was killed does not die of the kills."""
    stage = MemoryStage()
    memory = Memory()
    stage.remember(MemoryJournal("one", 60, memory))
    arrive(stage)
    await stage.drain(1)
    assert stage.counts == {"dispatched": 1}
    stage.remember(MemoryJournal("two", 60, memory))
    stage.source = INCOMING
    arrive(stage, times_back=2)
    await handle(stage)
    await alone(stage, times_back)
    assert stage.counts == {"duplicate": 1}
    assert not stage.queue("dead")


async def test_what_is_known_is_not_read_for_ever() -> None:
    """It may kill by being read, under an id that is another's: its dead letter says what was sent where."""
    stage = MemoryStage()
    memory = Memory()
    stage.remember(MemoryJournal("one", 60, memory))
    arrive(stage)
    await stage.drain(1)
    sent = orjson.loads(stage.queue("alpha")[0].body)["dispatch_id"]
    stage.source = CRASHED
    stage.remember(MemoryJournal("two", 60, memory))
    stage.arrive(Stored(body(), Properties(), "", ""), "payments.return", "in.crashed", UNREAD_AFTER)
    await stage.drain(1)
    said = stage.headers("dead")[headers.ERROR_MESSAGE]
    assert f"the journal knows pay-1 as dispatched, with dispatch {sent} for alpha" in said


@pytest.mark.parametrize("known", [True, False])
async def test_another_payment_under_a_known_id_is_no_duplicate(known: bool) -> None:
    """What crashes workers dies, be it for the conflict where its id is known, or for the crashes."""
    stage = MemoryStage()
    memory = Memory()
    stage.remember(MemoryJournal("one", 60, memory))
    arrive(stage, body() if known else body(payment_id="pay-2"))
    await stage.drain(1)
    stage.source = CRASHED
    stage.remember(MemoryJournal("two", 60, memory))
    other = Stored(body(merchant_id="another"), Properties(), "", "")
    stage.arrive(other, "payments.return", "in.crashed", 3)
    await stage.drain(1)
    assert stage.headers("dead")[headers.ERROR_CODE] == ("idempotency_conflict" if known else "crashed")


@pytest.mark.parametrize("times_back", range(UNREAD_AFTER))
async def test_a_journal_that_knows_of_an_intent_has_it_sent_once_more(times_back: int) -> None:
    """Killed before its confirm, the same bytes go to the same processor; nothing is dead-lettered."""
    stage = MemoryStage()
    memory = Memory()
    stage.remember(MemoryJournal("one", 60, memory))
    arrive(stage)
    stage.lane.send = None  # type: ignore[assignment,method-assign]  # the claim is made, and the worker ends
    with pytest.raises(TypeError):
        await stage.pipeline.run()
    stage.broker.queues["in"].clear()
    stage.source = CRASHED
    stage.remember(MemoryJournal("two", 60, memory))
    stage.arrive(Stored(body(), Properties(), "", ""), "payments.return", "in.crashed", times_back)
    await stage.drain(1)
    assert stage.counts == {"dispatched": 1}
    assert len(stage.queue("alpha")) == 1


async def test_sessions_that_end_without_a_crash_are_forgiven() -> None:
    """The worker that has taken it alone and lives knows that the session ended over something else."""
    stage = MemoryStage(source=CRASHED)
    stage.broker.bindings["alpha"] = None
    stage.policies = RetryPolicies(RetryPolicy(60.0, ()))
    stage.arrive(Stored(body(), Properties(message_id="m"), "", ""), "payments.return", "in.crashed")
    for _ in range(4):
        stage.open()
        running = asyncio.ensure_future(stage.pipeline.run())
        await stage.until(lambda: len(stage.lane.sent) >= 2)
        stage.lane.end("the network")
        with pytest.raises(BrokerUnavailable):
            await running
    stage.broker.bindings["alpha"] = "alpha"
    await handle(stage)
    assert stage.counts == {"dispatched": 1}
    assert not stage.queue("dead")


async def test_a_message_that_ends_sessions_without_end_is_not_forgiven_for_ever() -> None:
    """One that blocks its worker until the broker gives it up dies as well, later."""
    stage = MemoryStage(source=CRASHED)
    for _ in range(FORGIVEN + 1):
        stage.survivals.take(MemoryDelivery(1, Stored(body(), Properties(), "", "")), "m")
    message = Stored(body(), Properties(message_id="m"), "", "")
    stage.arrive(message, "payments.return", "in.crashed", times_back=FORGIVEN + 2)
    await handle(stage)
    assert stage.headers("dead")[headers.ERROR_CODE] == "crashed"
