"""The pipeline and messages that carry many payments: each line has its own fate, the message one end."""

import asyncio
from collections import deque

import orjson
import pytest

from schemas import dead_letter as headers
from tests.support.memory_lane import Stored
from tests.support.memory_stage import CRASHED, RETURNED, MemoryStage
from tests.support.payments import body
from worker.amqp.lane import CONFIRMED, Confirmation, Outgoing, Properties, Refused, Unknown
from worker.errors import BrokerUnavailable
from worker.journal.memory import MemoryJournal
from worker.lines import NDJSON

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def lines(*numbers: int) -> bytes:
    """Good payments, one a line."""
    return b"\n".join(body(payment_id=f"p{number:03}") for number in numbers)


def put(stage: MemoryStage, message: bytes, *, redelivered: bool = False) -> None:
    found = {"tenant": "blue", "traceparent": TRACEPARENT}
    stage.put(message, redelivered, content_type=NDJSON, message_id="many-1", headers=found)


async def test_every_line_is_a_payment() -> None:
    """Each is dispatched by itself, in the message's trace, in order, and the message is settled."""
    stage = MemoryStage()
    put(stage, lines(*range(5)))
    await stage.drain(5)
    sent = stage.queue("alpha")
    assert [orjson.loads(one.body)["payment_id"] for one in sent] == [f"p00{n}" for n in range(5)]
    assert {one.properties.content_type for one in sent} == {"application/json"}
    assert {one.properties.headers["traceparent"] for one in sent} == {TRACEPARENT}
    assert stage.counts == {"dispatched": 5}


async def test_a_bad_line_dies_alone() -> None:
    """Its dead letter is its bytes and no others, and says which line of which message it was."""
    stage = MemoryStage()
    bad = b' {"payment_id":"worse"}  '
    put(stage, lines(1) + b"\r\n\r\n" + bad + b"\r\n" + lines(2) + b"\r\n")
    await stage.drain(3)
    assert stage.ids("alpha") == ["p001", "p002"]
    (dead,) = stage.queue("dead")
    assert dead.body == bad
    assert dead.properties.content_type == "application/json"
    found = dead.properties.headers
    assert (found[headers.MESSAGE_ID], found[headers.LINE], found["tenant"]) == ("many-1", 3, "blue")
    assert found[headers.PAYMENT_ID] == "worse"


async def test_a_delayed_line_comes_back_alone() -> None:
    """It goes through the delay queue as one payment, and still says where it came from when it dies."""
    stage = MemoryStage(delays=(1.0,))
    stage.broker.full = {"alpha", "beta"}
    put(stage, lines(1, 2))
    await stage.drain(2)
    assert not stage.queue("alpha")
    first, second = stage.queue("delay.1")
    assert first.body == lines(1)
    assert first.properties.content_type == "application/json"
    stage.come_back(second)
    await_end = stage.make()
    stage.lane.stopped = False
    stage.pipeline = await_end
    await stage.drain(3)
    found = stage.headers("dead")
    assert (found[headers.ERROR_CODE], found[headers.ATTEMPT]) == ("retries_exhausted", 2)
    assert (found[headers.MESSAGE_ID], found[headers.LINE]) == ("many-1", 2)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\n".join([b"{}"] * 101), "batch_too_large"),
        (b"{}\n" + b" " * 50_000, "batch_too_large"),
        (b"", "empty_message"),
        (b"\r\n \n", "empty_message"),
    ],
)
async def test_what_cannot_be_taken_apart_is_one_dead_letter(message: bytes, code: str) -> None:
    """It has its own code, the message's bytes and its content type, so that it can be redriven."""
    stage = MemoryStage()
    put(stage, message)
    put(stage, lines(1))
    await stage.drain(2)
    (dead,) = stage.queue("dead")
    assert (dead.body, dead.routing_key, dead.properties.content_type) == (message, code, NDJSON)
    assert headers.LINE not in dead.properties.headers
    assert stage.ids("alpha") == ["p001"]


