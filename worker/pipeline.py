"""One batch of deliveries after another, from bytes to settled.

The pipeline never waits for a batch to fill: it takes whatever has arrived while earlier batches were in
flight. A message that carries many payments is taken apart first, so that a batch is always about as many
payments. A payment passes the same steps in every batch: take, open (decode and plan), claim, send, record,
settle. Where a plugin has a say, the payment leaves its batch and goes on as a work of its own once it is
planned. What is sent is the payment's next step: a dispatch to a candidate, a trip through a delay queue, or
a dead letter. Only when the broker has confirmed it, and the journal knows, is the delivery acknowledged;
one that carried many payments with the last of them.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, assert_never

from worker.amqp.lane import Confirmed, Delivery, Lane, Refused, Unknown
from worker.claiming import Claims, NoClaims, Secured
from worker.departing import Departures
from worker.envelope import Envelopes, rfc3339
from worker.errors import (
    BrokerUnavailable,
    ChannelLost,
    ConfigurationError,
    StepOverran,
    TransientError,
    WorkerError,
)
from worker.gate import Gate
from worker.intake import Intake
from worker.lines import Bounds, unpack
from worker.next_step import NextSteps
from worker.ordering import waves
from worker.outcome import Outcome, Released, SetAside
from worker.persisting import persist
from worker.planning import Planner
from worker.plugins.calls import Caller
from worker.report import Reporter
from worker.sending import Sending, outcome_of
from worker.source import Source, Survivals
from worker.telemetry.logs import Log
from worker.telemetry.tracing import Tracer
from worker.work import ToAside, ToAsk, Work

_APART: Final = frozenset((ToAsk, ToAside))


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a pipeline; ``batches`` are in flight at once.

    Nothing is begun while ``max_apart`` payments or more have left their batches, to be tried again or for
    a plugin: the prefetch alone bounds messages, however many payments they carry.
    """

    max_batch: int
    max_message_bytes: int
    bounds: Bounds
    max_apart: int = 1000
    batches: int = 4


