"""taskiq with taskiq-aio-pika: an async task that publishes to one exchange over the broker's own channel.

On uvloop, with its orjson serializer, without parameter validation, many tasks at once, acked when executed.

Usage: python -m benchmarks.peers.with_taskiq URL PREFETCH
"""

import logging
import sys
from typing import Any, Final

import aio_pika
import orjson
import uvloop
from aiormq.abc import DeliveredMessage
from taskiq.acks import AcknowledgeType
from taskiq.api import run_receiver_task
from taskiq.message import TaskiqMessage
from taskiq.serializers import ORJSONSerializer
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue

from benchmarks.harness import Message, as_json
from benchmarks.peers.settings import Setting

NAME: Final = "taskiq-aio-pika"
DISTRIBUTION: Final = "taskiq-aio-pika"
SOURCE: Final = "bench.taskiq"
TARGET: Final = "bench.out"
TASK: Final = "relay"
SETTINGS: Final = [Setting(f"prefetch {n}", [str(n)]) for n in (1000, 300, 100)]


def broker_at(url: str, prefetch: int) -> AioPikaBroker:
    broker = AioPikaBroker(url, qos=prefetch, exchange=Exchange(name="bench.taskiq"))
    broker = broker.with_queue(Queue(name=SOURCE))  # a quorum queue, by default
    return broker.with_serializer(ORJSONSerializer())


async def prepare(url: str) -> None:
    """Let it declare its queue."""
    broker = broker_at(url, 1)
    await broker.startup()
    await broker.shutdown()


def wrap(body: bytes) -> Message:
    """Return the message that its client would send; the headers it adds are for people."""
    payment = orjson.loads(body)
    task = TaskiqMessage(
        task_id=payment["payment_id"], task_name=TASK, labels={}, labels_types={}, args=[payment], kwargs={}
    )
    return as_json(orjson.dumps(task.model_dump(mode="json")))


async def main(url: str, prefetch: int) -> None:
    broker = broker_at(url, prefetch)
    exchange: Any = None

    @broker.task(task_name=TASK)
    async def relay(payment: dict[str, Any]) -> None:
        message = aio_pika.Message(orjson.dumps(payment), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        answer = await exchange.publish(message, "bench.key", mandatory=True)
        if isinstance(answer, DeliveredMessage):  # its channel does not raise what is returned
            raise RuntimeError("the payment was returned: no queue is bound")  # noqa: TRY004

    broker.is_worker_process = True
    await broker.startup()
    assert broker.write_channel is not None
    exchange = await broker.write_channel.get_exchange(TARGET)
    await run_receiver_task(
        broker,
        validate_params=False,
        max_async_tasks=prefetch,
        ack_time=AcknowledgeType.WHEN_EXECUTED,
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
