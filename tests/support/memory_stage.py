"""A stage in memory for one test: queues laid out like the real topology, and a pipeline on them."""

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson

from tests.support.journals import FINGERPRINTS
from tests.support.memory_lane import MemoryBroker, MemoryLane, Stored
from tests.support.payments import NOW, rule_table
from worker.amqp.lane import Properties
from worker.breaker import Breakers
from worker.claiming import Claims, JournalClaims, NoClaims
from worker.envelope import Envelopes
from worker.journal.protocol import Journal
from worker.lines import Bounds
from worker.next_step import NextSteps
from worker.pipeline import Limits, Pipeline
from worker.planning import Planner
from worker.plugins.calls import Caller
from worker.report import Reporter
from worker.retry import RetryPolicies, RetryPolicy
from worker.source import Source, Survivals
from worker.telemetry.logs import get_log
from worker.telemetry.tracing import PassingTracer

SOON = 10.0
DELAYS = (1.0, 5.0)
_COMMON = ("payments", "payments.return")
INCOMING = Source("in", *_COMMON, "in", "returned", "in.crashed")
RETURNED = Source("returned", *_COMMON, "in", "returned", "returned.crashed", "returned")
CRASHED = Source("crashed", *_COMMON, "crashed", "returned", None, "returned.crashed")


class MemoryStage:
    """A memory broker with the queues ``in``, ``alpha``, ``beta``, ``dead`` and ``delay.SECONDS``.

    ``make`` makes another pipeline after a change of what it is made of.
    """

    def __init__(
        self,
        in_process_seconds: float = 0.0,
        delays: tuple[float, ...] = DELAYS,
        planner: Any = None,
        plugins: Caller | None = None,
        source: Source = INCOMING,
    ) -> None:
        names = ["in", "alpha", "beta", "dead", *(f"delay.{seconds:g}" for seconds in delays)]
        self.broker = MemoryBroker({name: deque() for name in names}, {name: name for name in names})
        self.broker.queues |= {"returned": deque(), "crashed": deque()}
        returns = {"in": "in", "in.crashed": "crashed", "returned.crashed": "crashed", "crashed": "crashed"}
        self.broker.bindings["payments.return"] = returns
        self.policies = RetryPolicies(RetryPolicy(in_process_seconds, delays))
        self.breakers = Breakers(lambda *_: None)
        self.planner = planner or Planner(rule_table())
        self.plugins = plugins or Caller()
        self.claims: Claims = NoClaims()
        self.now = NOW
        self.source = source
        self.survivals = Survivals()
        self.lane = MemoryLane(self.broker, source.queue, prefetch=50)
        self.counts: Counter[str] = Counter()
        self._ids = itertools.count(1)
        self.pipeline = self.make()

    def make(self) -> Pipeline:
        """Return a pipeline of what the stage has now."""
        return Pipeline(
            lane=self.lane,
            planner=self.planner,
            envelopes=Envelopes(lambda: f"m-{next(self._ids)}", "dead", self.source.return_to),
            steps=NextSteps(self.policies, self.breakers, lambda: self.now, asyncio.get_running_loop().time),
            tracer=PassingTracer(),
            log=get_log(),
            reporter=Reporter(self.counts, get_log(), each_dispatch=True),
            limits=Limits(max_batch=10, max_message_bytes=10_000, bounds=Bounds(100, 50_000), max_apart=50),
            now=lambda: self.now,
            delay_exchange=lambda seconds: f"delay.{seconds:g}",
            source=self.source,
            plugins=self.plugins,
            claims=self.claims,
            survivals=self.survivals,
        )

    def open(self) -> None:
        """Go on with a new worker, on the source of now."""
        self.lane = MemoryLane(self.broker, self.source.queue, prefetch=50)
        self.counts.clear()
        self.pipeline = self.make()

    def remember(self, journal: Journal) -> None:
        """Go on with a new worker that has a journal."""
        steps = NextSteps(self.policies, self.breakers, lambda: self.now, asyncio.get_running_loop().time)
        self.claims = JournalClaims(journal, FINGERPRINTS, steps)
        self.open()

    def put(self, message: bytes, redelivered: bool = False, **properties: Any) -> None:
        """Publish a message as a producer does."""
        self.broker.queues["in"].append(
            Stored(message, Properties(**properties), "payments", "card.eur", redelivered)
        )

    def come_back(self, delayed: Stored) -> None:
        """Let a delay end, as the broker does."""
        self.broker.queues["in"].append(Stored(delayed.body, delayed.properties, "payments.return", "in"))

    def arrive(self, stored: Stored, exchange: str, routing_key: str, times_back: int = 0) -> None:
        """Let a message lie in the queue that is consumed, after it has come back so often."""
        one = Stored(stored.body, stored.properties, exchange, routing_key)
        for _ in range(times_back):
            one.come_back()
        self.broker.queues[self.source.queue].append(one)

    def queue(self, name: str) -> list[Stored]:
        """Return the messages of a queue, the oldest first."""
        return list(self.broker.queues[name])

    def ids(self, name: str) -> list[str]:
        """Return the ids of the payments in a queue, sorted."""
        return sorted(orjson.loads(one.body)["payment_id"] for one in self.queue(name))

    def headers(self, name: str) -> dict[str, Any]:
        """Return the headers of the one message in a queue."""
        (one,) = self.queue(name)
        return dict(one.properties.headers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the pipeline meanwhile; leave when it has drained."""
        task = asyncio.ensure_future(self.pipeline.run())
        try:
            yield
            await self.lane.stop_intake()
            await asyncio.wait_for(task, SOON)
        finally:
            task.cancel()

    async def until(self, condition: Callable[[], object]) -> None:
        """Poll until the condition holds; fail when the time is over."""
        async with asyncio.timeout(SOON):
            while not condition():
                await asyncio.sleep(0.005)

    async def drain(self, count: int) -> None:
        """Run until so many payments have an outcome, and check that nothing stays unsettled."""
        async with self.running():
            await self.until(lambda: self.counts.total() >= count)
        assert not self.lane.unacked
