"""Two quorum queues and a lane between them, for tests of a lane against a broker of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp import commands
from yarl import URL

from worker.amqp.connection import Broker
from worker.amqp.lane import CONFIRMED, Delivery, Lane, Outgoing, Properties
from worker.amqp.standard import StandardLane
from worker.amqp.tapped import TapLane

SOON: Final = 15.0
AnyLane: TypeAlias = TapLane | StandardLane
LANES: Final[dict[str, type[AnyLane]]] = {"tap": TapLane, "standard": StandardLane}


@dataclass(slots=True)
class LaneRig:
    """A queue to consume and a queue to publish to, each behind an exchange of its name."""

    url: str
    source: str
    target: str
    channel: AbstractChannel

    def outgoing(self, bodies: Iterable[bytes]) -> list[Outgoing]:
        """Publishes to the target, each with an id of its own."""
        return [
            Outgoing(self.target, "key", body, Properties(message_id=f"m{number}"))
            for number, body in enumerate(bodies)
        ]

    async def open(
        self,
        lane: str,
        *,
        url: str | None = None,
        prefetch: int = 100,
        heartbeat: int = 10,
        confirm_timeout: float = 10.0,
    ) -> AnyLane:
        """Open a lane on the source, by the rig's URL or by another way to the same broker."""
        broker = Broker(URL(url or self.url), heartbeat, connect_timeout_seconds=10)
        return await LANES[lane].open(broker, f"test {lane}", self.source, prefetch, confirm_timeout)

    async def put(self, *bodies: bytes, **properties: Any) -> None:
        """Publish to the source and wait for the confirms."""
        await asyncio.gather(
            *(
                self.channel.basic_publish(
                    body, routing_key=self.source, properties=commands.Basic.Properties(**properties)
                )
                for body in bodies
            )
        )

    async def get(self, queue: str) -> DeliveredMessage | None:
        """Take one message from a queue, or nothing."""
        message = await self.channel.basic_get(queue, no_ack=True)
        return None if isinstance(message.delivery, commands.Basic.GetEmpty) else message

    async def get_soon(self, queue: str) -> DeliveredMessage:
        """Take one message from a queue, as soon as the broker has put it back there."""
        async with asyncio.timeout(SOON):
            while (message := await self.get(queue)) is None:
                await asyncio.sleep(0.02)
        return message

    async def arrived(self) -> list[bytes]:
        """Take everything that has arrived at the target."""
        bodies = []
        while (message := await self.get(self.target)) is not None:
            bodies.append(message.body)
        return bodies

    async def relay(self, lane: Lane, count: int) -> None:
        """Move ``count`` messages from source to target and settle them; every one must be confirmed."""
        moved = 0
        async with asyncio.timeout(4 * SOON):
            while moved < count:
                batch: Sequence[Delivery] = await lane.take(100)
                outcomes = await lane.send(self.outgoing(delivery.body for delivery in batch))
                assert set(outcomes) == {CONFIRMED}
                await lane.settle(delivery.tag for delivery in batch)
                moved += len(batch)


@asynccontextmanager
async def lane_rig(url: str, prefix: str) -> AsyncIterator[LaneRig]:
    """Declare the queues; they are deleted afterwards."""
    connection = await aiormq.connect(url)
    channel = await connection.channel(publisher_confirms=True)
    rig = LaneRig(url, f"{prefix}.source", f"{prefix}.target", channel)
    for name in (rig.source, rig.target):
        await channel.exchange_declare(name, exchange_type="topic", durable=True)
        await channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
        await channel.queue_bind(name, name, "#")
    try:
        yield rig
    finally:
        if not connection.is_closed:
            for name in (rig.source, rig.target):
                await channel.queue_delete(name)
                await channel.exchange_delete(name)
        await connection.close()
