"""Looking at a queue's messages without taking them."""

import asyncio
from dataclasses import dataclass
from typing import Any

from aiormq.abc import AbstractConnection, DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from worker.errors import TopologyMismatch

IDLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as it lies in the queue."""

    body: bytes
    headers: dict[str, Any]


async def depth(connection: AbstractConnection, queue: str) -> int:
    """Return how many messages wait in a queue; those in a consumer's hands do not count.

    Raises:
        TopologyMismatch: there is no such queue.
    """
    channel = await connection.channel()
    try:
        declared = await channel.queue_declare(queue, passive=True)
    except ChannelNotFoundEntity:
        raise TopologyMismatch(
            f"the broker has no queue {queue}; `payment-worker topology declare` creates it,"
            " or check --prefix"
        ) from None
    await channel.close()
    return declared.message_count or 0


async def browse(connection: AbstractConnection, queue: str, limit: int) -> list[Seen]:
    """Return up to ``limit`` messages from the head of a queue and put all of them back.

    They are consumed without an acknowledgement, and go back in their order when the channel closes.

    Raises:
        TopologyMismatch: there is no such queue.
    """
    wanted = min(limit, await depth(connection, queue))
    seen: list[Seen] = []
    if wanted == 0:
        return seen
    arrived = asyncio.Event()

    async def keep(message: DeliveredMessage) -> None:
        if len(seen) < wanted:
            seen.append(Seen(message.body, dict(message.header.properties.headers or {})))
        arrived.set()

    channel = await connection.channel()
    await channel.basic_qos(prefetch_count=min(wanted, 65535))
    await channel.basic_consume(queue, keep)
    try:
        while len(seen) < wanted:
            arrived.clear()
            async with asyncio.timeout(IDLE_SECONDS):
                await arrived.wait()
    except TimeoutError:
        pass  # another consumer took the rest meanwhile
    finally:
        await channel.close()
    return seen