async def test_a_message_is_settled_with_its_last_line() -> None:
    """While one of its lines is not confirmed, it is not acknowledged, whatever became of the others."""
    stage = MemoryStage(in_process_seconds=60.0)
    stage.broker.full = {"beta"}
    put(stage, lines(1) + b"\n" + body(payment_id="p002", currency="USD"))
    put(stage, lines(3))
    async with stage.running():
        await stage.until(lambda: stage.counts["dispatched"] == 2)
        assert 1 in stage.lane.unacked
        stage.broker.full.clear()
        await stage.until(lambda: stage.counts["dispatched"] == 3)
    assert not stage.lane.unacked


async def test_a_batch_of_the_pipeline_has_its_usual_size() -> None:
    """Messages of many payments are not all in flight at once."""
    stage = MemoryStage()
    sizes: list[int] = []
    send = stage.lane.send

    async def measured(batch: "list[Outgoing]") -> "list[Confirmation]":
        sizes.append(len(batch))
        return list(await send(batch))

    stage.lane.send = measured  # type: ignore[method-assign,assignment]
    for first in range(0, 75, 25):
        put(stage, lines(*range(first, first + 25)))
    await stage.drain(75)
    assert sizes == [10] * 7 + [5]
    assert len(set(stage.ids("alpha"))) == 75


async def test_what_waits_to_be_tried_again_is_bounded() -> None:
    """However many payments a message carries, no more are begun while many wait."""
    stage = MemoryStage()
    stage.broker.full = {"dead"}
    put(stage, b"\n".join(b"bad %d" % number for number in range(100)))
    async with stage.running():
        await stage.until(lambda: len({sent.body for sent in stage.lane.sent}) >= 50)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len({sent.body for sent in stage.lane.sent}) <= 90  # four batches were in flight
        stage.broker.full.clear()
        await stage.until(lambda: stage.counts["dead_lettered"] == 100)
    assert not stage.lane.unacked


async def test_a_lost_session_gives_the_message_back() -> None:
    """What was not confirmed is released with it, and lines not begun yet are not begun."""
    stage = MemoryStage()
    put(stage, lines(*range(100)))
    stage.broker.fates["alpha"] = Unknown("gone")
    with pytest.raises(BrokerUnavailable, match="gone"):
        await asyncio.wait_for(stage.pipeline.run(), 10)
    assert stage.counts["released"] == stage.counts.total() < 100
    (back,) = stage.queue("in")
    assert back.redelivered


class Crash(MemoryStage):
    """A stage with a journal whose lane ends after so many publishes."""

    async def crash_after(self, publishes: int) -> None:
        self.open()
        publish, left = self.broker.publish, publishes

        def limited(outgoing: Outgoing) -> Confirmation:
            nonlocal left
            left -= 1
            return publish(outgoing) if left >= 0 else Unknown("crashed")

        self.broker.publish = limited  # type: ignore[method-assign]
        with pytest.raises(BrokerUnavailable):
            await asyncio.wait_for(self.pipeline.run(), 10)
        self.broker.publish = publish  # type: ignore[method-assign]


async def test_after_a_crash_nothing_is_dispatched_twice_that_the_journal_knows_of() -> None:
    """The lines before it are duplicates, those in hand are sent again byte for byte, the rest is new."""
    stage = Crash()
    stage.remember(MemoryJournal("one"))
    put(stage, lines(*range(40)))
    await stage.crash_after(25)
    stage.open()
    await stage.drain(40)
    by_id: dict[str, set[bytes]] = {}
    for one in stage.queue("alpha"):
        by_id.setdefault(one.properties.headers["dispatch-id"], set()).add(one.body)
    assert len(by_id) == 40
    assert all(len(found) == 1 for found in by_id.values())
    assert stage.counts["duplicate"] >= 10
    assert len(stage.queue("alpha")) <= 40 + 15
    assert not stage.queue("in")


