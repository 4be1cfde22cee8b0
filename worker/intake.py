"""From a delivery to work: read its past, begin its trace, decode it, plan it. Decides its first step."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from worker.amqp.lane import Delivery, Properties
from worker.codec import Decoded, decode, payment_id_hint
from worker.envelope import Arrival, origin, read_arrival, rfc3339
from worker.errors import (
    InternalError,
    InvariantViolation,
    MalformedProperties,
    PermanentError,
    TransientError,
)
from worker.planning import Planner
from worker.routing import PluginNeeded
from worker.telemetry import attributes as names
from worker.telemetry.logs import Log
from worker.telemetry.tracing import Tracer
from worker.work import FIRST_CANDIDATE, ToAsk, ToDead, Work


@dataclass(frozen=True, slots=True)
class Intake:
    """Opens deliveries from ``queue``; delayed ones came back through the exchange ``returns``.

    ``on_violation`` learns of a broken invariant. ``pins``: nobody remembers what was sent for a payment that
    is delivered again, so it is kept with its route's first candidate.
    """

    planner: Planner
    tracer: Tracer
    log: Log
    queue: str
    returns: str
    max_message_bytes: int
    on_violation: Callable[[InvariantViolation], None]
    pins: bool = True

    def open(self, delivery: Delivery, now: datetime) -> Work:
        """Return a delivery's work; its first step sends, dead-letters or asks a plugin. Raises nothing."""
        try:
            properties = delivery.properties
            arrival = read_arrival(delivery, properties, self.returns, pins=self.pins)
        except MalformedProperties as error:
            return self._unreadable(delivery, error, now)
        trace = self.tracer.receive(properties.headers, lambda: self._describe(delivery, arrival))
        work = Work(delivery, properties, arrival, trace, FIRST_CANDIDATE)
        try:
            decoded = decode(
                delivery.body, properties.content_type, properties.content_encoding, self.max_message_bytes
            )
            work.decoded, work.payment_id = decoded, decoded.payment.payment_id
            work.plan = self.planner.plan(decoded, now)
        except PluginNeeded as needed:
            work.gross = self.planner.gross(decoded.payment)
            work.step = ToAsk(decoded, self.planner, now, needed.question, {})
        except Exception as error:  # noqa: BLE001 - the one place: a bug costs this payment only, and says so
            self._fail(work, error, now)
        return work

    def plan_anew(self, work: Work, decoded: Decoded, now: datetime) -> None:
        """Plan a payment from the beginning, by the rules in force now. Raises nothing."""
        try:
            work.plan = self.planner.plan(decoded, now)
            work.step = FIRST_CANDIDATE
        except PluginNeeded as needed:
            work.step = ToAsk(decoded, self.planner, now, needed.question, {})
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(work, error, now)

    def plan_on(self, work: Work, asked: ToAsk, answer: object) -> None:
        """Plan on with one more answer; the work's next step says what came of it.

        Raises:
            TransientError: the answer asks for another try, or is a rate that is too old.
        """
        answers = {**asked.answers, asked.question: answer}
        try:
            work.plan = asked.planner.plan(asked.decoded, asked.now, answers)
            work.step = FIRST_CANDIDATE
        except PluginNeeded as needed:
            if needed.question in answers:
                raise InvariantViolation(f"{needed.question.use} is asked again and again") from None
            work.step = replace(asked, question=needed.question, answers=answers)
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(work, error, asked.now)

    def _fail(self, work: Work, error: Exception, now: datetime) -> None:
        match error:
            case PermanentError():
                self._die(work, error, error.code, now)
            case InvariantViolation():
                self.on_violation(error)
                self._die_by_our_fault(work, error, error.code, now)
            case _:
                self._die_by_our_fault(work, error, InternalError.code, now)

    def _unreadable(self, delivery: Delivery, error: MalformedProperties, now: datetime) -> Work:
        """Return the work of a message whose properties cannot be read: its body is all that is kept."""
        arrival = Arrival(delivery.redelivered)
        trace = self.tracer.receive({}, lambda: self._describe(delivery, arrival))
        work = Work(delivery, Properties(), arrival, trace)
        self._die(work, error, error.code, now)
        return work

    def _die(self, work: Work, error: PermanentError, code: str, now: datetime) -> None:
        if work.decoded is not None:
            work.gross = self.planner.gross(work.decoded.payment)
        elif work.payment_id is None:
            work.payment_id = payment_id_hint(work.delivery.body)
        work.step = ToDead(error, (*work.arrival.attempts, work.attempt(rfc3339(now), code)))

    def _die_by_our_fault(self, work: Work, error: Exception, code: str, now: datetime) -> None:
        self.log.error(
            "unexpected error", payment_id=work.payment_id, trace_id=work.trace.trace_id, exc_info=error
        )
        text = f"{code}: {type(error).__name__} while it was planned; the worker's log has the traceback"
        self._die(work, InternalError(text), code, now)

    def _describe(self, delivery: Delivery, arrival: Arrival) -> dict[str, Any]:
        """Return a process span's attributes."""
        exchange, routing_key = origin(delivery, arrival)
        described: dict[str, Any] = {
            names.DESTINATION: f"{exchange}:{routing_key}:{self.queue}",
            names.ROUTING_KEY: routing_key,
            names.DELIVERY_TAG: delivery.tag,
            names.BODY_SIZE: len(delivery.body),
            names.PAYMENT_ATTEMPT: arrival.attempt,
        }
        if arrival.message_id:
            described[names.MESSAGE_ID] = arrival.message_id
        return described
