"""Processors that ask for many dispatches in one message: what goes together, and what its outcome means."""

import asyncio
from typing import Any

import orjson
import pytest

from schemas import dead_letter as headers
from tests.support.memory_lane import Stored
from tests.support.memory_stage import RETURNED, MemoryStage
from tests.support.payments import RULES, body, rule_table
from worker.amqp.lane import Confirmation, Outgoing, Properties, Refused, Unknown
from worker.envelope import DISPATCH_COUNT, DISPATCH_ID
from worker.errors import BrokerUnavailable
from worker.journal.memory import MemoryJournal
from worker.lines import NDJSON, TRACEPARENTS
from worker.planning import Planner

TRACES = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 9)]


def stage_with(batch: "dict[str, Any] | None" = None, **changes: Any) -> MemoryStage:
    """A stage whose processor alpha asks for batches."""
    wish = {"max_payments": 4} if batch is None else batch
    processors = {"alpha": {"exchange": "alpha", "batch": wish}, "beta": {"exchange": "beta"}}
    table = rule_table({**RULES, "processors": processors})
    return MemoryStage(planner=Planner(table), **changes)


def put(stage: MemoryStage, *numbers: int, **changes: Any) -> None:
    for number in numbers:
        traced = {"traceparent": TRACES[number]}
        stage.put(body(payment_id=f"p{number}", **changes), headers=traced)


def ids(message: Stored) -> list[str]:
    return [orjson.loads(line)["payment_id"] for line in message.body.split(b"\n")]


async def test_dispatches_that_are_ready_together_go_together() -> None:
    """One message has as many as the processor takes, in order; each line is a dispatch as it is alone."""
    stage, plain = stage_with(), MemoryStage()
    for one in (stage, plain):
        put(one, *range(6))
        await one.drain(6)
    first, second = stage.queue("alpha")
    assert [ids(first), ids(second)] == [["p0", "p1", "p2", "p3"], ["p4", "p5"]]
    lines = [line for message in (first, second) for line in message.body.split(b"\n")]
    assert lines == [message.body for message in plain.queue("alpha")]
    assert (first.routing_key, first.properties.content_type) == ("card.eur", NDJSON)
    assert first.properties.headers == {
        DISPATCH_COUNT: 4, headers.ATTEMPT: 1, TRACEPARENTS: ",".join(TRACES[:4])
    }  # fmt: skip
    assert stage.counts == {"dispatched": 6}


async def test_lines_of_one_trace_say_so_once() -> None:
    """As those of a message with many payments do."""
    stage = stage_with()
    message = b"\n".join(body(payment_id=f"p{number}") for number in range(3))
    stage.put(message, content_type=NDJSON, headers={"traceparent": TRACES[0]})
    await stage.drain(3)
    (sent,) = stage.queue("alpha")
    assert sent.properties.headers == {
        DISPATCH_COUNT: 3, headers.ATTEMPT: 1, headers.TRACEPARENT: TRACES[0]
    }  # fmt: skip


async def test_a_single_dispatch_is_a_message_as_always() -> None:
    """At low load a processor sees no difference."""
    stage = stage_with()
    put(stage, 1)
    await stage.drain(1)
    (sent,) = stage.queue("alpha")
    assert sent.properties.content_type == "application/json"
    assert sent.properties.headers[DISPATCH_ID] == orjson.loads(sent.body)["dispatch_id"]
    assert sent.properties.headers["traceparent"] == TRACES[1]


async def test_what_has_to_say_more_than_a_line_can_goes_alone() -> None:
    """That is a payment with failed attempts, and one that is written over several lines."""
    stage = stage_with()
    stage.put(orjson.dumps(orjson.loads(body(payment_id="wide")), option=orjson.OPT_INDENT_2))
    history = [{"attempt": 1, "at": "2026-11-24T12:00:00.000Z", "code": "unroutable"}]
    found = {headers.ATTEMPT: 2, headers.ATTEMPTS: orjson.dumps(history).decode()}
    stage.come_back(Stored(body(payment_id="late"), Properties(headers=found), "", ""))
    put(stage, 1, 2)
    await stage.drain(4)
    sent = stage.queue("alpha")
    assert sorted(one.properties.content_type or "" for one in sent) == ["application/json"] * 2 + [NDJSON]
    assert [ids(one) for one in sent if one.properties.content_type == NDJSON] == [["p1", "p2"]]


async def test_only_what_goes_the_same_way_goes_together() -> None:
    """Routing key and tracestate are the message's, so they are those of each line."""
    stage = stage_with()
    put(stage, 1, 2)
    put(stage, 3, type="wallet")
    stage.put(body(payment_id="p4"), headers={"tracestate": "vendor=1"})
    stage.put(body(payment_id="p5"), headers={"tracestate": {"no": "text"}})
    await stage.drain(5)
    sent = {tuple(ids(one)): one for one in stage.queue("alpha")}
    assert sent.keys() == {("p1", "p2", "p5"), ("p3",), ("p4",)}
    assert sent[("p3",)].routing_key == "wallet.eur"
    assert sent[("p4",)].properties.headers["tracestate"] == "vendor=1"


