"""A test bench for faults: a topology, a producer, worker processes, and a ledger that must balance."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Final

from aiormq.exceptions import ChannelNotFoundEntity, DeliveryError
from pydantic import SecretStr
from yarl import URL

from tests.support.audited import check_journal
from tests.support.command import RunningWorker, running_worker
from tests.support.fault_points import Fault
from tests.support.ledger import Ledger
from tests.support.load import BROKEN, RULES, Load, channel_to, connected_to, write_fault_rules
from tests.support.proxy import Proxy
from tests.support.stage import eventually
from tests.support.worker_process import WorkerProcess
from worker.amqp.topology import Names
from worker.journal.address import NoJournal
from worker.journal.opening import prepare_journal
from worker.local_broker import LocalBroker
from worker.rules_file import load_rules
from worker.session import prepare_topology, topology_of
from worker.settings import Settings
from worker.source import names_of

DRAIN_SECONDS: Final = 60.0
NEVER: Final = 1_000_000
"""A delivery limit that no number of crashes in a test reaches."""


@dataclass(slots=True)
class Bench:
    """What one fault test plays on. Make it with ``open_bench``."""

    url: str
    settings: Settings
    folder: Path
    context: ForkServerContext
    chance: random.Random
    load: Load
    ledger: Ledger
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def names(self) -> Names:
        """The names of the worker's own objects."""
        return names_of(self.settings)

    @property
    def rules(self) -> Path:
        """The rule file of every worker of this bench."""
        return self.settings.rules[0]

    def exchange_of(self, processor: str) -> str:
        """The exchange where a processor's dispatches go."""
        return f"{self.settings.prefix}.proc.{processor}"

    @property
    def alive(self) -> list[WorkerProcess]:
        """The workers that have not ended."""
        return [worker for worker in self.workers if worker.exit_code is None]

    def start(
        self,
        *faults: Fault,
        through: Proxy | None = None,
        environ: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> WorkerProcess:
        """Start another worker process, with faults in it and with other settings than the bench's.

        It connects to the broker through the proxy, if there is one.
        """
        log = self.folder / f"worker-{len(self.workers) + 1}.log"
        if through is not None:
            changes["amqp_url"] = SecretStr(str(URL(self.url).with_port(through.port)))
        settings = self.settings.model_copy(update=changes)
        worker = WorkerProcess(self.context, settings, log, faults, environ)
        self.workers.append(worker)
        return worker

    @contextmanager
    def command(self, **environ: str) -> Iterator[RunningWorker]:
        """Run the real command for the block, with one worker process and the bench's settings."""
        settings = self.settings
        options = ("--amqp-url", self.url, "--prefix", settings.prefix, "--rules", str(self.rules))
        delays = ",".join(f"{1000 * step:g}ms" for step in settings.delay_steps)
        env = {
            "PAYMENT_WORKER_TOPOLOGY": settings.topology,
            "PAYMENT_WORKER_DELAY_STEPS": delays,
            "PAYMENT_WORKER_DELIVERY_LIMIT": str(settings.delivery_limit),
            "PAYMENT_WORKER_JOURNAL": settings.journal.get_secret_value(),
            **environ,
        }
        with running_worker(self.folder / "command.log", *options, env=env) as worker:
            yield worker

    async def publish(self, count: int, *kinds: str) -> None:
        """Publish payments, each confirmed."""
        await self.load.publish(self.load.make(count, *kinds))

    async def depths(self) -> dict[str, int]:
        """How many payments wait, by queue, empty ones left out; those that a worker holds do not count."""
        names, depths = self.names, {}
        async with connected_to(self.url) as connection:
            own = (*names.work, names.returned, names.crashed)
            for queue in (*own, *map(names.delay, self.settings.delay_steps)):
                with contextlib.suppress(ChannelNotFoundEntity):
                    channel = await connection.channel()
                    depths[queue] = (await channel.queue_declare(queue, passive=True)).message_count or 0
        return {queue: depth for queue, depth in depths.items() if depth}

    async def waits_in(self, queue: str, count: int = 1) -> None:
        """Wait until so many payments, at least, wait in one of the worker's queues."""

        async def there() -> bool:
            return (await self.depths()).get(queue, 0) >= count

        await eventually(there, f"{count} payments waiting in {queue}")

    async def collect(self, *, dead: bool = True) -> None:
        """Enter what has arrived into the ledger, with or without the dead letters."""
        async with channel_to(self.url) as channel:
            await self.ledger.collect(channel, dead=dead)

    async def declare(self) -> None:
        """Declare what is missing, as `payment-worker topology declare` does; workers only verify."""
        settings = self.settings.model_copy(update={"topology": "declare"})
        await prepare_topology(settings, load_rules(settings.rules))

    async def unbind(self, processor: str) -> None:
        """Take a processor's inbox from its exchange: dispatches for it are returned."""
        async with channel_to(self.url) as channel:
            await channel.queue_unbind(self.ledger.inbox_of(processor), self.exchange_of(processor), "#")

    async def bind(self, processor: str) -> None:
        """Give a processor's inbox back to its exchange."""
        async with channel_to(self.url) as channel:
            await channel.queue_bind(self.ledger.inbox_of(processor), self.exchange_of(processor), "#")

    async def delete(self, *queues: str) -> None:
        """Delete queues, with what is in them."""
        async with channel_to(self.url) as channel:
            for queue in queues:
                await channel.queue_delete(queue)

    def without_breakers(self) -> None:
        """Let no number of refusals open a circuit breaker in workers started from now on."""
        rules = self.rules.read_text()
        self.rules.write_text(rules.replace("open_seconds: 1", "minimum_payments: 1000000"))

    async def unbind_delays(self) -> None:
        """Take the delay queues from their exchanges: no payment can be delayed."""
        async with channel_to(self.url) as channel:
            for step in self.settings.delay_steps:
                delay = self.names.delay(step)
                await channel.queue_unbind(delay, delay, "#")

    async def jam(self, processor: str) -> None:
        """Put a queue that is full in the place of a processor's inbox: dispatches for it are refused."""
        jam = f"{self.settings.prefix}.jam"
        arguments: Any = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": 1}
        await self.unbind(processor)
        async with channel_to(self.url) as channel:
            await channel.queue_declare(jam, durable=True, arguments=arguments)
            with contextlib.suppress(DeliveryError):
                for _ in range(100):
                    await channel.basic_publish(b"full", routing_key=jam, mandatory=True)
            await channel.queue_bind(jam, self.exchange_of(processor), "#")

    async def unjam(self, processor: str) -> None:
        """Remove that queue, and give the processor its inbox back."""
        async with channel_to(self.url) as channel:
            await channel.queue_delete(f"{self.settings.prefix}.jam")
        await self.bind(processor)

    @asynccontextmanager
    async def full(self, broker: LocalBroker, pattern: str, length: int = 1) -> AsyncIterator[None]:
        """Let queues whose names match take ``length`` messages and then refuse, for the block.

        The limit is raised at the end, not removed: a quorum queue without a limit never tells those whom it
        has refused that it would take their messages now (RabbitMQ 3.10).
        """
        name = self.settings.prefix
        queues = f"^{name}\\.({pattern})$"
        ctl = broker.rabbitmqctl
        await asyncio.to_thread(ctl, "set_policy", name, queues, json.dumps({"max-length": length}))
        try:
            yield
        finally:
            await asyncio.to_thread(ctl, "set_policy", name, queues, json.dumps({"max-length": NEVER}))

    async def safe(self) -> None:
        """While no worker runs, every payment that was not found yet waits in the broker."""
        assert not self.alive

        async def waiting() -> bool:
            await self.collect()
            missing = len(self.ledger.missing(self.load.sent))
            return missing <= sum((await self.depths()).values())

        await eventually(waiting, "every payment at a processor, dead, or in the broker")

    async def arrives(self, count: int) -> None:
        """Wait until this many payments have been found."""

        async def there() -> bool:
            with contextlib.suppress(*BROKEN):
                await self.collect()
            return len(self.ledger.dispatched) + len(self.ledger.dead) >= count

        await eventually(there, f"{count} payments at their ends")

    async def drained(
        self,
        *,
        repeats: bool = True,
        may_die: Collection[str] = (),
        within_seconds: float = DRAIN_SECONDS,
        audited: bool = True,
    ) -> None:
        """With every fault healed, all payments arrive, the workers stop in order, and the books balance.

        A journal that was lost has no books to be ``audited``.
        """
        await self.at_rest(within_seconds)
        self.ledger.check(self.load.sent, repeats=repeats, may_die=may_die)
        address = self.settings.journal_address
        if audited and not isinstance(address, NoJournal):
            found = {payment_id: messages[0][0] for payment_id, messages in self.ledger.dispatched.items()}
            await asyncio.to_thread(check_journal, address, found)

    async def at_rest(self, within_seconds: float = DRAIN_SECONDS) -> None:
        """With every fault healed, all payments arrive and the workers stop in order.

        What a worker held when it was stopped is for the next one, until nothing is left.
        """
        deadline = time.monotonic() + within_seconds
        left: Mapping[str, int] = {"everything": len(self.load.sent)}
        while left:
            if not self.alive:
                self.start()
            await self._wait_for_all(deadline - time.monotonic())
            await self.stop()
            left = await self.depths()
        await self.collect()

    async def _wait_for_all(self, within_seconds: float) -> None:
        """Wait until every payment is found and none waits; those that workers hold do not count."""

        async def all_found() -> bool:
            assert self.alive, "no worker is left: " + self.workers[-1].log[-2000:]
            with contextlib.suppress(*BROKEN):
                await self.collect()
                if all(worker.sessions for worker in self.alive):
                    return not self.ledger.missing(self.load.sent) and not await self.depths()
            return False

        try:
            await eventually(all_found, "every payment at a processor or dead", within_seconds)
        except AssertionError as error:
            raise AssertionError(await self._explain(str(error))) from error

    async def stop(self) -> None:
        """Stop every worker in order."""
        for worker in self.alive:
            worker.terminate()
            code = await worker.ended()
            assert code == 0, f"exit code {code}: {worker.log[-2000:]}"

    async def _explain(self, what: str) -> str:
        missing = [one.payment_id for one in self.ledger.missing(self.load.sent)]
        logs = "\n".join(worker.log[-1000:] for worker in self.alive)
        return f"{what}; missing {len(missing)}: {missing[:5]}; waiting: {await self.depths()}\n{logs}"

    async def clear(self) -> None:
        """Leave nothing on the broker."""
        topology = topology_of(self.settings, load_rules(self.settings.rules))
        async with channel_to(self.url) as channel:
            for queue in (*(queue.name for queue in topology.queues), f"{self.settings.prefix}.jam"):
                await channel.queue_delete(queue)
            for exchange in topology.exchanges:
                await channel.exchange_delete(exchange.name)


@asynccontextmanager
async def open_bench(
    url: str,
    prefix: str,
    folder: Path,
    context: ForkServerContext,
    chance: random.Random,
    *,
    rules: str = RULES,
    **settings: Any,
) -> AsyncIterator[Bench]:
    """Write the rules and declare the topology; at the end no worker runs, and its queues are gone."""
    made = Settings(
        **{
            "amqp_url": url,
            "prefix": prefix,
            "topology": "verify",
            "rules": (write_fault_rules(folder / "rules.yaml", prefix, rules),),
            "delay_steps": (0.2, 0.5, 1.0, 2.0, 4.0),
            "retry_in_process": 0.1,
            "heartbeat": 5,
            "max_batch": 20,
            "prefetch": 100,
            "delivery_limit": NEVER,
            "log_format": "json",
            "journal": f"sqlite:///{folder / 'journal.db'}",
            **settings,
        }
    )
    bench = Bench(url, made, folder, context, chance, Load(url, prefix, chance), Ledger(prefix))
    await bench.declare()
    await asyncio.to_thread(prepare_journal, made.journal_address)
    try:
        yield bench
    finally:
        for worker in bench.workers:
            worker.close()
        with contextlib.suppress(*BROKEN):
            await bench.clear()