async def test_one_payment_id_twice_in_a_message_is_one_payment() -> None:
    """The second waits until the first is done, and is a duplicate then."""
    stage = MemoryStage()
    stage.remember(MemoryJournal("one"))
    put(stage, lines(1, 1))
    await stage.drain(2)
    assert stage.ids("alpha") == ["p001"]
    (delayed,) = stage.queue("delay.1")
    stage.come_back(delayed)
    stage.open()
    await stage.drain(1)
    assert stage.counts == {"duplicate": 1}


async def test_two_payments_of_one_id_in_a_message_are_a_conflict() -> None:
    """The second one is dead."""
    stage = MemoryStage()
    stage.remember(MemoryJournal("one"))
    put(stage, lines(1) + b"\n" + body(payment_id="p001", value="11.00"))
    await stage.drain(2)
    assert stage.ids("alpha") == ["p001"]
    assert stage.headers("dead")[headers.ERROR_CODE] == "idempotency_conflict"


async def test_after_the_second_crash_each_line_is_set_aside() -> None:
    """They are taken alone from then on, one payment each, so that poison costs its neighbours nothing."""
    stage = MemoryStage()
    properties = Properties(content_type=NDJSON, message_id="many-1")
    stage.arrive(Stored(lines(1, 2, 3), properties, "", ""), "payments", "card.eur", times_back=2)
    await stage.drain(3)
    aside = stage.queue("crashed")
    assert [one.body for one in aside] == [lines(1), lines(2), lines(3)]
    assert {one.properties.content_type for one in aside} == {"application/json"}
    assert [one.properties.headers[headers.LINE] for one in aside] == [1, 2, 3]
    assert stage.counts == {"set_aside": 3}


@pytest.mark.parametrize("times_back", [0, 1])
async def test_a_message_among_what_is_taken_alone_is_taken_apart(times_back: int) -> None:
    """The broker's own backstop moves messages whole: their lines come back one by one."""
    stage = MemoryStage(source=CRASHED)
    properties = Properties(content_type=NDJSON, message_id="many-1")
    stage.arrive(Stored(lines(1, 2), properties, "", ""), "payments.return", "in.crashed", times_back)
    await stage.drain(4)
    assert stage.counts == {"set_aside": 2, "dispatched": 2}
    assert stage.ids("alpha") == ["p001", "p002"]


async def test_a_message_that_crashes_while_it_is_taken_apart_is_dead_line_by_line() -> None:
    """Each dead letter is one payment."""
    stage = MemoryStage(source=CRASHED)
    properties = Properties(content_type=NDJSON, message_id="many-1")
    stage.arrive(Stored(lines(1, 2), properties, "", ""), "payments.return", "in.crashed", times_back=2)
    await stage.drain(2)
    assert [one.body for one in stage.queue("dead")] == [lines(1), lines(2)]
    assert {one.routing_key for one in stage.queue("dead")} == {"crashed"}


async def test_dispatches_given_back_in_one_message_go_on_one_by_one() -> None:
    """Each goes to the next candidate of its own route."""
    stage = MemoryStage()
    put(stage, lines(1, 2))
    await stage.drain(2)
    given = b"\n".join(one.body for one in stage.queue("alpha"))
    stage.source = RETURNED
    stage.broker.queues["alpha"] = deque()
    stage.arrive(Stored(given, Properties(content_type=NDJSON), "", ""), "payments.return", "returned")
    stage.open()
    await stage.drain(4)
    assert stage.ids("beta") == ["p001", "p002"]
    assert stage.counts == {"returned": 2, "dispatched": 2}


async def test_a_refused_line_goes_to_its_next_candidate() -> None:
    """Its neighbours stay where they are."""
    stage = MemoryStage()
    stage.broker.fates["alpha"] = Refused("publish_refused", "nack")
    put(stage, lines(1) + b"\n" + body(payment_id="p002", currency="USD"))
    await stage.drain(2)
    assert stage.ids("beta") == ["p001", "p002"]
    assert CONFIRMED not in stage.broker.fates.values()
