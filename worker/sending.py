"""A payment's next step as the publish that takes it there, and what its confirm means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from schemas.dead_letter import TRACESTATE
from worker.amqp.lane import Outgoing
from worker.envelope import Envelopes
from worker.errors import InvariantViolation
from worker.outcome import DeadLettered, Delayed, Dispatched, Outcome, SetAside
from worker.planning import Dispatch
from worker.telemetry import attributes as names
from worker.work import ToAside, ToAsk, ToDead, ToDelay, ToProcessor, Work


@dataclass(frozen=True, slots=True)
class Sending:
    """Builds publishes; ``delay_exchange`` names the exchange of a delay in seconds."""

    envelopes: Envelopes
    delay_exchange: Callable[[float], str]

    def outgoing(self, work: Work, now: datetime) -> Outgoing:
        """Return the publish of a payment's next step."""
        step = work.step
        match step:
            case ToProcessor():
                dispatch = work.prepare(step.candidate)
                traceparent = _begin(work, dispatch)
                return self.envelopes.dispatch(
                    dispatch, work.payment_id or "", work.arrival.attempt, traceparent, now,
                    tracestate_of(work),
                    work if work.has_past else None,
                )  # fmt: skip
            case ToDelay():
                exchange = self.delay_exchange(step.seconds)
                traceparent = work.trace.sending(exchange, self.envelopes.return_to, dict)
                return self.envelopes.delayed(exchange, work, step.failure, traceparent, now)
            case ToDead():
                traceparent = work.trace.sending(self.envelopes.dead_exchange, step.error.code, dict)
                return self.envelopes.dead_letter(work, step.error, step.attempts, traceparent, now)
            case ToAside():
                traceparent = work.trace.sending(step.exchange, step.routing_key, dict)
                return self.envelopes.set_aside(step.exchange, step.routing_key, work, traceparent, now)
            case ToAsk():
                raise InvariantViolation("a payment that is not planned is about to be sent")
            case _:
                assert_never(step)

    def together(self, works: Sequence[Work], now: datetime) -> Outgoing:
        """Return one publish of dispatches without a past: of one exchange, routing key and priority."""
        if len(works) == 1:
            return self.outgoing(works[0], now)
        dispatches = [work.prepared() for work in works]
        traceparents = [_begin(work, dispatch) for work, dispatch in zip(works, dispatches, strict=True)]
        return self.envelopes.dispatches(dispatches, traceparents, now, tracestate_of(works[0]))


def tracestate_of(work: Work) -> str | None:
    """Return the producer's ``tracestate``, which is passed on when it is text, as W3C Trace Context asks."""
    tracestate = work.properties.headers.get(TRACESTATE)
    return tracestate if isinstance(tracestate, str) else None


def _begin(work: Work, dispatch: Dispatch) -> str:
    """Begin the span of a dispatch, and return its context."""
    return work.trace.sending(
        dispatch.exchange,
        dispatch.routing_key,
        lambda: {
            names.PAYMENT_RULE: dispatch.rule,
            names.RULES_VERSION: dispatch.rules_version,
            names.PAYMENT_PROCESSOR: dispatch.processor,
            names.DISPATCH_ID: dispatch.dispatch_id,
        },
    )


def outcome_of(work: Work) -> Outcome:
    """Return what a confirmed step means for its payment."""
    step = work.step
    match step:
        case ToProcessor():
            if work.dispatch is None:
                raise InvariantViolation("a dispatch was confirmed that was never sent")
            return Dispatched(work.dispatch.processor, work.dispatch.dispatch_id)
        case ToDelay():
            return Delayed(step.seconds, step.failure.code)
        case ToDead():
            return DeadLettered(step.error)
        case ToAside():
            return SetAside(step.crashes)
        case ToAsk():
            raise InvariantViolation("a payment was confirmed that is not planned")
        case _:
            assert_never(step)
