"""From a delivery to work: read its past, begin its trace, decode it, plan it. Decides its first step."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.amqp.lane import Delivery, Properties
from worker.codec import decode, payment_id_hint
from worker.envelope import Arrival, read_arrival, rfc3339
from worker.errors import InternalError, InvariantViolation, MalformedProperties, PermanentError
from worker.planning import Planner
from worker.telemetry import attributes as names
from worker.telemetry.logs import Log
from worker.telemetry.tracing import Tracer
from worker.work import FIRST_CANDIDATE, ToDead, Work


@dataclass(frozen=True, slots=True)
class Intake:
    """Opens deliveries from ``queue``; ``on_violation`` learns of a broken invariant."""

    planner: Planner
    tracer: Tracer
    log: Log
    queue: str
    max_message_bytes: int
    on_violation: Callable[[InvariantViolation], None]

    def open(self, delivery: Delivery, now: datetime) -> Work:
        """Return a delivery's work, whose first step is a dispatch or a dead letter. Raises nothing."""
        try:
            properties = delivery.properties
            arrival = read_arrival(delivery, properties)
        except MalformedProperties as error:
            return self._unreadable(delivery, error, now)
        trace = self.tracer.receive(properties.headers, lambda: self._describe(delivery, arrival))
        work = Work(delivery, properties, arrival, trace, FIRST_CANDIDATE)
        try:
            decoded = decode(
                delivery.body, properties.content_type, properties.content_encoding, self.max_message_bytes
            )
            work.payment_id = decoded.payment.payment_id
            work.plan = self.planner.plan(decoded, now)
        except PermanentError as error:
            self._die(work, error, error.code, now)
        except InvariantViolation as error:
            self.on_violation(error)
            self._die_by_our_fault(work, error, error.code, now)
        except Exception as error:  # noqa: BLE001 - the one place: a bug costs this payment only, and says so
            self._die_by_our_fault(work, error, InternalError.code, now)
        return work

    def _unreadable(self, delivery: Delivery, error: MalformedProperties, now: datetime) -> Work:
        """Return the work of a message whose properties cannot be read: its body is all that is kept."""
        arrival = Arrival(
            exchange=delivery.exchange, routing_key=delivery.routing_key, pinned=delivery.redelivered
        )
        trace = self.tracer.receive({}, lambda: self._describe(delivery, arrival))
        work = Work(delivery, Properties(), arrival, trace)
        self._die(work, error, error.code, now)
        return work

    def _die(self, work: Work, error: PermanentError, code: str, now: datetime) -> None:
        if work.payment_id is None:
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
        described: dict[str, Any] = {
            names.DESTINATION: f"{arrival.exchange}:{arrival.routing_key}:{self.queue}",
            names.ROUTING_KEY: arrival.routing_key,
            names.DELIVERY_TAG: delivery.tag,
            names.BODY_SIZE: len(delivery.body),
            names.PAYMENT_ATTEMPT: arrival.attempt,
        }
        if arrival.message_id:
            described[names.MESSAGE_ID] = arrival.message_id
        return described
