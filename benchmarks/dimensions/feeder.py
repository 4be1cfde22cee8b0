"""A producer that is fast enough to fill queues between rounds: the worker's own tap lane, sending only."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiormq
from yarl import URL

from benchmarks.harness import declare
from worker.amqp.connection import Broker
from worker.amqp.lane import CONFIRMED, Outgoing, Properties
from worker.amqp.tapped import TapLane

BATCH = 250
AT_ONCE = 4
IDLE = "bench.idle"
"""The lane consumes this queue, in which nothing ever is."""


@dataclass(slots=True)
class Feeder:
    """Publishes persistent messages with ids of their own, each confirmed. Make it with ``feeding``."""

    _lane: TapLane
    _run: str = field(default_factory=lambda: secrets.token_hex(4))
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)

    async def publish(
        self,
        exchange: str,
        bodies: Sequence[bytes],
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Publish all bodies, a few batches at a time.

        Raises RuntimeError where the broker does not confirm one.
        """
        slots = asyncio.Semaphore(AT_ONCE)

        async def send(part: Sequence[bytes]) -> None:
            async with slots:
                batch = [
                    Outgoing(exchange, "card.eur", body, self._properties(content_type, headers))
                    for body in part
                ]
                for confirmation in await self._lane.send(batch):
                    if confirmation is not CONFIRMED:
                        raise RuntimeError(f"a message to {exchange} was not confirmed: {confirmation}")

        async with asyncio.TaskGroup() as group:
            for start in range(0, len(bodies), BATCH):
                group.create_task(send(bodies[start : start + BATCH]))

    def _properties(self, content_type: str, headers: Mapping[str, str] | None) -> Properties:
        message_id = f"{self._run}-{next(self._ids)}"
        return Properties(
            content_type=content_type, delivery_mode=2, message_id=message_id, headers=headers or {}
        )


@asynccontextmanager
async def feeding(url: str) -> AsyncIterator[Feeder]:
    """Open a feeder for the block."""
    connection = await aiormq.connect(url)
    await declare(connection, IDLE, IDLE)
    await connection.close()
    broker = Broker(URL(url), heartbeat_seconds=60, connect_timeout_seconds=10)
    lane = await TapLane.open(broker, "feeder", IDLE, 1, 60.0)
    try:
        yield Feeder(lane)
    finally:
        await lane.close()
