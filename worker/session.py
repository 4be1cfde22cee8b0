"""A worker process's life: one session after another, until it is told to stop.

A session is a lane and its pipeline. Anything unexpected ends the whole session; the next one starts afresh,
and the broker delivers again what was not acknowledged. Nothing half-dead is repaired.
"""

import asyncio
import itertools
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, TypeVar

from yarl import URL

from worker.amqp.connection import Broker, connected
from worker.amqp.lane import Lane
from worker.amqp.standard import StandardLane
from worker.amqp.tapped import TapLane
from worker.amqp.topology import Names, Topology, build_topology, declare, verify
from worker.announcing import Announcer
from worker.breaker import Breakers, State
from worker.claiming import Claims, JournalClaims, NoClaims
from worker.envelope import Envelopes
from worker.errors import BrokerUnavailable, WorkerError
from worker.journal.fingerprint import Fingerprints
from worker.journal.opening import open_journal, open_outbox
from worker.journal.protocol import Journal
from worker.next_step import NextSteps
from worker.pipeline import Limits, Pipeline
from worker.planning import Planner
from worker.plugins.calls import Caller
from worker.report import Reporter
from worker.retry import RetryPolicies, RetryPolicy, retry_connecting
from worker.retry_settings import CodePolicy
from worker.routing import RuleTable
from worker.settings import Settings
from worker.telemetry.logs import Log, get_log
from worker.telemetry.tracing import Tracer

MEND_SECONDS: Final = 1.0
"""Shortest time between two declarations of what was found missing."""

AnyLane: TypeAlias = TapLane | StandardLane
T = TypeVar("T")


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def broker_of(settings: Settings) -> Broker:
    """Return where the broker is, from the settings."""
    return Broker(URL(settings.amqp_url.get_secret_value()), settings.heartbeat, settings.connect_timeout)


def topology_of(settings: Settings, table: RuleTable) -> Topology:
    """Return what must exist on the broker for these settings and rules."""
    exchanges = [processor.exchange for processor in table.processors.values()]
    return build_topology(settings.prefix, settings.every_delay, exchanges, settings.delivery_limit)


def policies_of(settings: Settings) -> RetryPolicies:
    """Return when failed attempts are tried again, from the settings."""
    common = RetryPolicy(settings.retry_in_process, settings.delay_steps)

    def policy(own: CodePolicy) -> RetryPolicy:
        return RetryPolicy(
            common.in_process_seconds if own.in_process is None else own.in_process,
            common.delays if own.delays is None else own.delays,
            own.attempts,
        )

    return RetryPolicies(common, {code: policy(own) for code, own in settings.retry_policies.items()})


async def prepare_topology(settings: Settings, table: RuleTable, *, processors: bool = True) -> None:
    """Declare or verify the topology, as the settings say, over a connection of its own.

    Without ``processors`` only the worker's own objects are verified: one processor that is missing does not
    stop the payments of others.

    Raises:
        BrokerUnavailable, AccessRefused, TopologyMismatch: in words for people.
    """
    topology = topology_of(settings, table)
    if settings.topology == "verify" and not processors:
        topology = build_topology(settings.prefix, settings.every_delay, (), settings.delivery_limit)
    async with connected(broker_of(settings), "payment-worker topology") as connection:
        await (declare if settings.topology == "declare" else verify)(connection, topology)


