"""A relay on aiormq alone: no validation, no rules, no money; pipelined confirms and batched acks, on uvloop.

Usage: aiormq_relay.py URL QUEUE EXCHANGE COUNT PREFETCH
"""

import asyncio
import sys

import aiormq
import uvloop
from aiormq.abc import DeliveredMessage

ACK_EVERY = 64


async def main(url: str, queue: str, exchange: str, count: int, prefetch: int) -> None:
    connection = await aiormq.connect(url)
    channel = await connection.channel(publisher_confirms=True)
    await channel.basic_qos(prefetch_count=prefetch)
    done = asyncio.Event()
    settled: set[int] = set()
    low = acked = 0

    async def relay(message: DeliveredMessage) -> None:
        nonlocal low, acked
        properties = aiormq.spec.Basic.Properties(delivery_mode=2)
        await channel.basic_publish(
            message.body,
            exchange=exchange,
            routing_key="bench.key",
            properties=properties,
            mandatory=True,
            wait=False,
        )
        settled.add(message.delivery_tag or 0)
        while low + 1 in settled:
            low += 1
            settled.discard(low)
        if low - acked >= ACK_EVERY or low >= count:
            acked = low
            await channel.basic_ack(low, multiple=True, wait=False)
        if low >= count:
            done.set()

    await channel.basic_consume(queue, relay)
    await done.wait()
    await channel.close()
    await connection.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
