"""The lane when the books do not agree, when the stream is broken, and when it only half opens."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest

from tests.support.lane_rig import LANES, SOON, LaneRig, lane_rig
from tests.support.stage import eventually
from worker.amqp import paired, tapped
from worker.amqp.lane import CONFIRMED, Confirmation, Outgoing, Properties, Refused, Unknown
from worker.amqp.tapped import TapLane
from worker.amqp.wire import Confirm
from worker.errors import BrokerUnavailable
from worker.local_broker import LocalBroker


@pytest.fixture
async def rig(broker: LocalBroker, prefix: str) -> AsyncIterator[LaneRig]:
    """Queues on the shared node."""
    async with lane_rig(broker.url, prefix) as made:
        yield made


@pytest.fixture
async def lane(rig: LaneRig) -> AsyncIterator[TapLane]:
    """An open tap lane."""
    opened = await rig.open("tap")
    assert isinstance(opened, TapLane)
    yield opened
    await opened.close()


async def test_a_confirm_of_what_was_never_sent_ends_the_lane(rig: LaneRig, lane: TapLane) -> None:
    """Books that do not agree are not believed: what is under way is unknown, and the lane is over."""
    assert await lane.send(rig.outgoing([b"first"])) == [CONFIRMED]
    number = lane._outlets[rig.target].number
    sending = asyncio.create_task(lane.send(rig.outgoing([b"x"])))
    await asyncio.sleep(0)
    lane._publishing_tap._receivers[number][0]([Confirm(number, 99, multiple=True, stored=True)])
    (outcome,) = await asyncio.wait_for(sending, SOON)
    assert isinstance(outcome, Unknown)
    with pytest.raises(BrokerUnavailable, match="publish 99, but only 2 were sent"):
        await lane.take(1)


async def test_a_broken_stream_ends_the_lane_by_its_name(rig: LaneRig, lane: TapLane) -> None:
    """Bytes that are no frame end the session, the reason says what came, and settled work is not lost."""
    await rig.put(b"1")
    await asyncio.wait_for(lane.take(1), SOON)
    lane._consuming_tap.data_received(b"\x07\x00\x01\x00\x00\x00\x00\xce")
    with pytest.raises(BrokerUnavailable, match="begins with kind 7"):
        await asyncio.wait_for(lane.take(1), SOON)
    await lane.close()
    again = await rig.open("tap")
    (delivery,) = await asyncio.wait_for(again.take(1), SOON)
    assert (delivery.body, delivery.redelivered) == (b"1", True)
    await again.close()


async def test_more_routes_than_are_remembered(
    rig: LaneRig, lane: TapLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of routing keys can be published to; what is remembered of them has a bound."""
    monkeypatch.setattr(tapped, "MAX_ROUTES", 2)
    batch = [Outgoing(rig.target, f"key.{n}", b"%d" % n, Properties(message_id=f"m{n}")) for n in range(7)]
    assert await lane.send(batch) == [CONFIRMED] * 7
    assert len(lane._routes) <= 2
    assert await rig.arrived() == [b"%d" % n for n in range(7)]


@pytest.mark.parametrize("name", LANES)
async def test_a_second_connection_that_fails_closes_the_first(
    rig: LaneRig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A lane that opens by half leaves nothing behind."""
    opened: list[aio_pika.Connection] = []
    connect = paired.connect

    async def connect_once(*arguments: Any) -> aio_pika.Connection:
        if opened:
            raise BrokerUnavailable("no second one")
        opened.append(await connect(*arguments))
        return opened[0]

    monkeypatch.setattr(paired, "connect", connect_once)
    with pytest.raises(BrokerUnavailable, match="no second one"):
        await rig.open(name)
    assert opened[0].is_closed


async def test_odd_publishes_do_not_hold_their_batch_up(
    rig: LaneRig, lane: TapLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that repeats and headers that are too long go alone; all others go out in one write."""
    written: list[int] = []
    write = lane._publishing_tap.write

    def counting(frames: bytes) -> None:
        written.append(frames.count(b"body-"))
        write(frames)

    monkeypatch.setattr(lane._publishing_tap, "write", counting)
    batch = rig.outgoing(b"body-%d" % number for number in range(50))
    batch[7].properties.message_id = batch[3].properties.message_id
    batch[9].properties.headers = {"note": "x" * 200_000}
    outcomes = await lane.send(batch)
    assert [place for place, outcome in enumerate(outcomes) if outcome != CONFIRMED] == [9]
    assert isinstance(outcomes[9], Refused)
    assert written == [48, 1]
    assert sorted(await rig.arrived()) == sorted(b"body-%d" % number for number in range(50) if number != 9)


@pytest.mark.parametrize("name", LANES)
async def test_a_channel_that_goes_on_refusing_is_replaced(
    rig: LaneRig, broker: LocalBroker, name: str
) -> None:
    """RabbitMQ 3.10 never tells a channel that a queue without a limit takes again; a new one finds out."""
    full = '{"max-length": 1, "overflow": "reject-publish"}'
    await asyncio.to_thread(broker.rabbitmqctl, "set_policy", rig.target, f"^{rig.target}$", full)
    opened = await rig.open(name)
    numbers = itertools.count()

    async def send() -> Confirmation:
        (outgoing,) = rig.outgoing([b"x"])
        outgoing.properties.message_id = f"m{next(numbers)}"
        (outcome,) = await asyncio.wait_for(opened.send([outgoing]), SOON)
        return outcome

    async def refused() -> bool:
        return isinstance(await send(), Refused)

    async def taken() -> bool:
        return await send() == CONFIRMED

    await eventually(refused, "a refusal")
    await asyncio.to_thread(broker.rabbitmqctl, "clear_policy", rig.target)
    await eventually(taken, "a publish that is taken")
    assert await opened.send(rig.outgoing(b"%d" % number for number in range(50))) == [CONFIRMED] * 50
    await opened.close()
