"""The demo: real worker processes on a private broker, watched live, with books that must balance.

The demo plays both neighbours. As the gateway it publishes payments, some of them bad; as every processor's
connector it consumes the dispatches and enters them into its books. In between it kills one worker process
with SIGKILL, to show what that costs: nothing.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from aiormq.abc import AbstractConnection, ConsumerCallback, DeliveredMessage
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from yarl import URL

from schemas import dead_letter
from worker.amqp.connection import Broker, connected
from worker.amqp.declaring import depth
from worker.amqp.publisher import publish_all
from worker.amqp.topology import Names
from worker.commands.publish import read_messages
from worker.demo_report import NEXT, show_journal, show_report
from worker.errors import BrokerUnavailable
from worker.generate import generate
from worker.journal.address import SqliteFile
from worker.plugins.registry import Registry
from worker.rules_file import load_rules
from worker.session import prepare_topology
from worker.settings import Settings, load_settings
from worker.source import names_of
from worker.tally import Tally

DEADLINE_SECONDS = 150.0
STALLED_SECONDS = 45.0
FRAMES_PER_SECOND = 4


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What to play."""

    payments: int
    processes: int
    bad_share: float
    seed: int
    kill: bool
    rules: tuple[Path, ...]


@dataclass(slots=True)
class Demo:
    """One performance on the broker at ``url``."""

    plan: DemoPlan
    url: str
    tally: Tally = field(default_factory=Tally)
    console: Console = field(default_factory=Console)
    published: int = 0
    waiting: int = 0
    note: str = ""
    seconds: float = 0.0

    async def run(self) -> bool:
        """Play it and return whether every payment is accounted for."""
        settings = load_settings(amqp_url=self.url, rules=self.plan.rules, processes=self.plan.processes)
        table = load_rules(settings.rules, settings.overlays, catalogue=Registry.of(settings.plugins))
        await prepare_topology(settings, table)
        with (
            tempfile.TemporaryDirectory(prefix="payment-worker-demo-") as folder,
            tempfile.TemporaryFile() as log,
        ):
            journal = SqliteFile(Path(folder) / "journal.db")
            worker = await self._start_worker(log.fileno(), journal)
            try:
                await self._stream(settings, {p.exchange: p.name for p in table.processors.values()}, worker)
            except BrokerUnavailable as error:
                self.tally.problems.append(str(error))
            code = await _stop(worker)
            if code != 0 or not self.tally.balanced:
                log.seek(0)
                self.console.print(
                    Text("the worker's log ends with:\n" + log.read()[-4000:].decode(errors="replace"))
                )
            show_report(self.console, self.tally, self.seconds, code)
            audited = show_journal(self.console, self.tally, journal)
        self.console.print(Text(NEXT))
        return self.tally.balanced and code == 0 and audited

    async def _start_worker(self, log: int, journal: SqliteFile) -> asyncio.subprocess.Process:
        options = ["--amqp-url", self.url, "--processes", str(self.plan.processes)]
        options += ["--journal", f"sqlite:///{journal.path}"]
        for path in self.plan.rules:
            options += ["--rules", str(path)]
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "worker", "run", *options, stderr=log, stdout=log, start_new_session=True
        )

    async def _stream(
        self, settings: Settings, inboxes: dict[str, str], worker: asyncio.subprocess.Process
    ) -> None:
        broker = Broker(URL(self.url), settings.heartbeat, settings.connect_timeout)
        names = names_of(settings)
        started = time.monotonic()
        async with (
            connected(broker, "demo gateway") as gateway,
            connected(broker, "demo processors") as processors,
            connected(broker, "demo operator") as operator,  # not behind the processors' deliveries
        ):
            for exchange, processor in inboxes.items():
                await _consume(processors, f"{exchange}.inbox", self._received(processor))
            dead = await processors.channel()  # no prefetch, no acks: dead letters stay in their queue
            await dead.basic_consume(names.dead, self._died)
            publishing = asyncio.create_task(self._publish(gateway, names.exchange))
            try:
                with Live(console=self.console, auto_refresh=False) as live:
                    await self._watch(operator, names, worker, live, started)
            finally:
                publishing.cancel()
            self.seconds = time.monotonic() - started

    async def _publish(self, gateway: AbstractConnection, exchange: str) -> None:
        def lines() -> Iterable[bytes]:
            for body in generate(self.plan.payments, self.plan.seed, self.plan.bad_share):
                self.tally.send(body)
                yield body

        def confirmed(more: int) -> None:
            self.published += more

        failures = await publish_all(gateway, exchange, read_messages(lines(), lambda _: None), confirmed)
        self.tally.problems += [
            f"payment {failure.message.numbers[0]} was not published: {failure.reason}"
            for failure in failures
        ]

    def _received(self, processor: str) -> ConsumerCallback:
        async def received(message: DeliveredMessage) -> None:
            self.tally.dispatched(processor, message.body)

        return received

    async def _died(self, message: DeliveredMessage) -> None:
        headers = message.header.properties.headers or {}
        self.tally.dead(str(headers.get(dead_letter.ERROR_CODE)), message.body)

    async def _watch(
        self,
        connection: AbstractConnection,
        names: Names,
        worker: asyncio.subprocess.Process,
        live: Live,
        started: float,
    ) -> None:
        """Draw the state a few times a second until all is done, nothing moves, or the worker is gone."""
        moved_at, moved = time.monotonic(), -1
        killed = not self.plan.kill
        while time.monotonic() - started < DEADLINE_SECONDS:
            self.waiting = sum([await depth(connection, queue) for queue in names.work])
            self.seconds = time.monotonic() - started
            live.update(self._picture(), refresh=True)
            accounted = self.tally.accounted
            if accounted >= self.plan.payments:
                return
            if worker.returncode is not None:
                raise BrokerUnavailable(f"the worker ended early, with exit code {worker.returncode}")
            if not killed and accounted > self.plan.payments // 3:
                killed = self._kill_one(worker.pid)
            if accounted != moved:
                moved_at, moved = time.monotonic(), accounted
            elif time.monotonic() - moved_at > STALLED_SECONDS:
                return
            await asyncio.sleep(1 / FRAMES_PER_SECOND)

    def _kill_one(self, supervisor: int) -> bool:
        """SIGKILL one worker process; the supervisor starts another and the broker delivers again."""
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children")
        try:
            pids = [int(pid) for pid in children.read_text().split()]
            workers = [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            os.kill(workers[0], signal.SIGKILL)
        except (OSError, IndexError):
            return False
        self.note = f"worker process {workers[0]} was killed with SIGKILL; what it held is delivered again"
        return True

    def _picture(self) -> RenderableType:
        done = self.tally.accounted
        table = Table("where", "payments", "", box=None, pad_edge=False)
        table.columns[1].justify = "right"
        rows = [("published", self.published), ("waiting in the broker", self.waiting)]
        rows += sorted(self.tally.by_processor.items())
        rows.append(("dead letters", self.tally.by_code.total()))
        for name, count in rows:
            table.add_row(
                name, f"{count:,}", ProgressBar(total=self.plan.payments, completed=count, width=40)
            )
        rate = done / self.seconds if self.seconds else 0
        line = (
            f"{done:,} of {self.plan.payments:,} accounted for, {self.seconds:.1f} s, {rate:,.0f} payments/s"
        )
        return Group(table, Text(line), Text(self.note, style="yellow"))


async def _consume(connection: AbstractConnection, queue: str, callback: ConsumerCallback) -> None:
    """Consume a queue as a connector does, but without acknowledgements: the demo's books are its end."""
    channel = await connection.channel(publisher_confirms=False)
    await channel.basic_consume(queue, callback, no_ack=True)


async def _stop(worker: asyncio.subprocess.Process) -> int:
    """Ask the worker to drain and return its exit code."""
    if worker.returncode is None:
        worker.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(40):
                return await worker.wait()
        except TimeoutError:
            worker.kill()
    return await worker.wait()
