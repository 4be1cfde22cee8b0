"""What every lane must do. Each test runs on each lane, so a fake that passes may stand in for a real one."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from yarl import URL

from tests.support.memory_lane import MemoryBroker, MemoryLane
from worker.amqp.connection import Broker
from worker.amqp.lane import CONFIRMED, Lane, Outgoing, Properties, Refused, Unknown
from worker.amqp.standard import StandardLane
from worker.amqp.tapped import TapLane
from worker.errors import BrokerUnavailable, InvariantViolation

SOON = 10.0


class Rig(Protocol):
    """A broker with a queue to consume and exchanges: bound, bound to a full queue, bound to nothing."""

    async def open(self, prefetch: int = 100) -> Lane: ...
    async def put(self, *bodies: bytes, **properties: Any) -> None: ...
    async def arrived(self) -> list[bytes]: ...
    async def cut(self, lane: Lane) -> None: ...
    async def declare(self, exchange: str) -> None: ...
    def name(self, exchange: str) -> str: ...


class MemoryRig:
    """The rig in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(
            queues={"in": deque(), "out": deque()},
            bindings={"in": "in", "bound": "out", "full": "full", "nowhere": None},
            full={"full"},
        )

    def name(self, exchange: str) -> str:
        return exchange

    async def open(self, prefetch: int = 100) -> Lane:
        return MemoryLane(self.broker, "in", prefetch)

    async def put(self, *bodies: bytes, **properties: Any) -> None:
        for body in bodies:
            self.broker.publish(Outgoing("in", "key", body, Properties(**properties)))

    async def arrived(self) -> list[bytes]:
        return [stored.body for stored in self.broker.queues["out"]]

    async def declare(self, exchange: str) -> None:
        self.broker.bindings[exchange] = "out"

    async def cut(self, lane: Lane) -> None:
        assert isinstance(lane, MemoryLane)
        lane.end("cut")


class RabbitRig:
    """The rig on a real RabbitMQ."""

    def __init__(
        self, lane: type[StandardLane | TapLane], url: str, prefix: str, connection: AbstractConnection
    ) -> None:
        self.lane = lane
        self.broker = Broker(URL(url), heartbeat_seconds=10, connect_timeout_seconds=10)
        self.prefix, self.connection = prefix, connection

    def name(self, exchange: str) -> str:
        return f"{self.prefix}.{exchange}"

    async def set_up(self) -> None:
        self.channel = await self.connection.channel()
        quorum: dict[str, Any] = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
        for queue, limit in (("in", {}), ("out", {}), ("full", {"x-max-length": 1})):
            declared = await self.channel.declare_queue(
                self.name(queue), durable=True, arguments={**quorum, **limit}
            )
            exchange = "bound" if queue == "out" else queue
            await self.channel.declare_exchange(self.name(exchange), "topic", durable=True)
            await declared.bind(self.name(exchange), "#")
        await self.channel.declare_exchange(self.name("nowhere"), "topic", durable=True)
        await self._fill()

    async def _fill(self) -> None:
        full = await self.channel.get_exchange(self.name("full"))
        for _ in range(50):  # a quorum queue's limit is soft: it may take a few more
            try:
                await full.publish(aio_pika.Message(b"x"), "x")
            except aio_pika.exceptions.DeliveryError:
                return
        raise AssertionError("the full queue never filled up")

    async def open(self, prefetch: int = 100) -> Lane:
        return await self.lane.open(self.broker, "conformance", self.name("in"), prefetch, 10.0)

    async def put(self, *bodies: bytes, **properties: Any) -> None:
        exchange = await self.channel.get_exchange(self.name("in"))
        for body in bodies:
            await exchange.publish(aio_pika.Message(body, **properties), "key")

    async def arrived(self) -> list[bytes]:
        queue = await self.channel.get_queue(self.name("out"))
        bodies = []
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            bodies.append(message.body)
        return bodies

    async def declare(self, exchange: str) -> None:
        await self.channel.declare_exchange(self.name(exchange), "topic", durable=True)
        await (await self.channel.get_queue(self.name("out"))).bind(self.name(exchange), "#")

    async def cut(self, lane: Lane) -> None:
        await self.channel.queue_delete(self.name("in"))


