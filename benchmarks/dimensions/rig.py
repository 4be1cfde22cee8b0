"""The rig that every variant is measured on: broker, database, collector, and a worker for each round."""

import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiormq
from aiormq.abc import AbstractChannel

from benchmarks.dimensions.collector import Collector, collecting
from benchmarks.dimensions.feeder import Feeder, feeding
from benchmarks.dimensions.variants import Variant
from benchmarks.line_up import C_RELAY, PREFETCH, SOURCE, TARGET, relays
from benchmarks.rule_files import everything_on
from benchmarks.watching import TICKS_PER_SECOND, usage
from worker.amqp.topology import INBOX
from worker.local_broker import LocalBroker
from worker.local_postgresql import LocalPostgresql
from worker.rules_file import load_rules
from worker.session import prepare_topology
from worker.settings import ENVIRONMENT_PREFIX, load_settings
from worker.source import names_of

POLL_SECONDS = 0.1
"""Between two looks at the depths. Each look asks every target queue's own process, so it must be rare."""
DEADLINE_SECONDS = 480.0
"""A worker reads 10,000 rules for half a minute before it starts, on a busy machine for several."""
FROM, TO = 0.2, 0.97
"""The part of a round that counts: all processes have started, and none has run out of messages."""
PROCESSORS = 5
PREFIX = "bench"


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of one variant found. ``cores`` is how many each process tree kept busy.

    ``rss_mb`` is the largest process's of the worker. ``spans`` is how many were exported.
    """

    messages_per_second: float
    cores: Mapping[str, float]
    rss_mb: float
    spans: int = 0


@dataclass(slots=True)
class Measured:
    """A variant and its rounds."""

    variant: Variant
    rounds: list[Round] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Messages per second, by round."""
        return [one.messages_per_second for one in self.rounds]

    @property
    def median(self) -> float:
        """Messages per second."""
        return statistics.median(self.rates)

    def busy(self, who: str) -> float:
        """The median of the cores that ``who`` kept busy."""
        return statistics.median(one.cores.get(who, 0.0) for one in self.rounds)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a running round: when, how many have arrived, CPU seconds until then, and memory."""

    at: float
    arrived: int
    cpu: Mapping[str, float]
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Rig:
    """Make it with ``open_rig``."""

    broker: LocalBroker
    postgresql: LocalPostgresql | None
    collector: Collector
    feeder: Feeder
    channel: AbstractChannel
    folder: Path
    c_relay: Sequence[str] | None
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _shards: list[int] = field(default_factory=list)
    """How many shards are declared; nothing yet where it is empty."""

    def can_run(self, variant: Variant) -> bool:
        """Whether this machine has what it takes; the C relay needs a compiler."""
        return not variant.relay or self.c_relay is not None

    async def run(self, variant: Variant, messages: int) -> Round:
        """Fill the queues, start the variant, and watch until all its messages have arrived."""
        exchange, sources, targets = await self._prepare(variant)
        for queue in (*sources, *targets):
            await self.channel.queue_purge(queue)
        bodies = variant.bodies(messages)
        await self.feeder.publish(exchange, bodies)
        number = next(self._numbers)
        log = self.folder / f"round-{number}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: ASYNC220 - it starts once
                self._command(variant, number),
                env=self._environment(variant),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )
        try:
            looks = await self._watch(process, targets, len(bodies))
        except RuntimeError as error:
            said = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{variant.name} {error}; what it said last:\n{said}") from error
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 60)
        for leftover in self.folder.glob(f"journal-{number}.db*"):
            leftover.unlink()
        spans = 0 if variant.sampled is None else self.collector.count()
        return _round(looks, len(bodies), spans)

    async def _prepare(self, variant: Variant) -> tuple[str, list[str], list[str]]:
        """Declare what the variant needs; return the exchange to publish to, its queues, and the targets."""
        if variant.relay:
            return SOURCE, [SOURCE], [TARGET]
        rules, shards = everything_on(self.folder, 20, PROCESSORS), variant.shards
        settings = load_settings(amqp_url=self.broker.url, rules=(rules,), prefix=PREFIX, shards=shards)
        names, table = names_of(settings), load_rules(settings.rules)
        if self._shards != [shards]:
            for number in range(sum(self._shards)):
                await self.channel.queue_delete(names.shard(number))
            await prepare_topology(settings, table)
            self._shards[:] = [shards]
        inboxes = [f"{processor.exchange}{INBOX}" for processor in table.processors.values()]
        return names.exchange, list(names.work), [*inboxes, names.dead]

    def _command(self, variant: Variant, number: int) -> Sequence[str]:
        if variant.relay:
            assert self.c_relay is not None
            return self.c_relay
        match variant.journal:
            case "sqlite":
                journal = f"sqlite:///{self.folder / f'journal-{number}.db'}"
            case "postgresql":
                assert self.postgresql is not None
                journal = self.postgresql.create_database(f"journal{number}")
            case "none":
                journal = "none"
        rules = everything_on(self.folder, variant.rules, PROCESSORS)
        command = [sys.executable, "-m", "worker", "run", "--amqp-url", self.broker.url]
        return [*command, "--rules", str(rules), "--prefix", PREFIX, "--journal", journal]

    def _environment(self, variant: Variant) -> dict[str, str]:
        settings = {"prefetch": PREFETCH, **variant.settings}
        own = {f"{ENVIRONMENT_PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
        if variant.sampled is not None:
            own["OTEL_EXPORTER_OTLP_ENDPOINT"] = self.collector.endpoint
            own["OTEL_TRACES_SAMPLER"] = "parentbased_traceidratio"
            own["OTEL_TRACES_SAMPLER_ARG"] = str(variant.sampled)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        return {**kept, **own}

    async def _watch(
        self, process: "subprocess.Popen[bytes]", targets: Sequence[str], count: int
    ) -> list[Look]:
        looks: list[Look] = []
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            looks.append(await self._look(process.pid, targets))
            if looks[-1].arrived >= count:
                return looks
            if process.poll() is not None:
                arrived = f"{looks[-1].arrived} of {count} messages"
                raise RuntimeError(f"ended with {process.returncode} after {arrived}")
            await asyncio.sleep(POLL_SECONDS)
        moved = f"{looks[-1].arrived} of {count} messages within {DEADLINE_SECONDS:g} s"
        raise RuntimeError(f"moved {moved}")

    async def _look(self, pid: int, targets: Sequence[str]) -> Look:
        declared = [await self.channel.queue_declare(queue, passive=True) for queue in targets]
        now = time.perf_counter()
        own_cpu, rss_mb = usage(pid)
        trees = {"broker": self.broker.pid, "collector": self.collector.pid}
        if self.postgresql is not None:
            trees["database"] = self.postgresql.pid
        others = {who: usage(tree)[0] for who, tree in trees.items() if tree is not None}
        cpu = {"worker": own_cpu, **others, "idle": _idle_seconds()}
        return Look(now, sum(each.message_count or 0 for each in declared), cpu, rss_mb)


def _idle_seconds() -> float:
    """How long all cores together have had nothing to do, or waited for a disk, since the start."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / TICKS_PER_SECOND


