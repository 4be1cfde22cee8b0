"""Looking through a real queue: in order, in windows, and everything goes back."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiormq.abc import AbstractChannel
from pamqp import commands
from yarl import URL

from tests.conftest import Connect
from tests.support.stage import eventually
from worker.amqp import browse
from worker.amqp.browse import BrowseLane, browsing
from worker.amqp.connection import Broker, underlay
from worker.amqp.declaring import declare, depth
from worker.amqp.topology import Names, build_topology
from worker.errors import BrokerUnavailable, TopologyMismatch
from worker.local_broker import LocalBroker


class Shelf:
    """The dead-letter queue of one test."""

    def __init__(self, url: str, channel: AbstractChannel, queue: str) -> None:
        self.broker, self.channel, self.queue = Broker(URL(url), 60, 10.0), channel, queue

    async def fill(self, bodies: list[bytes]) -> None:
        properties = commands.Basic.Properties(delivery_mode=2)
        publishes = (
            self.channel.basic_publish(body, routing_key=self.queue, properties=properties, wait=False)
            for body in bodies
        )
        await asyncio.gather(*publishes)

    def look(self) -> "AsyncIterator[BrowseLane]":
        return browsing(self.broker, "test", self.queue)  # type: ignore[return-value]


@pytest.fixture
async def shelf(broker: LocalBroker, prefix: str, connect: Connect) -> AsyncIterator[Shelf]:
    """A declared topology's dead-letter queue, removed at the end."""
    connection = await connect()
    raw = underlay(connection)  # type: ignore[arg-type]
    topology = build_topology(Names(prefix), (), (), 20)
    await declare(raw, topology)
    channel = await raw.channel(publisher_confirms=True)
    yield Shelf(broker.url, channel, Names(prefix).dead)
    for queue in topology.queues:
        await channel.queue_delete(queue.name)
    for exchange in topology.exchanges:
        await channel.exchange_delete(exchange.name)


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last + 1)]


async def taken(lane: BrowseLane, count: int, at_a_time: int = 100) -> list[bytes]:
    """Take so many and keep them."""
    bodies: list[bytes] = []
    async with asyncio.timeout(30):
        while len(bodies) < count:
            bodies += [one.body for one in await lane.take(min(at_a_time, count - len(bodies)))]
    return bodies


async def test_all_are_seen_in_order_and_go_back_in_order(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through many windows, several times; no look changes what the next one finds."""
    monkeypatch.setattr(browse, "LARGEST_WINDOW", 100)
    bodies = numbers(1, 1000)
    await shelf.fill(bodies)
    for _ in range(3):
        async with shelf.look() as lane:
            assert lane.found == 1000
            assert await taken(lane, 1000) == bodies
            assert len(lane._windows) > 8
            assert await lane.is_empty()


async def test_look_that_ends_early_leaves_the_order(shelf: Shelf) -> None:
    """What was not looked at yet stays behind what was."""
    bodies = numbers(1, 500)
    await shelf.fill(bodies)
    async with shelf.look() as lane:
        await taken(lane, 130)
    async with shelf.look() as lane:
        assert await taken(lane, 500) == bodies


async def test_what_is_removed_is_gone_and_only_that(shelf: Shelf) -> None:
    """Every third is removed; the others keep their order."""
    await shelf.fill(numbers(1, 300))
    async with shelf.look() as lane:
        for _ in range(3):
            batch = [await lane.take(1) for _ in range(100)]
            await lane.remove([one for [one] in batch if int(one.body) % 3 == 0])
    async with shelf.look() as lane:
        assert await taken(lane, lane.found) == [body for body in numbers(1, 300) if int(body) % 3]


async def test_removal_makes_room_without_another_window(shelf: Shelf) -> None:
    """Where everything leaves, one window is enough for any number."""
    await shelf.fill(numbers(1, 500))
    async with shelf.look() as lane:
        for _ in range(500):
            await lane.remove(await lane.take(1))
        assert len(lane._windows) == 1


async def test_no_more_than_a_window_waits_in_memory(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slowly it is looked at; large bodies make the windows small."""
    monkeypatch.setattr(browse, "WINDOW_BYTES", 10_000)
    await shelf.fill([b"x" * 1000] * 200)
    most = 0
    async with shelf.look() as lane:
        await taken(lane, browse.FIRST_WINDOW)
        for _ in range(100):
            await lane.take(1)
            await asyncio.sleep(0.002)
            most = max(most, len(lane._arrived))
    assert most <= 15


async def test_lost_connection_puts_everything_back(shelf: Shelf) -> None:
    """A killed process is no other case: the broker has every message again, removed ones excepted."""
    await shelf.fill(numbers(1, 200))
    lane = await BrowseLane.open(shelf.broker, "test", shelf.queue, 64, 30.0)
    await lane.remove(await lane.take(1))
    await taken(lane, 150, 50)
    lane._consuming.tap.abort()
    lane._arrived.clear()
    with pytest.raises(BrokerUnavailable):
        await lane.take(100)
    await lane.close()
    async with shelf.look() as looking:

        async def back() -> bool:
            return await depth(underlay(looking._consuming), shelf.queue) + looking._kept.total() == 199

        await eventually(back, "199 messages back")


async def test_another_reader_is_noticed(shelf: Shelf) -> None:
    """Two looks share the messages; the second knows that it may not see them all."""
    await shelf.fill(numbers(1, 10))
    async with shelf.look() as first, shelf.look() as second:
        assert (first.others, second.others) == (0, 1)


async def test_queue_that_goes_away_ends_the_look(shelf: Shelf) -> None:
    """A deleted queue is said, not waited for."""
    await shelf.fill(numbers(1, 3))
    async with shelf.look() as lane:
        await taken(lane, 3)
        await shelf.channel.queue_delete(shelf.queue)
        with pytest.raises(BrokerUnavailable, match="cancelled the consumer"):
            async with asyncio.timeout(10):
                await lane.take(1)


async def test_missing_queue_is_named(shelf: Shelf) -> None:
    """With the command that declares it."""
    shelf.queue += ".none"
    with pytest.raises(TopologyMismatch, match="topology declare"):
        async with shelf.look():
            pass


@pytest.mark.parametrize("limit", [{}, {"x-delivery-limit": 5}])
async def test_queue_that_would_drop_what_was_looked_at_is_refused(
    shelf: Shelf, limit: dict[str, int]
) -> None:
    """A look counts as a delivery: a queue with another limit is not touched."""
    await shelf.channel.queue_delete(shelf.queue)
    arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish", **limit}
    await shelf.channel.queue_declare(shelf.queue, durable=True, arguments=arguments)
    await shelf.fill([b"1"])
    with pytest.raises(TopologyMismatch, match=r"x-delivery-limit of 2147483647"):
        async with shelf.look():
            pass
    message = await shelf.channel.basic_get(shelf.queue, no_ack=True)
    assert not (message.header.properties.headers or {}).get("x-delivery-count")
