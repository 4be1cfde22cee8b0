"""A worker process's life: its queues are consumed until it is told to stop, by the rules in force."""

import asyncio
import math
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from worker.amqp.connection import Broker, connected
from worker.amqp.declaring import declare, verify
from worker.amqp.topology import Topology, build_topology
from worker.assembling import Shared
from worker.breaker import Breakers, State
from worker.consumer import Consumer, until_stopped
from worker.journal.opening import open_journal
from worker.journal.protocol import Journal
from worker.planning import Planner
from worker.plugins.calls import Caller
from worker.retry import RetryPolicies, RetryPolicy, retry_connecting
from worker.retry_settings import CodePolicy
from worker.routing import RuleTable
from worker.settings import Settings
from worker.source import names_of, sources_of
from worker.telemetry.logs import Log, get_log
from worker.telemetry.tracing import Tracer

RETURNED_PREFETCH: Final = 100


def broker_of(settings: Settings) -> Broker:
    """Return where the broker is, from the settings."""
    first, *others = settings.amqp_urls
    return Broker(first, settings.heartbeat, settings.connect_timeout, tuple(others))


def topology_of(settings: Settings, table: RuleTable) -> Topology:
    """Return what must exist on the broker for these settings and rules."""
    return _topology(settings, [processor.exchange for processor in table.processors.values()])


def _topology(settings: Settings, processor_exchanges: Sequence[str]) -> Topology:
    return build_topology(
        names_of(settings), settings.every_delay, processor_exchanges, settings.delivery_limit
    )


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


async def prepare_topology(
    settings: Settings, table: RuleTable, *, processors: bool = True, starting: bool = True
) -> None:
    """Declare or verify the topology, as the settings say, over a connection of its own.

    Without ``processors`` only the worker's own objects are verified: one processor that is missing does not
    stop the payments of others. A worker that is not ``starting`` goes on beside shards of later settings.

    Raises:
        BrokerUnavailable, AccessRefused, TopologyMismatch: in words for people.
    """
    topology = topology_of(settings, table)
    if settings.topology == "verify" and not processors:
        topology = _topology(settings, ())
    if not starting:
        topology = replace(topology, beyond=None)
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
    _shared: Shared = field(init=False)
    _consumers: list[Consumer] = field(init=False)
    _preparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _prepared: float = -math.inf

    def __post_init__(self) -> None:
        settings = self.settings
        self.breakers = Breakers(self._report_breaker)
        self.breakers.use(self.table.processors.values())
        self._shared = Shared(
            settings,
            broker_of(settings),
            policies_of(settings),
            Planner(self.table),
            self.tracer,
            self.log,
            self.counts,
            self.breakers,
            Caller(self.log),
            self.stop,
            self._prepare,
            self._mend,
        )
        name = f"payment-worker {os.getpid()}"
        work, returned, crashed = sources_of(names_of(settings), settings.ordered_by)
        few = min(RETURNED_PREFETCH, settings.prefetch)
        self._consumers = [
            *(
                Consumer(self._shared, source, name, settings.shard_prefetch, main=source is work[0])
                for source in work
            ),
            Consumer(self._shared, returned, f"{name} returned", few, main=False),
            Consumer(self._shared, crashed, f"{name} crashed", 1, main=False),
        ]

    async def run(self) -> None:
        """Consume until ``stop`` is set.

        Raises:
            ConfigurationError: a later session found the broker changed so that it must not go on.
            InvariantViolation: a bug; the worker must not go on.
        """
        opening = retry_connecting(self._open_journal, self._report_no_journal)
        self._shared.journal = await until_stopped(opening, self.stop)
        running = [asyncio.create_task(consumer.run()) for consumer in self._consumers]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
            self.stop.set()
            await asyncio.wait(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            self._shared.plugins.close()
            if self._shared.journal is not None:
                await self._shared.journal.close()
        for task in running:
            task.result()
        self.log.info("worker stopped", counts=dict(self.counts))

    async def use(self, table: RuleTable) -> None:
        """Put another rule table in force, between two batches.

        Raises:
            BrokerUnavailable, AccessRefused, TopologyMismatch: new processors' exchanges cannot be prepared.
        """
        await prepare_topology(self.settings, table, starting=False)
        self.table, self._shared.planner = table, Planner(table)
        self.breakers.use(table.processors.values())
        for consumer in self._consumers:
            consumer.use(self._shared.planner)

    async def _prepare(self, since: float) -> None:
        """Prepare the topology unless that was begun since then, for another of the queues."""
        async with self._preparing:
            if self._prepared < since:
                begun = time.monotonic()
                await prepare_topology(self.settings, self.table, processors=False, starting=False)
                self._prepared = begun

    async def _mend(self) -> None:
        await prepare_topology(self.settings, self.table, starting=False)

    async def _open_journal(self) -> Journal | None:
        owner = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
        return await open_journal(self.settings.journal_address, owner, self.settings.journal_lease)

    def _report_no_journal(self, error: BaseException, wait_seconds: float) -> None:
        self.log.warning("no session", reason=str(error), retry_in_seconds=round(wait_seconds, 2))

    def _report_breaker(self, processor: str, state: State) -> None:
        say = self.log.info if state is State.CLOSED else self.log.warning
        say("circuit breaker", processor=processor, state=state.value)