@dataclass(slots=True)
class Pipeline:
    """Moves the deliveries of one lane; ``steps`` decides what comes next for each."""

    lane: Lane
    planner: Planner
    envelopes: Envelopes
    steps: NextSteps
    tracer: Tracer
    log: Log
    reporter: Reporter
    limits: Limits
    now: Callable[[], datetime]
    delay_exchange: Callable[[float], str]
    source: Source
    plugins: Caller = field(default_factory=Caller)
    claims: Claims = field(default_factory=NoClaims)
    gate: Gate = field(default_factory=Gate)
    survivals: Survivals = field(default_factory=Survivals)
    _intake: Intake = field(init=False)
    _departures: Departures = field(init=False)
    _slots: asyncio.Semaphore = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _asking: set[asyncio.Task[None]] = field(default_factory=set)
    _broken: BaseException | None = None
    _lost: bool = False
    _apart: int = 0
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(1 if self.source.in_order else self.limits.batches)
        self._count_apart(0)
        self._departures = Departures(
            self.lane,
            Sending(self.envelopes, self.delay_exchange),
            self.now,
            self.limits.bounds,
            self._start,
        )
        self.use(self.planner)

    def use(self, planner: Planner) -> None:
        """Plan the batches taken from now on by another rule table; those in flight keep theirs."""
        self._departures.use(planner.table.processors.values())
        self._intake = Intake(
            planner,
            self.tracer,
            self.log,
            self.source,
            self.limits.max_message_bytes,
            self.limits.bounds,
            self._break,
            self._given_back,
            pins=not self.claims.remembers,
            survivals=self.survivals,
        )

    async def run(self) -> None:
        """Work until the intake stops and everything taken is settled.

        Raises:
            BrokerUnavailable: the lane ended; what was not settled is delivered again.
            ConfigurationError: likewise, and the next lane would end in the same way.
            InvariantViolation: a promise is broken; nothing more is taken.
        """
        ended: WorkerError | None = None
        try:
            while self._broken is None:
                taken = await self.lane.take(self.limits.max_batch)
                if not taken:
                    break
                await self._begin(taken)
        except (BrokerUnavailable, ConfigurationError) as error:
            ended = error
            self._over.set()
            for task in self._asking:
                task.cancel()
        except BaseException:
            for task in self._tasks:
                task.cancel()
            raise
        finally:
            while self._tasks:
                await asyncio.wait(self._tasks)
        if self._broken is not None:
            raise self._broken
        if ended is not None:
            raise ended

    async def _begin(self, taken: Sequence[Delivery]) -> None:
        """Start the batches of what was taken; what is left when the session ends goes back with it."""
        payments = unpack(taken, self.limits.bounds)
        while batch := list(itertools.islice(payments, self.limits.max_batch)):
            await self._slots.acquire()
            await self._room.wait()
            if self._broken is not None or self._lost:
                break
            self._start(self._handle(batch), frees_slot=True)

    def _start(
        self, work: Coroutine[Any, Any, None], *, frees_slot: bool = False, apart: int = 0
    ) -> "asyncio.Task[None]":
        """Run something beside the intake; ``apart`` payments have left their batches for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        self._count_apart(apart)

        def done(finished: asyncio.Task[None]) -> None:
            self._tasks.discard(finished)
            self._count_apart(-apart)
            if frees_slot:
                self._slots.release()
            if not finished.cancelled() and (error := finished.exception()) is not None:
                self._break(error)

        task.add_done_callback(done)
        return task

    def _count_apart(self, more: int) -> None:
        self._apart += more
        (self._room.set if self._apart < self.limits.max_apart else self._room.clear)()

    def _break(self, error: BaseException) -> None:
        """Take nothing more: what is in flight is finished, then ``run`` raises ``error``."""
        if self._broken is None:
            self._broken = error
            self._start(self.lane.stop_intake())

    def _given_back(self, work: Work, processor: str) -> None:
        self.steps.after_return(processor)
        self.reporter.given_back(work, processor)

    async def _handle(self, batch: Sequence[Delivery]) -> None:
        if self.source.aside is None:
            await self.gate.passed()
        now = self.now()
        works = [self._intake.open(delivery, now) for delivery in batch]
        await (self._go_in_order(works) if self.source.in_order else self._go_on(works))

    async def _go_in_order(self, works: Sequence[Work]) -> None:
        """Let no two payments of one order key go at once: the next waits until this one is settled.

        Settled is also what is delayed or set aside: those behind it go on.
        """
        own = asyncio.current_task()
        for wave in waves(works, self._order_key):
            await self._go_on(wave)
            while others := {task for task in self._tasks if task is not own}:  # tries, and plugins asked
                await asyncio.wait(others)

    def _order_key(self, work: Work) -> str | None:
        if work.decoded is None or self.source.ordered_by is None:
            return None
        return getattr(work.decoded.payment, self.source.ordered_by) or ""

    async def _go_on(self, works: list[Work]) -> None:
        """Send what is planned; what waits for a plugin goes on by itself, and what is set aside too."""
        planned = [work for work in works if work.step.__class__ not in _APART]
        if len(planned) < len(works):
            for work in works:
                if isinstance(work.step, ToAsk):
                    self._asking.add(self._start(self._ask(work), apart=1))
            if aside := [work for work in works if isinstance(work.step, ToAside)]:
                self._start(self._set_aside(aside), apart=len(aside))
        await self._advance(planned)

    async def _set_aside(self, works: list[Work]) -> None:
        """Leave no message in two queues when it is taken alone: that may be this process's end."""
        with self.gate.shut():
            await self._advance(works)

    async def _ask(self, work: Work) -> None:
        """Ask plugins until the payment is planned, then send it; what goes wrong costs this payment only."""
        task = asyncio.current_task()
        try:
            while isinstance(work.step, ToAsk):
                answer = await self.plugins.ask(work.step.question)
                self._intake.plan_on(work, work.step, answer)
        except TransientError as error:
            work.failure = work.attempt(rfc3339(self.now()), error.code)
            self.log.debug(
                "plugin has no answer", code=error.code, reason=str(error), payment_id=work.payment_id,
                trace_id=work.trace.trace_id, attempt=work.arrival.attempt, tries=work.tries,
            )  # fmt: skip
            if isinstance(error, StepOverran):  # it has had its time: not again at once
                work.step = self.steps.after_last_try(work)
        except asyncio.CancelledError:
            if self._over.is_set():
                self.reporter.finish(work, Released("the session ended while a plugin was asked"))
            raise
        finally:
            if task is not None:
                self._asking.discard(task)
        await (self._retry([work]) if isinstance(work.step, ToAsk) else self._advance([work]))

    async def _advance(self, works: list[Work]) -> None:
        """Send each payment's next step until every one is settled, waits for a retry, or is released."""
        waiting: list[Work] = []
        self.steps.begin(works)
        while works and (secured := await self._secure(works)) is not None:
            ready, finished = secured
            confirmations = await self._departures.send(ready)
            works = []
            for work, confirmation in zip(ready, confirmations, strict=True):
                match confirmation:
                    case Confirmed():
                        finished.append((work, outcome_of(work)))
                    case Refused():
                        self.reporter.refused(work, confirmation.code, confirmation.reason)
                        (works if self.steps.after_refusal(work, confirmation) else waiting).append(work)
                    case Unknown(again=True):
                        self.reporter.refused(work, ChannelLost.code, confirmation.reason)
                        self.steps.after_loss(work)
                        waiting.append(work)
                    case Unknown():
                        self._lost = True
                        self.reporter.finish(work, Released(confirmation.reason))
                    case _:
                        assert_never(confirmation)
            if finished:
                await self._settle(finished)
        if waiting:
            self._start(self._retry(waiting), apart=len(waiting))

    async def _secure(self, works: Sequence[Work]) -> Secured | None:
        """Claim what is about to be sent; None, with the payments released, where the session ended first."""
        with self._departures.more_coming():
            secured = await persist(lambda: self.claims.secure(works, self.now()), self._over, self.log)
        if secured is None:
            for work in works:
                self.reporter.finish(work, Released("the session ended before the journal knew of it"))
        return secured

    async def _settle(self, finished: Sequence[tuple[Work, Outcome]]) -> None:
        """Record what payments came to, then acknowledge them."""
        recorded = await persist(lambda: self.claims.record(finished, self.now()), self._over, self.log)
        for work, outcome in finished:
            self.steps.after_confirm(outcome)
            self.reporter.finish(
                work, outcome if recorded else Released("the session ended before the journal knew its end")
            )
        if recorded:
            at_once = any(isinstance(outcome, SetAside) for _, outcome in finished)
            tags = [work.delivery.tag for work, _ in finished if work.settles()]
            await self.lane.settle(tags, at_once=at_once)

    async def _retry(self, works: list[Work]) -> None:
        """Wait as the policy says, then try again, or take the step after the last in-process try."""
        seconds = max(self.steps.wait(work) for work in works)
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            now = self.now()
            for work in works:
                if isinstance(work.step, ToAsk):
                    self._intake.plan_anew(work, work.step.decoded, now)
            await self._go_on(works)
        else:
            for work in works:
                self.reporter.finish(work, Released("the session ended before the next try"))
