"""Celery: a task, acked late, that publishes to one exchange over a producer of the app's own pool.

Confirms on (``confirm_publish``), quorum queues detected, results ignored, no events, no remote control, no
gossip, mingle or heartbeats between workers, and orjson as the serializer.

Usage: python -m benchmarks.peers.with_celery URL POOL CONCURRENCY PREFETCH
"""

import sys
from functools import cache
from typing import Any, Final

import aiormq
import orjson
from celery import Celery
from kombu import Exchange, Queue
from kombu.serialization import dumps, register
from pamqp.commands import Basic

from benchmarks.harness import Message, declare
from benchmarks.peers.settings import Setting

NAME: Final = "Celery"
DISTRIBUTION: Final = "celery"
SOURCE: Final = "bench.celery"
TARGET: Final = "bench.out"
TASK: Final = "relay"
SERIALIZER: Final = "orjson"
SETTINGS: Final = [
    Setting("pool threads, 8", ["threads", "8", "400"]),
    Setting("pool solo", ["solo", "1", "100"]),
    Setting("pool prefork, 1 child", ["prefork", "1", "100"]),
]


def app_at(url: str, pool: str = "solo", concurrency: int = 1, prefetch: int = 1) -> Celery:
    register(SERIALIZER, orjson.dumps, orjson.loads, "application/json", "utf-8")
    app = Celery("bench", broker=url)
    queue = Queue(SOURCE, Exchange(""), SOURCE, queue_arguments={"x-queue-type": "quorum"}, no_declare=True)
    app.conf.update(
        accept_content=["json", SERIALIZER],
        broker_connection_retry_on_startup=True,
        broker_heartbeat=0,
        broker_pool_limit=concurrency,
        broker_transport_options={"confirm_publish": True},
        task_acks_late=True,
        task_default_queue=SOURCE,
        task_ignore_result=True,
        task_queues=[queue],
        task_serializer=SERIALIZER,
        worker_concurrency=concurrency,
        worker_enable_remote_control=False,
        worker_pool=pool,
        worker_prefetch_multiplier=max(1, prefetch // concurrency),
    )
    return app


async def prepare(url: str) -> None:
    """Declare its queue."""
    connection = await aiormq.connect(url)
    await declare(connection, SOURCE, SOURCE)
    await connection.close()


@cache
def client() -> Celery:
    """An app that makes messages and never connects."""
    return app_at("amqp://")


def wrap(body: bytes) -> Message:
    """Return the message that its client would send."""
    payment = orjson.loads(body)
    task = client().amqp.as_task_v2(payment["payment_id"], TASK, args=(payment,), ignore_result=True)
    content_type, encoding, text = dumps(task.body, serializer=SERIALIZER)
    properties = Basic.Properties(
        delivery_mode=2,
        content_type=content_type,
        content_encoding=encoding,
        correlation_id=task.properties["correlation_id"],
        headers={name: value for name, value in task.headers.items() if value is not None},
    )
    return text if isinstance(text, bytes) else text.encode(), properties


def main(url: str, pool: str, concurrency: int, prefetch: int) -> None:
    app = app_at(url, pool, concurrency, prefetch)
    target = Exchange(TARGET, "topic", no_declare=True)

    @app.task(name=TASK)
    def relay(payment: dict[str, Any]) -> None:
        with app.producer_pool.acquire(block=True) as producer:
            # Returns once it is confirmed.
            producer.publish(
                orjson.dumps(payment),
                exchange=target,
                routing_key="bench.key",
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
                mandatory=True,
            )

    quiet = ["--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["worker", *quiet])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
