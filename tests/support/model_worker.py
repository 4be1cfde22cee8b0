"""A worker process for the model of the pipeline: real but for broker, clock and journal."""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from tests.support.journals import FINGERPRINTS
from tests.support.jumping_loop import JumpingLoop
from tests.support.model_broker import DEAD, RETURNS, SET_ASIDE, ModelBroker, ModelLane
from tests.support.payments import NOW
from worker.breaker import Breakers
from worker.claiming import Claims, JournalClaims, NoClaims
from worker.envelope import Envelopes
from worker.errors import BrokerUnavailable, JournalUnavailable
from worker.gate import Gate
from worker.journal.memory import MemoryJournal
from worker.journal.protocol import Amendment, Claim, Done, Ending, Intent
from worker.lines import Bounds
from worker.next_step import NextSteps
from worker.pipeline import Limits, Pipeline
from worker.planning import Planner
from worker.report import Reporter
from worker.retry import RetryPolicies, RetryPolicy
from worker.routing import RuleTable
from worker.source import Source, Survivals
from worker.telemetry.tracing import PassingTracer

_COMMON: Final = ("payments", RETURNS)
SOURCES: Final = {
    "in": Source("in", *_COMMON, "in", "returned", SET_ASIDE),
    "crashed": Source("crashed", *_COMMON, "crashed", "returned", None, "returned.crashed"),
}
PREFETCH: Final = {"in": 5, "crashed": 1}
POLICIES: Final = RetryPolicies(RetryPolicy(0.5, (1.0, 5.0, 30.0)))
LEASE_SECONDS: Final = 20.0
SILENT: Final = structlog.wrap_logger(
    structlog.ReturnLogger(), wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
)


@dataclass(slots=True)
class ModelJournal(MemoryJournal):
    """A journal that can be away, before or after it has done what it is asked, and die with its process."""

    away: bool = False
    dead: bool = False

    async def claim(self, intents: Sequence[Intent], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        await self._turn()
        claims = await MemoryJournal.claim(self, intents, now)
        await self._turn()
        return claims

    async def amend(self, amendments: Sequence[Amendment], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        await self._turn()
        claims = await MemoryJournal.amend(self, amendments, now)
        await self._turn()
        return claims

    async def record(self, endings: Sequence[Ending], now: datetime) -> None:
        """See ``Journal``."""
        await self._turn()
        await MemoryJournal.record(self, endings, now)
        await self._turn()

    async def find(self, payment_ids: Sequence[str], now: datetime) -> Sequence[Done | None]:
        """See ``Journal``."""
        await self._turn()
        return await MemoryJournal.find(self, payment_ids, now)

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if self.dead:
            await asyncio.get_running_loop().create_future()
        if self.away:
            raise JournalUnavailable("the model wants it so")


@dataclass(slots=True)
class Session:
    """One queue's lane and pipeline."""

    lane: ModelLane
    pipeline: Pipeline
    running: "asyncio.Task[None]"

    def failure(self) -> BaseException | None:
        """Return what has ended it, unless that was the connection."""
        if not self.running.done() or self.running.cancelled():
            return None
        error = self.running.exception()
        return None if isinstance(error, BrokerUnavailable) else error


@dataclass(slots=True)
class ModelProcess:
    """A process with both its queues' sessions, which follow one another like a ``Consumer``'s."""

    loop: JumpingLoop
    broker: ModelBroker
    table: RuleTable
    journal: ModelJournal | None
    sessions: dict[str, Session] = field(default_factory=dict)
    _breakers: Breakers = field(default_factory=lambda: Breakers(lambda *_: None))
    _gate: Gate = field(default_factory=Gate)
    _survivals: dict[str, Survivals] = field(default_factory=lambda: {name: Survivals() for name in SOURCES})
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._breakers.use(self.table.processors.values())
        self.open()

    @property
    def lanes(self) -> list[ModelLane]:
        """The lanes of the sessions of now."""
        return [session.lane for session in self.sessions.values()]

    def open(self) -> None:
        """Begin a session of each queue whose last one is over."""
        for name, source in SOURCES.items():
            last = self.sessions.get(name)
            if last is None or (last.running.done() and last.lane.ended is not None):
                lane = ModelLane(self.broker, name, PREFETCH[name])
                pipeline = self._pipeline(source, lane)
                self.sessions[name] = Session(lane, pipeline, self.loop.create_task(pipeline.run()))

    def use(self, table: RuleTable) -> None:
        """Take other rules."""
        self.table = table
        self._breakers.use(table.processors.values())
        for session in self.sessions.values():
            session.pipeline.use(Planner(table))

    def die(self) -> None:
        """End at once, in the middle of everything."""
        if self.journal is not None:
            self.journal.dead = True
        for session in self.sessions.values():
            session.lane.die()
            session.running.cancel()
            for task in session.pipeline._tasks:
                task.cancel()
        for session in self.sessions.values():
            self.loop.run_until_complete(asyncio.wait({session.running, *session.pipeline._tasks}))

    def _pipeline(self, source: Source, lane: ModelLane) -> Pipeline:
        steps = NextSteps(POLICIES, self._breakers, self._now, self.loop.time)
        claims: Claims = NoClaims()
        if self.journal is not None:
            claims = JournalClaims(self.journal, FINGERPRINTS, steps)
        return Pipeline(
            lane=lane,
            planner=Planner(self.table),
            envelopes=Envelopes(lambda: f"m-{next(self._ids)}", DEAD, source.return_to),
            steps=steps,
            tracer=PassingTracer(),
            log=SILENT,
            reporter=Reporter(Counter(), SILENT, each_dispatch=True),
            limits=Limits(3, 10_000, Bounds(100, 50_000), batches=2),
            now=self._now,
            delay_exchange=lambda seconds: f"delay.{seconds:g}",
            source=source,
            claims=claims,
            gate=self._gate,
            survivals=self._survivals[source.queue],
        )

    def _now(self) -> datetime:
        return NOW + timedelta(seconds=self.loop.time())