@pytest.fixture(params=["memory", "standard", "tap"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Each lane's rig in turn."""
    if request.param == "memory":
        yield MemoryRig()
        return
    url = request.getfixturevalue("broker").url
    connection = await aio_pika.connect(url)
    lane = TapLane if request.param == "tap" else StandardLane
    rig = RabbitRig(lane, url, request.getfixturevalue("prefix"), connection)
    await rig.set_up()
    yield rig
    await connection.close()


@pytest.fixture
async def lane(rig: Rig) -> AsyncIterator[Lane]:
    """An open lane."""
    lane = await rig.open()
    yield lane
    await lane.close()


def outgoing(rig: Rig, exchange: str, body: bytes = b"out", number: int = 0) -> Outgoing:
    return Outgoing(rig.name(exchange), "key", body, Properties(message_id=f"m{number}"))


async def take_all(lane: Lane, count: int) -> list[Any]:
    """Take until ``count`` deliveries have come."""
    taken: list[Any] = []
    async with asyncio.timeout(SOON):
        while len(taken) < count:
            taken += await lane.take(count - len(taken))
    return taken


async def test_takes_what_was_published(rig: Rig, lane: Lane) -> None:
    """Deliveries come in order, whole, with their properties."""
    await rig.put(
        b"one", b"two", content_type="application/json", headers={"a": "x", "n": 7}, message_id="id"
    )
    one, two = await take_all(lane, 2)
    assert (one.body, two.body) == (b"one", b"two")
    assert one.routing_key == "key"
    assert one.exchange == rig.name("in")
    assert not one.redelivered
    assert one.properties.content_type == "application/json"
    assert one.properties.headers == {"a": "x", "n": 7}
    assert one.properties.message_id == "id"


@pytest.mark.parametrize("size", [0, 1, 4096, 131_072, 1_000_000])
async def test_carries_bodies_of_any_size(rig: Rig, lane: Lane, size: int) -> None:
    """A body comes in and goes out byte-identical, across frames."""
    body = bytes(i % 251 for i in range(size))
    await rig.put(body)
    (delivery,) = await take_all(lane, 1)
    assert delivery.body == body
    assert await lane.send([outgoing(rig, "bound", body)]) == [CONFIRMED]
    assert await rig.arrived() == [body]


async def test_tells_each_publish_its_own_outcome(rig: Rig, lane: Lane) -> None:
    """Confirmed, returned and nacked publishes in one batch are not mistaken for one another."""
    exchanges = ["bound", "nowhere", "bound", "full", "bound", "nowhere"]
    batch = [outgoing(rig, exchange, f"{i}".encode(), i) for i, exchange in enumerate(exchanges)]
    outcomes = await lane.send(batch)
    codes = [outcome.code if isinstance(outcome, Refused) else outcome for outcome in outcomes]
    assert codes == [CONFIRMED, "unroutable", CONFIRMED, "publish_refused", CONFIRMED, "unroutable"]
    assert sorted(await rig.arrived()) == [b"0", b"2", b"4"]


async def test_equal_message_ids_are_told_apart(rig: Rig, lane: Lane) -> None:
    """A broker gives a return no number, only the message id: an equal one elsewhere is not blamed for it."""
    exchanges = ["nowhere", "bound", "nowhere", "bound"]
    batch = [outgoing(rig, exchange, f"{i}".encode()) for i, exchange in enumerate(exchanges)]
    async with asyncio.timeout(SOON):
        outcomes = await lane.send(batch)
    codes = [outcome.code if isinstance(outcome, Refused) else outcome for outcome in outcomes]
    assert codes == ["unroutable", CONFIRMED, "unroutable", CONFIRMED]
    assert sorted(await rig.arrived()) == [b"1", b"3"]


async def test_equal_message_ids_in_batches_at_once_are_told_apart(rig: Rig, lane: Lane) -> None:
    """Two batches under way at the same time may not blame one another either."""
    async with asyncio.timeout(SOON):
        outcomes = await asyncio.gather(
            *(lane.send([outgoing(rig, exchange)]) for exchange in ["bound", "nowhere", "bound", "nowhere"])
        )
    codes = [one.code if isinstance(one, Refused) else one for (one,) in outcomes]
    assert codes == [CONFIRMED, "unroutable", CONFIRMED, "unroutable"]


async def test_a_publish_without_message_id_gets_its_own_outcome(rig: Rig, lane: Lane) -> None:
    """Without an id of its own, a return is not mistaken for success."""
    batch = [
        Outgoing(rig.name(exchange), "key", b"x", Properties())
        for exchange in ["nowhere", "bound", "nowhere"]
    ]
    async with asyncio.timeout(SOON):
        outcomes = await lane.send(batch)
    codes = [outcome.code if isinstance(outcome, Refused) else outcome for outcome in outcomes]
    assert codes == ["unroutable", CONFIRMED, "unroutable"]


async def test_properties_that_fit_no_frame_are_refused_alone(rig: Rig, lane: Lane) -> None:
    """AMQP cannot split properties; what does not fit is never sent, and the rest of the batch is."""
    batch = [outgoing(rig, "bound", f"{i}".encode(), i) for i in range(3)]
    batch[1].properties.headers = {"large": "x" * 200_000}
    refused = [isinstance(outcome, Refused) for outcome in await lane.send(batch)]
    assert refused == [False, True, False]
    assert sorted(await rig.arrived()) == [b"0", b"2"]
    assert await lane.send([outgoing(rig, "bound", number=9)]) == [CONFIRMED]


async def test_an_empty_batch_is_answered_at_once(rig: Rig, lane: Lane) -> None:
    """Nothing to send is nothing to wait for."""
    assert list(await asyncio.wait_for(lane.send([]), SOON)) == []


async def test_a_missing_exchange_refuses_its_own_publishes_only(rig: Rig, lane: Lane) -> None:
    """It is a definite refusal, again and again, beside which everything else is confirmed."""
    exchanges = ["bound", "missing", "bound", "gone", "nowhere", "missing"]
    for round_ in range(3):
        batch = [outgoing(rig, name, number=10 * round_ + n) for n, name in enumerate(exchanges)]
        codes = [one.code if isinstance(one, Refused) else one for one in await lane.send(batch)]
        assert codes == [CONFIRMED, "no_exchange", CONFIRMED, "no_exchange", "unroutable", "no_exchange"]
    assert len(await rig.arrived()) == 6


async def test_an_exchange_that_comes_back_is_published_to_again(rig: Rig, lane: Lane) -> None:
    """Missing is not remembered longer than it is true."""
    (first,) = await lane.send([outgoing(rig, "later")])
    assert isinstance(first, Refused)
    await rig.declare("later")
    assert await lane.send([outgoing(rig, "later", number=1)]) == [CONFIRMED]


async def test_what_is_not_settled_comes_again(rig: Rig, lane: Lane) -> None:
    """Closing gives unsettled deliveries back, marked as redelivered; settled ones are gone."""
    await rig.put(b"1", b"2", b"3", b"4")
    taken = await take_all(lane, 4)
    await lane.settle([taken[2].tag, taken[0].tag])
    await lane.close()
    again = await rig.open()
    redelivered = await take_all(again, 2)
    assert [d.body for d in redelivered] == [b"2", b"4"]
    assert all(d.redelivered for d in redelivered)
    await again.settle([d.tag for d in redelivered])
    await again.close()
    last = await rig.open()
    await rig.put(b"5")
    assert [d.body for d in await take_all(last, 1)] == [b"5"]
    await last.close()


async def test_a_gap_does_not_hold_the_window_for_ever(rig: Rig) -> None:
    """Deliveries settled beyond one that is not are acknowledged one by one once they are many."""
    lane = await rig.open(prefetch=8)
    await rig.put(*(f"{i}".encode() for i in range(40)))
    first, *rest = await take_all(lane, 8)
    seen = [first.body, *(d.body for d in rest)]
    while len(seen) < 40:
        await lane.settle([d.tag for d in rest])
        rest = list(await asyncio.wait_for(lane.take(8), SOON))
        seen += [d.body for d in rest]
    assert seen == [f"{i}".encode() for i in range(40)]
    await lane.close()


async def test_an_acknowledgement_can_be_written_at_once(rig: Rig) -> None:
    """Behind a gap it would wait for others to go with; asked to, it makes room for the next delivery."""
    lane = await rig.open(prefetch=8)
    await rig.put(*(f"{i}".encode() for i in range(9)))
    taken = await take_all(lane, 8)
    await lane.settle([taken[-1].tag], at_once=True)
    (last,) = await take_all(lane, 1)
    assert last.body == b"8"
    await lane.close()


async def test_never_more_in_flight_than_prefetch(rig: Rig) -> None:
    """Prefetch bounds what is taken and not settled."""
    lane = await rig.open(prefetch=3)
    await rig.put(b"1", b"2", b"3", b"4", b"5")
    taken = await take_all(lane, 3)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lane.take(10), 0.3)
    await lane.settle([d.tag for d in taken])
    assert [d.body for d in await take_all(lane, 2)] == [b"4", b"5"]
    await lane.close()


async def test_settling_twice_is_a_violation(rig: Rig, lane: Lane) -> None:
    """A delivery is settled at most once."""
    await rig.put(b"1")
    (delivery,) = await take_all(lane, 1)
    await lane.settle([delivery.tag])
    with pytest.raises(InvariantViolation, match=f"{delivery.tag} is settled twice"):
        await lane.settle([delivery.tag])


async def test_a_stopped_intake_ends_with_nothing(rig: Rig, lane: Lane) -> None:
    """After ``stop_intake`` what had arrived can be taken, then comes nothing; sending still works."""
    await rig.put(b"1")
    taken = await take_all(lane, 1)
    await lane.stop_intake()
    await rig.put(b"2")
    assert await asyncio.wait_for(lane.take(10), SOON) == []
    assert await lane.send([outgoing(rig, "bound")]) == [CONFIRMED]
    await lane.settle([taken[0].tag])


async def test_a_lost_intake_ends_the_lane(rig: Rig, lane: Lane) -> None:
    """A consumer that the broker took away is not waited on for ever."""
    waiting = asyncio.ensure_future(lane.take(1))
    await asyncio.sleep(0)
    await rig.cut(lane)
    with pytest.raises(BrokerUnavailable):
        await asyncio.wait_for(waiting, SOON)


async def test_nothing_is_confirmed_after_the_end(rig: Rig, lane: Lane) -> None:
    """A publish on an ended lane has an unknown outcome, never a good one."""
    await lane.close()
    (outcome,) = await lane.send([outgoing(rig, "bound")])
    assert isinstance(outcome, Unknown)


async def test_a_cancelled_send_ends_the_lane(rig: Rig, lane: Lane) -> None:
    """What was cut off before its confirm is not known, so the lane must not go on."""
    sending = asyncio.ensure_future(lane.send([outgoing(rig, "bound", number=i) for i in range(200)]))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    with pytest.raises(BrokerUnavailable):
        await asyncio.wait_for(lane.take(1), SOON)


async def test_settling_on_an_ended_lane_is_harmless(rig: Rig, lane: Lane) -> None:
    """Tags of a lane that has ended are never acknowledged elsewhere; the broker delivers again."""
    await rig.put(b"1")
    (delivery,) = await take_all(lane, 1)
    await lane.close()
    await lane.settle([delivery.tag])
    again = await rig.open()
    assert [d.body for d in await take_all(again, 1)] == [b"1"]
    await again.close()