def _round(looks: Sequence[Look], count: int, spans: int) -> Round:
    """Read the part of the looks that counts."""
    inside = [look for look in looks if FROM * count <= look.arrived <= TO * count]
    if not inside or inside[0].arrived == inside[-1].arrived:
        # too few messages for so fast a machine: take what there is
        inside = list(looks[-2:])
    first, last = inside[0], inside[-1]
    seconds = last.at - first.at
    cores = {who: (last.cpu[who] - first.cpu[who]) / seconds for who in last.cpu}
    return Round((last.arrived - first.arrived) / seconds, cores, max(look.rss_mb for look in looks), spans)


@asynccontextmanager
async def open_rig(*, postgresql: bool) -> AsyncIterator[Rig]:
    """Start everything for the block, a PostgreSQL server only where it is asked for."""
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(LocalBroker())
        server = stack.enter_context(LocalPostgresql()) if postgresql else None
        collector = stack.enter_context(collecting())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        no_work = {one.name: one.command() for one in await relays(broker, folder)}
        connection = await aiormq.connect(broker.url)
        stack.push_async_callback(connection.close)
        feeder = await stack.enter_async_context(feeding(broker.url))
        yield Rig(broker, server, collector, feeder, await connection.channel(), folder, no_work.get(C_RELAY))
