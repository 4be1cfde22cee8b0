"""A stage for one test: a topology and rules of its own, a producer, processors and a worker."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aio_pika
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity
from pamqp import commands

from schemas.dead_letter import Attempt, DeadLetterHeaders
from tests.support.bodies import RULES, write_rules
from worker.amqp.connection import underlay
from worker.amqp.topology import Names
from worker.journal.opening import prepare_journal
from worker.lines import NDJSON
from worker.routing import RuleTable
from worker.rules_file import load_rules
from worker.session import Worker, prepare_topology, topology_of
from worker.settings import Settings
from worker.telemetry.tracing import PassingTracer, Tracer

DEADLINE_SECONDS = 30.0
POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Received:
    """A message that a test has taken from a queue."""

    body: bytes
    routing_key: str
    properties: commands.Basic.Properties

    @property
    def headers(self) -> dict[str, Any]:
        """Its headers; none are an empty mapping."""
        return dict(self.properties.headers or {})

    @property
    def json(self) -> dict[str, Any]:
        """Its body as a JSON object."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    def lines(self) -> list["Received"]:
        """Each dispatch of a message that has several, or the message."""
        if self.properties.content_type != NDJSON:
            return [self]
        return [replace(self, body=line) for line in self.body.split(b"\n")]

    @property
    def letter(self) -> DeadLetterHeaders:
        """Its headers as those of a dead letter, every one that must be there checked."""
        return DeadLetterHeaders.model_validate(self.headers)

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts that a dead letter lists."""
        return [Attempt.model_validate(attempt) for attempt in json.loads(self.letter.attempts)]


async def eventually(
    condition: Callable[[], Awaitable[bool]], what: str, within_seconds: float = DEADLINE_SECONDS
) -> None:
    """Poll until the condition holds; fail by name when the time is over."""
    deadline = time.monotonic() + within_seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_seconds:g} s")
        await asyncio.sleep(POLL_SECONDS)


async def counts(worker: Worker, **expected: int) -> None:
    """Wait until a working worker has counted just this: others may see it at the broker before."""

    async def there() -> bool:
        return worker.counts == Counter(expected)

    await eventually(there, f"{expected} in the worker's counts")


@dataclass(slots=True)
class Stage:
    """What one test plays on. Make it with ``open_stage``."""

    url: str
    prefix: str
    rules: Path
    settings: Settings
    table: RuleTable
    connection: AbstractConnection
    channel: AbstractChannel
    tracer: Tracer = field(default_factory=PassingTracer)

    @property
    def names(self) -> Names:
        """The names of the worker's own objects."""
        return Names(self.prefix)

    def exchange_of(self, processor: str) -> str:
        """The exchange where a processor's dispatches go."""
        return f"{self.prefix}.proc.{processor}"

    def inbox_of(self, processor: str) -> str:
        """The queue where a processor's connector consumes."""
        return f"{self.exchange_of(processor)}.inbox"

    async def publish(self, body: bytes, routing_key: str = "card.eur", **properties: Any) -> None:
        """Publish as a producer and wait for the confirm."""
        properties.setdefault("content_type", "application/json")
        await self.channel.basic_publish(
            body,
            exchange=self.names.exchange,
            routing_key=routing_key,
            properties=commands.Basic.Properties(delivery_mode=2, **properties),
            mandatory=True,
        )

    async def unbind(self, processor: str) -> None:
        """Take a processor's inbox from its exchange."""
        await self.channel.queue_unbind(self.inbox_of(processor), self.exchange_of(processor), "#")

    async def bind(self, processor: str) -> None:
        """Give a processor's inbox back to its exchange."""
        await self.channel.queue_bind(self.inbox_of(processor), self.exchange_of(processor), "#")

    async def take(
        self, queue: str, count: int = 1, within_seconds: float = DEADLINE_SECONDS
    ) -> list[Received]:
        """Take exactly ``count`` messages from a queue as they come."""
        taken: list[Received] = []

        async def enough() -> bool:
            while len(taken) < count:
                message = await self.channel.basic_get(queue, no_ack=True)
                if isinstance(message.delivery, commands.Basic.GetEmpty):
                    return False
                taken.append(_received(message))
            return True

        await eventually(enough, f"{count} messages in {queue}", within_seconds)
        return taken

    async def dispatched(self, processor: str = "alpha", count: int = 1) -> list[Received]:
        """Take dispatches as a processor's connector does."""
        return await self.take(self.inbox_of(processor), count)

    async def dead(self, count: int = 1) -> list[Received]:
        """Take dead letters."""
        return await self.take(self.names.dead, count)

    async def depth(self, queue: str) -> int | None:
        """How many messages a queue has that no consumer holds; None where there is no such queue."""
        channel = await self.connection.channel()
        try:
            declared = await channel.queue_declare(queue, passive=True)
        except ChannelNotFoundEntity:
            return None
        await channel.close()
        return declared.message_count or 0

    async def waits_in(self, queue: str, count: int) -> None:
        """Poll until exactly ``count`` messages wait in a queue."""

        async def there() -> bool:
            return await self.depth(queue) == count

        await eventually(there, f"{count} messages waiting in {queue}")

    async def leftovers(self) -> dict[str, int | None]:
        """Queues of the topology that are not empty, with their depths."""
        queues = topology_of(self.settings, self.table).queues
        depths = {queue.name: await self.depth(queue.name) for queue in queues}
        return {name: depth for name, depth in depths.items() if depth}

    @asynccontextmanager
    async def working(self, **changes: Any) -> AsyncIterator[Worker]:
        """Run a worker of this process for the block; on leaving it drains, and its errors are raised.

        It verifies the topology and does not declare it, which would mend what a test has broken.
        """
        settings = self.settings.model_copy(update={"topology": "verify", **changes})
        worker = Worker(settings, self.table, self.tracer)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
            worker.stop.set()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await running
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait({running})


def _received(message: DeliveredMessage) -> Received:
    return Received(message.body, str(message.routing_key), message.header.properties)


@asynccontextmanager
async def open_stage(
    url: str, prefix: str, folder: Path, document: str = RULES, **settings: Any
) -> AsyncIterator[Stage]:
    """Set the stage: rules written, topology declared, a producer connected; its queues go at the end."""
    rules = write_rules(folder / "rules.yaml", prefix, document)
    made = Settings(
        **{
            "amqp_url": url,
            "prefix": prefix,
            "journal": f"sqlite:///{folder / 'journal.db'}",
            "rules": (rules,),
            "delay_steps": (0.2, 0.3),
            "retry_in_process": 0.1,
            "heartbeat": 60,
            **settings,
        }
    )
    table = load_rules(made.rules)
    await prepare_topology(made, table)
    prepare_journal(made.journal_address)
    connection = await aio_pika.connect(url)
    try:
        raw = underlay(connection)  # type: ignore[arg-type]
        stage = Stage(url, prefix, rules, made, table, raw, await raw.channel(publisher_confirms=True))
        yield stage
        await _clear(raw, stage)
    finally:
        await connection.close()


async def _clear(connection: AbstractConnection, stage: Stage) -> None:
    topology = topology_of(stage.settings, stage.table)
    channel = await connection.channel()
    for queue in topology.queues:
        await channel.queue_delete(queue.name)
    for exchange in topology.exchanges:
        await channel.exchange_delete(exchange.name)
