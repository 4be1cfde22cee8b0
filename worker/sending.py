"""A payment's next step as the publish that takes it there, and what its confirm means."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from schemas.dead_letter import TRACESTATE
from worker.amqp.lane import Outgoing
from worker.envelope import Envelopes
from worker.errors import InvariantViolation
from worker.outcome import DeadLettered, Delayed, Dispatched, Outcome, SetAside
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
                traceparent = work.trace.sending(
                    dispatch.exchange,
                    dispatch.routing_key,
                    lambda: {
                        names.PAYMENT_RULE: dispatch.rule,
                        names.RULES_VERSION: dispatch.rules_version,
                        names.PAYMENT_PROCESSOR: dispatch.processor,
                        names.DISPATCH_ID: dispatch.dispatch_id,
                    },
                )
                return self.envelopes.dispatch(
                    dispatch, work.payment_id or "", work.arrival.attempt, traceparent, now,
                    work.properties.headers.get(TRACESTATE),
                    work if work.arrival.attempts or work.arrival.passed else None,
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
