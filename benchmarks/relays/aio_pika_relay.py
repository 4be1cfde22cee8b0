"""A relay on aio-pika as its documents show it: a callback a message, publish with confirm, ack; on uvloop.

Usage: aio_pika_relay.py URL QUEUE EXCHANGE COUNT PREFETCH
"""

import asyncio
import sys

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage


async def main(url: str, queue_name: str, exchange_name: str, count: int, prefetch: int) -> None:
    connection = await aio_pika.connect(url)
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    await channel.set_qos(prefetch_count=prefetch)
    queue = await channel.get_queue(queue_name)
    exchange = await channel.get_exchange(exchange_name)
    done = asyncio.Event()
    moved = 0

    async def relay(message: AbstractIncomingMessage) -> None:
        nonlocal moved
        persistent = aio_pika.DeliveryMode.PERSISTENT
        # Returns are matched by message_id, which aio-pika makes where there is none.
        await exchange.publish(
            aio_pika.Message(message.body, delivery_mode=persistent), "bench.key", mandatory=True
        )
        await message.ack()
        moved += 1
        if moved == count:
            done.set()

    await queue.consume(relay)
    await done.wait()
    await connection.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