async def test_a_message_stays_within_what_a_worker_reads() -> None:
    """It may be given back as a whole, so its bytes are bounded as those of an incoming one."""
    stage = stage_with({"max_payments": 100})
    put(stage, *range(8), note="n" * 9_000)
    await stage.drain(8)
    assert [len(ids(one)) for one in stage.queue("alpha")] == [5, 3]
    assert all(len(one.body) <= 50_000 for one in stage.queue("alpha"))


async def test_a_refusal_counts_for_each_line() -> None:
    """Every payment of it goes to its next candidate, by itself where that one asks for nothing."""
    stage = stage_with()
    stage.broker.fates["alpha"] = Refused("publish_refused", "nack")
    put(stage, 1, 2, 3)
    await stage.drain(3)
    assert stage.ids("beta") == ["p1", "p2", "p3"]
    assert {orjson.loads(one.body)["attempt"] for one in stage.queue("beta")} == {2}


async def test_an_unknown_outcome_is_one_for_each_line() -> None:
    """None of them is acknowledged; a worker with the journal sends the same lines, however grouped."""
    stage = stage_with({"max_payments": 3})
    stage.remember(MemoryJournal("one"))
    put(stage, 1, 2, 3, 4)
    sent: list[Outgoing] = []

    def unknown(outgoing: Outgoing) -> Confirmation:
        sent.append(outgoing)
        return Unknown("gone")

    publish = stage.broker.publish
    stage.broker.publish = unknown  # type: ignore[method-assign]
    with pytest.raises(BrokerUnavailable, match="gone"):
        await asyncio.wait_for(stage.pipeline.run(), 10)
    assert stage.counts == {"released": 4}
    stage.broker.publish = publish  # type: ignore[method-assign]
    put(stage, 5)
    stage.broker.queues["in"].rotate(1)
    stage.open()
    await stage.drain(5)
    lines = [line for message in stage.queue("alpha") for line in message.body.split(b"\n")]
    assert set(sent[0].body.split(b"\n")) < set(lines)
    assert len(lines) == len(set(lines)) == 5


async def test_a_message_given_back_goes_on_line_by_line() -> None:
    """A connector rejects it whole: each payment goes to its own next candidate, in its own trace."""
    stage = stage_with()
    put(stage, 1, 2, 3)
    await stage.drain(3)
    (sent,) = stage.queue("alpha")
    stage.source = RETURNED
    stage.arrive(sent, "payments.return", "returned")
    stage.open()
    await stage.drain(6)
    assert stage.ids("beta") == ["p1", "p2", "p3"]
    assert [one.properties.headers["traceparent"] for one in stage.queue("beta")] == TRACES[1:4]
    assert {one.properties.headers[headers.PASSED] for one in stage.queue("beta")} == {"alpha"}


class Slow(MemoryJournal):
    """A journal whose claims of one payment wait until they are let go."""

    def __init__(self, payment_id: str) -> None:
        super().__init__("slow")
        self.payment_id, self.let_go = payment_id, asyncio.Event()

    async def claim(self, intents: Any, now: Any) -> Any:
        if any(intent.payment_id == self.payment_id for intent in intents):
            await self.let_go.wait()
        return await super().claim(intents, now)


async def test_a_part_filled_message_waits_for_what_is_about_to_come() -> None:
    """While another batch of the pipeline is being claimed; then they go together."""
    stage = stage_with({"max_payments": 100, "max_wait": "999ms"})
    journal = Slow("p2")
    stage.remember(journal)
    async with stage.running():
        put(stage, 2)
        await stage.until(lambda: not stage.broker.queues["in"])
        put(stage, 1)
        await stage.until(lambda: not stage.broker.queues["in"])
        await asyncio.sleep(0.02)
        assert not stage.queue("alpha")
        journal.let_go.set()
        await stage.until(lambda: stage.counts["dispatched"] == 2)
    (sent,) = stage.queue("alpha")
    assert ids(sent) == ["p1", "p2"]


async def test_it_waits_no_longer_than_its_processor_allows() -> None:
    """Then it goes as it is."""
    stage = stage_with({"max_payments": 100, "max_wait": "1ms"})
    journal = Slow("p2")
    stage.remember(journal)
    async with stage.running():
        put(stage, 2)
        await stage.until(lambda: not stage.broker.queues["in"])
        put(stage, 1)
        await stage.until(lambda: stage.queue("alpha"))
        journal.let_go.set()
        await stage.until(lambda: stage.counts["dispatched"] == 2)
    assert [ids(one) for one in stage.queue("alpha")] == [["p1"], ["p2"]]


async def test_nobody_waits_for_a_message_that_is_cut_off() -> None:
    """A lane that breaks under it makes every line's outcome unknown."""
    stage = stage_with({"max_payments": 100})
    send = stage.lane.send

    async def cut_off(batch: "list[Outgoing]") -> "list[Confirmation]":
        if batch:
            raise ZeroDivisionError("cut off")
        return list(await send(batch))

    stage.lane.send = cut_off  # type: ignore[method-assign,assignment]
    put(stage, 1, 2)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(stage.pipeline.run(), 10)
    assert stage.lane.unacked.keys() == {1, 2}


async def test_rules_that_change_take_the_wish_along() -> None:
    """The worker sends as the rules now in force say."""
    stage = stage_with()
    stage.pipeline.use(Planner(rule_table()))
    put(stage, 1, 2)
    await stage.drain(2)
    assert [ids(one) for one in stage.queue("alpha")] == [["p1"], ["p2"]]
