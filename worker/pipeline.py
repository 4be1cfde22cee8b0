"""One batch of deliveries after another, from bytes to settled.

The pipeline never waits for a batch to fill: it takes whatever has arrived while earlier batches were in
flight. A payment passes the same steps in every batch: take, decode and plan, send, settle. What is sent is
the payment's next step: a dispatch to a candidate, a trip through a delay queue, or a dead letter. Only when
the broker has confirmed it is the delivery acknowledged.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from schemas.dead_letter import Attempt
from worker.amqp.lane import Confirmed, Delivery, Lane, Outgoing, Refused, Unknown
from worker.codec import decode, payment_id_hint
from worker.envelope import Arrival, Envelopes, read_arrival, rfc3339
from worker.errors import (
    BrokerUnavailable,
    InternalError,
    InvariantViolation,
    PermanentError,
    RetriesExhausted,
    TransientError,
)
from worker.outcome import DeadLettered, Delayed, Dispatched, Outcome, Released
from worker.planning import Plan, Planner
from worker.retry import RetryPolicy
from worker.telemetry import attributes as names
from worker.telemetry.logs import Log
from worker.telemetry.tracing import PaymentTrace, Tracer

HELD_BACK_SECONDS = (0.5, 15.0)
"""Shortest and longest wait before a delay or dead-letter queue that refused is tried again."""


@dataclass(frozen=True, slots=True)
class ToProcessor:
    """Next step: dispatch to the plan's candidate with this index."""

    candidate: int


@dataclass(frozen=True, slots=True)
class ToDelay:
    """Next step: wait in the broker, then come back as the next attempt."""

    seconds: float
    failure: Attempt


@dataclass(frozen=True, slots=True)
class ToDead:
    """Next step: the dead-letter queue."""

    error: PermanentError
    attempts: tuple[Attempt, ...]


Step = ToProcessor | ToDelay | ToDead


