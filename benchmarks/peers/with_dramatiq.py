"""Dramatiq: an actor that publishes to one exchange over its thread's own channel, with confirms.

Its encoder is orjson; no middleware, as nothing here is retried or timed. Threads and prefetch are tuned:
more threads overlap more confirms, until they only wait for the interpreter's lock.

Usage: python -m benchmarks.peers.with_dramatiq URL THREADS
"""

import asyncio
import os
import signal
import sys
from typing import Any, Final

import dramatiq
import orjson
import pika
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.encoder import Encoder, MessageData
from dramatiq.message import Message as Envelope

from benchmarks.harness import Message, as_json
from benchmarks.peers.settings import Setting

NAME: Final = "Dramatiq"
DISTRIBUTION: Final = "dramatiq"
SOURCE: Final = "bench.dramatiq"
TARGET: Final = "bench.out"
ACTOR: Final = "relay"
SETTINGS: Final = [
    Setting(f"{threads} threads", [str(threads)], {"dramatiq_queue_prefetch": str(prefetch)})
    for threads, prefetch in ((8, 200), (4, 100), (16, 400))
]


class OrjsonEncoder(Encoder):
    """Messages as JSON, by orjson."""

    def encode(self, data: MessageData) -> bytes:
        return orjson.dumps(data)

    def decode(self, data: bytes) -> MessageData:
        return orjson.loads(data)


class QuorumBroker(RabbitmqBroker):
    """Dramatiq declares classic queues; for the same safety as all others they are quorum queues here."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": "quorum"}


def broker_at(url: str) -> QuorumBroker:
    dramatiq.set_encoder(OrjsonEncoder())
    broker = QuorumBroker(url=url, confirm_delivery=True, middleware=[])
    dramatiq.set_broker(broker)
    return broker


async def prepare(url: str) -> None:
    """Let it declare its queue."""

    def declare() -> None:
        broker = broker_at(url)
        broker.declare_queue(SOURCE, ensure=True)
        broker.close()

    await asyncio.to_thread(declare)


def wrap(body: bytes) -> Message:
    """Return the message that its client would send."""
    payment = orjson.loads(body)
    envelope: Envelope[Any] = Envelope(
        queue_name=SOURCE, actor_name=ACTOR, args=(payment,), kwargs={}, options={}
    )
    return as_json(orjson.dumps(envelope.asdict()))


def main(url: str, threads: int) -> None:
    broker = broker_at(url)
    properties = pika.BasicProperties(delivery_mode=2)

    @dramatiq.actor(actor_name=ACTOR, queue_name=SOURCE)
    def relay(payment: dict[str, Any]) -> None:
        # Returns once it is confirmed; raises when it is returned or refused.
        broker.channel.basic_publish(TARGET, "bench.key", orjson.dumps(payment), properties, mandatory=True)

    worker = dramatiq.Worker(broker, worker_threads=threads)
    worker.start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