@dataclass(slots=True)
class Worker:
    """One process's work. ``stop`` asks it to finish what is in flight and return."""

    settings: Settings
    table: RuleTable
    tracer: Tracer
    log: Log = field(default_factory=get_log)
    counts: Counter[str] = field(default_factory=Counter)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    breakers: Breakers = field(init=False)
    _plugins: Caller = field(init=False)
    _pipeline: Pipeline | None = None
    _name: str = field(default_factory=lambda: f"payment-worker {os.getpid()}")
    _journal: Journal | None = None

    def __post_init__(self) -> None:
        self._plugins = Caller(self.log)
        self.breakers = Breakers(self._report_breaker)
        self.breakers.use(self.table.processors.values())

    async def run(self) -> None:
        """Run sessions until ``stop`` is set.

        Raises:
            ConfigurationError: a later session found the broker changed so that it must not go on.
            InvariantViolation: a bug; the worker must not go on.
        """
        self._journal = await self._until_stopped(
            retry_connecting(self._open_journal, self._report_connect_failure)
        )
        while not self.stop.is_set():
            lane = await self._until_stopped(retry_connecting(self._open, self._report_connect_failure))
            if lane is None:
                break
            self.log.info(
                "session started", broker=self.settings.broker, queue=Names(self.settings.prefix).incoming
            )
            try:
                await self._run_session(lane)
            except BrokerUnavailable as error:
                self.log.warning("session ended", reason=str(error), counts=dict(self.counts))
            finally:
                await lane.close()
        self._plugins.close()
        if self._journal is not None:
            await self._journal.close()
        self.log.info("worker stopped", counts=dict(self.counts))

    async def use(self, table: RuleTable) -> None:
        """Put another rule table in force, between two batches.

        Raises:
            BrokerUnavailable, AccessRefused, TopologyMismatch: new processors' exchanges cannot be prepared.
        """
        await prepare_topology(self.settings, table)
        self.table = table
        self.breakers.use(table.processors.values())
        if self._pipeline is not None:
            self._pipeline.use(Planner(table))

    async def _open_journal(self) -> Journal | None:
        owner = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
        return await open_journal(self.settings.journal_address, owner, self.settings.journal_lease)

    async def _open(self) -> AnyLane:
        await prepare_topology(self.settings, self.table, processors=False)
        settings = self.settings
        lane: type[AnyLane] = TapLane if settings.lane == "tap" else StandardLane
        return await lane.open(
            broker_of(settings),
            self._name,
            Names(settings.prefix).incoming,
            settings.prefetch,
            settings.confirm_timeout,
        )

    def _report_connect_failure(self, error: BaseException, wait_seconds: float) -> None:
        self.log.warning("no session", reason=str(error), retry_in_seconds=round(wait_seconds, 2))

    def _report_breaker(self, processor: str, state: State) -> None:
        say = self.log.info if state is State.CLOSED else self.log.warning
        say("circuit breaker", processor=processor, state=state.value)

    async def _mend(self, lane: AnyLane) -> None:
        """Say which exchanges are missing, and declare them again where the topology is ours."""
        while True:
            missing = sorted(await lane.missing_exchanges())
            self.log.error(
                "exchange is missing", exchanges=missing, declares=self.settings.topology == "declare"
            )
            if self.settings.topology == "declare":
                try:
                    await prepare_topology(self.settings, self.table)
                except WorkerError as error:
                    self.log.error("topology not mended", code=error.code, reason=str(error))  # noqa: TRY400
            await asyncio.sleep(MEND_SECONDS)

    async def _run_session(self, lane: AnyLane) -> None:
        self._pipeline = self._make_pipeline(lane)
        pipeline = asyncio.create_task(self._pipeline.run())
        stopping = asyncio.create_task(self.stop.wait())
        mending = asyncio.create_task(self._mend(lane))
        announcer = self._make_announcer(lane)
        announcing = None if announcer is None else asyncio.create_task(announcer.run())
        try:
            await asyncio.wait({pipeline, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not pipeline.done():
                self.log.info("draining", deadline_seconds=self.settings.drain_timeout)
                await self._drain(pipeline, lane)
            await pipeline
        finally:
            stopping.cancel()
            pipeline.cancel()
            mending.cancel()
            if announcer is not None and announcing is not None:
                announcer.stop.set()  # cancelled while it sends, it would end the lane before its last acks
                await asyncio.wait({announcing}, timeout=self.settings.drain_timeout)

    async def _drain(self, pipeline: "asyncio.Task[None]", lane: Lane) -> None:
        """Stop the intake and wait for what is in flight, for at most the drain timeout."""
        try:
            async with asyncio.timeout(self.settings.drain_timeout):
                await lane.stop_intake()
                await asyncio.wait({pipeline})
        except TimeoutError:
            pipeline.cancel()
            await asyncio.wait({pipeline})
            raise BrokerUnavailable(
                f"not everything in flight was finished within {self.settings.drain_timeout:g} s;"
                " the broker delivers the rest again"
            ) from None

    async def _until_stopped(self, opening: Coroutine[Any, Any, T]) -> T | None:
        opener = asyncio.create_task(opening)
        stopping = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({opener, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if opener.done():
                return opener.result()
            opener.cancel()
            await asyncio.wait({opener})
            return None
        finally:
            stopping.cancel()

    def _make_announcer(self, lane: Lane) -> Announcer | None:
        """Return what publishes events, where there are to be any."""
        settings = self.settings
        if settings.events == "off":
            return None
        outbox = open_outbox(settings.journal_address, f"{self._name} {secrets.token_hex(4)}")
        if outbox is None:
            return None
        return Announcer(outbox, lane, Names(settings.prefix).events, utc_now, self.log)

    def _make_pipeline(self, lane: Lane) -> Pipeline:
        settings, names = self.settings, Names(self.settings.prefix)
        steps = NextSteps(policies_of(settings), self.breakers, utc_now, time.monotonic)
        claims: Claims = NoClaims()
        if self._journal is not None:
            own = settings.journal_fingerprint_key
            key = self._journal.fingerprint_key if own is None else own.get_secret_value().encode()
            claims = JournalClaims(self._journal, Fingerprints(key), steps)
        identity, numbers = secrets.token_hex(8), itertools.count(1)
        return Pipeline(
            lane=lane,
            planner=Planner(self.table),
            envelopes=Envelopes(lambda: f"{identity}-{next(numbers)}", names.dead, names.incoming),
            steps=steps,
            tracer=self.tracer,
            log=self.log,
            reporter=Reporter(self.counts, self.log, settings.log_level == "debug"),
            limits=Limits(settings.max_batch, settings.max_message_bytes),
            now=utc_now,
            delay_exchange=names.delay,
            queue=names.incoming,
            returns=names.returns,
            plugins=self._plugins,
            claims=claims,
        )
