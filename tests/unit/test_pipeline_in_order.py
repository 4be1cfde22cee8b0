"""The pipeline where payments keep an order: one of a key at a time, and those behind it wait."""

import asyncio
from dataclasses import replace

import orjson

from tests.support.memory_stage import INCOMING, MemoryStage
from tests.support.payments import body
from worker.amqp.lane import Outgoing

IN_ORDER = replace(INCOMING, ordered_by="merchant_id", in_order=True)


def stage_of(*payments: str, in_process_seconds: float = 0.0) -> MemoryStage:
    """A stage whose queue has payments, each named for its merchant and a number: ``ann-1``."""
    stage = MemoryStage(in_process_seconds, source=IN_ORDER)
    for name in payments:
        stage.put(body(payment_id=name, merchant_id=name.split("-")[0]))
    return stage


def names(sent: list[Outgoing]) -> list[str]:
    """The payments of publishes, in their order."""
    return [str(orjson.loads(one.body)["payment_id"]) for one in sent]


def arrived(stage: MemoryStage, queue: str) -> list[str]:
    """The payments in a queue, in their order."""
    return [str(orjson.loads(one.body)["payment_id"]) for one in stage.queue(queue)]


async def test_each_merchants_payments_go_one_after_another() -> None:
    """All arrive, those of one merchant in their order, and no two of them were in flight together."""
    stage = stage_of("ann-1", "ann-2", "bob-1", "ann-3", "bob-2")
    batches = []
    send = stage.lane.send

    async def noted(batch: list[Outgoing]) -> object:
        batches.append(names(batch))
        return await send(batch)

    stage.lane.send = noted  # type: ignore[method-assign, assignment]
    await stage.drain(5)
    assert batches == [["ann-1", "bob-1"], ["ann-2", "bob-2"], ["ann-3"]]


async def test_those_behind_wait_while_one_is_tried_again() -> None:
    """Until a refused payment is taken, nothing behind it is sent; then everything is in order."""
    stage = stage_of("ann-1", "ann-2", "bob-1", "ann-3", in_process_seconds=30.0)
    stage.broker.bindings |= {"alpha": None, "beta": None}
    async with stage.running():
        await stage.until(lambda: len(stage.lane.sent) >= 6)
        await asyncio.sleep(0)
        assert set(names(stage.lane.sent)) == {"ann-1", "bob-1"}
        stage.broker.bindings["alpha"] = "alpha"
        await stage.until(lambda: stage.counts.total() >= 4)
    assert [name for name in arrived(stage, "alpha") if name.startswith("ann")] == ["ann-1", "ann-2", "ann-3"]


async def test_what_is_delayed_or_dead_lets_those_behind_go_on() -> None:
    """They have left the line: the next one goes out."""
    stage = stage_of("ann-1", "ann-2")
    stage.put(b"{bad")
    stage.put(body(payment_id="ann-0", merchant_id="ann", currency="CHF"))
    stage.broker.bindings |= {"alpha": None, "beta": None}
    await stage.drain(4)
    assert arrived(stage, "delay.1") == ["ann-1", "ann-2"]
    assert len(stage.queue("dead")) == 2
