"""A relay on the worker's own tap lane: no validation, no rules, no money; confirms, mandatory, batched acks.

Usage: tap_relay.py URL QUEUE EXCHANGE COUNT PREFETCH
"""

import asyncio
import itertools
import sys
from collections.abc import Sequence

import uvloop
from yarl import URL

from worker.amqp.connection import Broker
from worker.amqp.lane import CONFIRMED, Outgoing, Properties
from worker.amqp.tapped import TapLane
from worker.amqp.wire import Delivery

MAX_BATCH = 200
BATCHES = 4


async def main(url: str, queue: str, exchange: str, count: int, prefetch: int) -> None:
    broker = Broker(URL(url), heartbeat_seconds=10, connect_timeout_seconds=10)
    lane = await TapLane.open(broker, "tap relay", queue, prefetch, 30.0)
    ids = map(str, itertools.count())
    slots, relays, settled = asyncio.Semaphore(BATCHES), asyncio.TaskGroup(), 0

    async def relay(batch: Sequence[Delivery]) -> None:
        nonlocal settled
        outgoing = [Outgoing(exchange, "bench.key", d.body, Properties(message_id=next(ids))) for d in batch]
        confirmations = await lane.send(outgoing)
        if any(confirmation is not CONFIRMED for confirmation in confirmations):
            raise RuntimeError("not every publish was confirmed")
        await lane.settle(delivery.tag for delivery in batch)
        settled += len(batch)
        slots.release()
        if settled == count:
            await lane.stop_intake()

    async with relays:
        while batch := await lane.take(MAX_BATCH):
            await slots.acquire()
            relays.create_task(relay(batch))
    await lane.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