@dataclass(slots=True)
class Work:
    """One delivery on its way to being settled."""

    delivery: Delivery
    arrival: Arrival
    trace: PaymentTrace
    step: Step
    plan: Plan | None = None
    payment_id: str | None = None
    tries: int = 1
    refused_since: float | None = None
    failure: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a pipeline; ``batches`` are in flight at once."""

    max_batch: int
    max_message_bytes: int
    batches: int = 4


@dataclass(slots=True)
class Pipeline:
    """Moves the deliveries of one lane. ``now`` and ``clock`` (monotonic seconds) are passed in."""

    lane: Lane
    planner: Planner
    envelopes: Envelopes
    policy: RetryPolicy
    tracer: Tracer
    log: Log
    limits: Limits
    now: Callable[[], datetime]
    clock: Callable[[], float]
    delay_exchange: Callable[[float], str]
    queue: str
    counts: Counter[str] = field(default_factory=Counter)
    _slots: asyncio.Semaphore = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _broken: BaseException | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.limits.batches)

    async def run(self) -> None:
        """Work until the intake stops and everything taken is settled.

        Raises:
            BrokerUnavailable: the lane ended; what was not settled is delivered again.
            InvariantViolation: a promise is broken; nothing more is taken.
        """
        ended: BrokerUnavailable | None = None
        try:
            while self._broken is None:
                batch = await self.lane.take(self.limits.max_batch)
                if not batch:
                    break
                await self._slots.acquire()
                self._start(self._handle(batch), frees_slot=True)
        except BrokerUnavailable as error:
            ended = error
            self._over.set()
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

    def _start(self, work: Coroutine[Any, Any, None], *, frees_slot: bool) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)

        def done(finished: asyncio.Task[None]) -> None:
            self._tasks.discard(finished)
            if frees_slot:
                self._slots.release()
            if not finished.cancelled() and (error := finished.exception()) is not None:
                self._break(error)

        task.add_done_callback(done)

    def _break(self, error: BaseException) -> None:
        """Take nothing more: what is in flight is finished, then ``run`` raises ``error``."""
        if self._broken is None:
            self._broken = error
            self._start(self.lane.stop_intake(), frees_slot=False)

    async def _handle(self, batch: Sequence[Delivery]) -> None:
        await self._advance([self._open(delivery) for delivery in batch])

    def _open(self, delivery: Delivery) -> Work:
        """Decode and plan one delivery: its first step is a dispatch or a dead letter."""
        arrival = read_arrival(delivery)
        properties = delivery.properties
        trace = self.tracer.receive(
            properties.headers,
            lambda: {
                names.DESTINATION: f"{arrival.exchange}:{arrival.routing_key}:{self.queue}",
                names.ROUTING_KEY: arrival.routing_key,
                names.DELIVERY_TAG: delivery.tag,
                names.BODY_SIZE: len(delivery.body),
                names.PAYMENT_ATTEMPT: arrival.attempt,
                **({names.MESSAGE_ID: arrival.message_id} if arrival.message_id else {}),
            },
        )
        work = Work(delivery, arrival, trace, ToProcessor(0))
        try:
            decoded = decode(
                delivery.body,
                properties.content_type,
                properties.content_encoding,
                self.limits.max_message_bytes,
            )
            work.payment_id = decoded.payment.payment_id
            work.plan = self.planner.plan(decoded, self.now())
        except PermanentError as error:
            work.step = ToDead(error, (*arrival.attempts, self._attempt(work, error.code, None)))
        except InvariantViolation as error:
            self._break(error)
            work.step = self._dead_by_our_fault(work, error)
        except Exception as error:  # noqa: BLE001 - the one place: a bug costs this payment only, and says so
            work.step = self._dead_by_our_fault(work, error)
        if work.payment_id is None:
            work.payment_id = payment_id_hint(delivery.body)
        return work

    def _dead_by_our_fault(self, work: Work, error: Exception) -> ToDead:
        self.log.error(
            "unexpected error", payment_id=work.payment_id, trace_id=work.trace.trace_id, exc_info=error
        )
        code = error.code if isinstance(error, InvariantViolation) else InternalError.code
        wrapped = InternalError(
            f"{code}: {type(error).__name__} while it was planned; the worker's log has the traceback"
        )
        return ToDead(wrapped, (*work.arrival.attempts, self._attempt(work, code, None)))

    def _attempt(self, work: Work, code: str, processor: str | None) -> Attempt:
        return Attempt(attempt=work.arrival.attempt, at=rfc3339(self.now()), code=code, processor=processor)

    async def _advance(self, works: list[Work]) -> None:
        """Send each payment's next step until every one is settled, waits for a retry, or is released."""
        waiting: list[Work] = []
        while works:
            confirmations = await self.lane.send([self._outgoing(work) for work in works])
            done: list[int] = []
            again: list[Work] = []
            for work, confirmation in zip(works, confirmations, strict=True):
                match confirmation:
                    case Confirmed():
                        self._finish(work, _outcome(work))
                        done.append(work.delivery.tag)
                    case Refused():
                        work.trace.sent(confirmation.code)
                        (again if self._next_candidate(work, confirmation) else waiting).append(work)
                    case Unknown():
                        work.trace.sent(BrokerUnavailable.code)
                        self._finish(work, Released(confirmation.reason))
                    case _:
                        assert_never(confirmation)
            await self.lane.settle(done)
            works = again
        if waiting:
            self._start(self._retry(waiting), frees_slot=False)

    def _next_candidate(self, work: Work, refusal: Refused) -> bool:
        """Move on after a definite refusal; True when there is something to send at once."""
        step = work.step
        if not isinstance(step, ToProcessor) or work.plan is None:
            return False
        processor = work.plan.candidates[step.candidate]
        work.failure = self._attempt(work, refusal.code, processor.name)
        self.log.debug(
            "publish refused", processor=processor.name, code=refusal.code, reason=refusal.reason,
            payment_id=work.payment_id, trace_id=work.trace.trace_id, attempt=work.arrival.attempt,
            tries=work.tries,
        )  # fmt: skip
        if not work.arrival.pinned and step.candidate + 1 < len(work.plan.candidates):
            work.step = ToProcessor(step.candidate + 1)
            return True
        work.step = ToProcessor(0)
        return False

    async def _retry(self, works: list[Work]) -> None:
        """Wait as the policy says, then try again, or take the step after the last in-process try."""
        seconds = max(self._wait(work) for work in works)
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            await self._advance(works)
        else:
            for work in works:
                self._finish(work, Released("the session ended before the next try"))

    def _wait(self, work: Work) -> float:
        """Return how many seconds to wait for this payment's next step, choosing that step."""
        now = self.clock()
        if work.refused_since is None:
            work.refused_since = now
        if not isinstance(work.step, ToProcessor):
            # A delay or dead-letter queue refuses: hold back until it takes the payment or the session ends.
            shortest, longest = HELD_BACK_SECONDS
            work.tries += 1
            return min(longest, shortest * 2.0 ** min(work.tries, 10))
        wait = self.policy.wait_in_process(work.tries, now - work.refused_since)
        work.tries += 1
        if wait is not None:
            return wait
        work.tries = 0
        failure = work.failure or self._attempt(work, TransientError.code, None)
        delay = self.policy.delay_after(work.arrival.attempt)
        if delay is not None:
            work.step = ToDelay(delay, failure)
        else:
            attempts = (*work.arrival.attempts, failure)
            codes = ", ".join(attempt.code for attempt in attempts)
            error = RetriesExhausted(f"all {work.arrival.attempt} attempts failed: {codes}")
            work.step = ToDead(error, attempts)
        return 0.0

    def _outgoing(self, work: Work) -> Outgoing:
        """Build the publish of a payment's next step."""
        now, step = self.now(), work.step
        match step:
            case ToProcessor():
                if work.plan is None:
                    raise InvariantViolation("a payment without a plan is about to be dispatched")
                dispatch = work.plan.dispatch(step.candidate)
                traceparent = work.trace.sending(
                    dispatch.exchange,
                    dispatch.routing_key,
                    {names.PAYMENT_PROCESSOR: dispatch.processor, names.DISPATCH_ID: dispatch.dispatch_id},
                )
                return self.envelopes.dispatch(
                    dispatch.exchange, dispatch.routing_key, dispatch.body,
                    payment_id=work.plan.payment_id, dispatch_id=dispatch.dispatch_id,
                    attempt=work.arrival.attempt, traceparent=traceparent, now=now,
                )  # fmt: skip
            case ToDelay():
                exchange = self.delay_exchange(step.seconds)
                traceparent = work.trace.sending(exchange, self.envelopes.return_to, {})
                return self.envelopes.delayed(
                    exchange, work.delivery, work.arrival, step.failure, traceparent=traceparent, now=now
                )
            case ToDead():
                exchange = self.envelopes.dead_exchange
                traceparent = work.trace.sending(exchange, step.error.code, {})
                return self.envelopes.dead_letter(
                    work.delivery, work.arrival, step.error, step.attempts, work.payment_id,
                    traceparent=traceparent, now=now,
                )  # fmt: skip
            case _:
                assert_never(step)

    def _finish(self, work: Work, outcome: Outcome) -> None:
        """Count, trace and log what became of a payment."""
        name = outcome.name
        self.counts[name] += 1
        attributes: dict[str, str | int] = {}
        if work.payment_id is not None:
            attributes[names.PAYMENT_ID] = work.payment_id
            attributes[names.CONVERSATION_ID] = work.payment_id
        if work.plan is not None:
            attributes[names.PAYMENT_RULE] = work.plan.rule
            attributes[names.RULES_VERSION] = work.plan.rules_version
        code: str | None = None
        where = {
            "payment_id": work.payment_id,
            "trace_id": work.trace.trace_id,
            "attempt": work.arrival.attempt,
        }
        match outcome:
            case Dispatched():
                work.trace.sent(None)
                attributes |= {
                    names.PAYMENT_PROCESSOR: outcome.processor,
                    names.DISPATCH_ID: outcome.dispatch_id,
                }
                self.log.debug(name, processor=outcome.processor, dispatch_id=outcome.dispatch_id, **where)
            case Delayed():
                work.trace.sent(None)
                code = outcome.code
                self.log.warning(name, seconds=outcome.seconds, code=code, **where)
            case DeadLettered():
                work.trace.sent(None)
                code = outcome.error.code
                self.log.warning(name, code=code, reason=str(outcome.error), **where)
            case Released():
                code = BrokerUnavailable.code
                self.log.warning(name, reason=outcome.reason, **where)
            case _:
                assert_never(outcome)
        work.trace.end(name, code, attributes)


def _outcome(work: Work) -> Outcome:
    """Return what a confirmed step means for its payment."""
    step = work.step
    match step:
        case ToProcessor():
            if work.plan is None:
                raise InvariantViolation("a payment without a plan was dispatched")
            dispatch = work.plan.dispatch(step.candidate)
            return Dispatched(dispatch.processor, dispatch.dispatch_id)
        case ToDelay():
            return Delayed(step.seconds, step.failure.code)
        case ToDead():
            return DeadLettered(step.error)
        case _:
            assert_never(step)
