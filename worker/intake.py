"""From a delivery to work: read its past, begin its trace, decode it, plan it. Decides its first step."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from schemas.dead_letter import TRACESTATE
from worker.amqp.lane import Delivery, Properties
from worker.batches import order_header
from worker.codec import Decoded, decode, payment_id_hint
from worker.envelope import Arrival, origin, read_arrival, read_past, rfc3339
from worker.errors import (
    Crashed,
    InternalError,
    InvariantViolation,
    MalformedProperties,
    PermanentError,
    Returned,
    TransientError,
)
from worker.given_back import Restored, check_given_back, read_given_back
from worker.lines import Bounds, Line, carries_many, split
from worker.planning import Planner
from worker.routing import PluginNeeded
from worker.source import SUSPECT_AFTER, UNREAD_AFTER, Source, Survivals, times_in_hand
from worker.telemetry import attributes as names
from worker.telemetry.logs import Log
from worker.telemetry.tracing import Tracer
from worker.work import FIRST_CANDIDATE, ToAside, ToAsk, ToDead, Work

_PAYMENT_ID: Final = re.compile(rb'"payment_id"\s*:\s*"([A-Za-z0-9_.:-]{1,64})"')


@dataclass(frozen=True, slots=True)
class Intake:
    """Opens deliveries from ``source``.

    ``on_violation`` learns of a broken invariant, ``on_given_back`` which processor gave a payment back.
    ``pins``: nobody remembers what was sent for a payment that is delivered again, so it is kept with its
    route's first candidate.
    """

    planner: Planner
    tracer: Tracer
    log: Log
    source: Source
    max_message_bytes: int
    bounds: Bounds
    on_violation: Callable[[InvariantViolation], None]
    on_given_back: Callable[[Work, str], None]
    pins: bool = True
    survivals: Survivals = field(default_factory=Survivals)

    def open(self, delivery: Delivery, now: datetime) -> Work:
        """Return a delivery's work; its first step sends, dead-letters or asks a plugin. Raises nothing."""
        given_back = delivery.routing_key == self.source.given_back
        try:
            properties = delivery.properties
            arrival = self._past(delivery, properties, given_back=given_back)
        except MalformedProperties as error:
            return self._unreadable(delivery, error, now)
        trace = self.tracer.receive(properties.headers, lambda: self._describe(delivery, arrival))
        work = Work(delivery, properties, arrival, trace, alone=self.source.aside is None)
        if isinstance(delivery, Line):
            work.parts = delivery.parts
        try:
            if given_back:
                check_given_back(properties.headers, self.source.returned)
            crashes = self._crashes(work) if delivery.redelivered or work.alone else 0
            if crashes >= SUSPECT_AFTER:
                self._isolate(work, crashes, now, given_back=given_back)
                return work
            if work.alone and work.parts is not None:
                self._take_apart(work, crashes, given_back=given_back)
                return work
            if crashes and work.alone:
                self._read_the_crashed(work, now, given_back=given_back)
                return work
            if given_back:
                self._take_back(work, now)
            decoded = self._decode(work)
            work.plan = self.planner.plan(decoded, now)
        except PluginNeeded as needed:
            work.gross = self.planner.gross(decoded.payment)
            work.step = ToAsk(decoded, self.planner, now, needed.question, {})
        except Exception as error:  # noqa: BLE001 - the one place: a bug costs this payment only, and says so
            self._fail(work, error, now)
        return work

    def _past(self, delivery: Delivery, properties: Properties, *, given_back: bool) -> Arrival:
        source = self.source
        if given_back:
            past = read_past(properties.headers)
            return past._replace(
                pinned=self.pins and delivery.redelivered,  # the processor that has given it back is no more
                pinned_to=None,
                exchange=past.exchange or source.exchange,
                routing_key=past.routing_key or "",
            )
        arrival = read_arrival(delivery, properties, source.returns, pins=self.pins)
        return arrival._replace(pinned=self.pins) if source.aside is None else arrival

    def _crashes(self, work: Work) -> int:
        """Return how many sessions may have ended over this message; where it is taken alone, did so."""
        crashes = times_in_hand(work.delivery, work.properties.headers)
        if work.alone:
            crashes -= self.survivals.take(work.delivery, work.properties.message_id)
        return max(crashes, 0)

    def _isolate(self, work: Work, crashes: int, now: datetime, *, given_back: bool) -> None:
        """Keep a message that sessions have ended over from ending more, without decoding it.

        Once may be any restart. Where it is taken alone already, it is dead; a journal that knows its payment
        may have it read: a worker has lived through that before.
        """
        work.payment_id = _payment_id_in(work.delivery.body)
        if self.source.aside is not None:
            work.step = ToAside(self.source.returns, self.source.aside, crashes)
            return
        failure = work.attempt(rfc3339(now), Crashed.code)
        work.step = ToDead(Crashed(), (*work.arrival.attempts, failure))
        if crashes < UNREAD_AFTER:
            work.unread = partial(self._read_the_crashed, work, now, given_back=given_back)

    def _read_the_crashed(self, work: Work, now: datetime, *, given_back: bool) -> None:
        """Read a message that is about to die, so that a journal that knows better can be asked."""
        try:
            if given_back:
                self._take_back(work, now)
            self._decode(work)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(work, error, now)
        else:
            self._die(work, Crashed(), Crashed.code, now)

    def _take_apart(self, work: Work, crashes: int, *, given_back: bool) -> None:
        """Make a line of a message that was to be taken alone a message to be taken alone."""
        source = self.source
        key = source.given_back if given_back and source.given_back else source.return_to
        work.payment_id = _payment_id_in(work.delivery.body)
        work.step = ToAside(source.returns, key, crashes)

    def _take_back(self, work: Work, now: datetime) -> None:
        """Put the payment in the place of the dispatch that a processor gave back.

        Raises:
            NotOurDispatch: it is no dispatch of ours.
        """
        delivery, past = work.delivery, work.arrival
        given = read_given_back(delivery.body)
        tracestate = work.properties.headers.get(TRACESTATE)
        headers = {} if tracestate is None else {TRACESTATE: tracestate}
        if self.source.ordered_by is not None:
            headers |= order_header(given.payment, self.source.ordered_by)
        work.properties = Properties(content_type="application/json", headers=headers)
        work.delivery = Restored(
            delivery.tag,
            given.payment,
            delivery.exchange,
            delivery.routing_key,
            delivery.redelivered,
            work.properties,
        )
        work.payment_id = _payment_id_in(given.payment)
        work.returned, work.behind = given.dispatch_id, given.attempt
        work.arrival = past._replace(
            attempts=(*past.attempts, work.attempt(rfc3339(now), Returned.code, given.processor)),
            routing_key=past.routing_key or given.routing_key,
            passed=past.passed | {given.processor},
        )
        self.on_given_back(work, given.processor)

    def _decode(self, work: Work) -> Decoded:
        properties, body = work.properties, work.delivery.body
        if carries_many(properties):
            split(body, properties, self.bounds)  # it could not be: this says why
        decoded = decode(body, properties.content_type, properties.content_encoding, self.max_message_bytes)
        work.decoded, work.payment_id = decoded, decoded.payment.payment_id
        return decoded

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
            names.DESTINATION: f"{exchange}:{routing_key}:{self.source.queue}",
            names.ROUTING_KEY: routing_key,
            names.DELIVERY_TAG: delivery.tag,
            names.BODY_SIZE: len(delivery.body),
            names.PAYMENT_ATTEMPT: arrival.attempt,
        }
        if isinstance(delivery, Line):
            described[names.PAYMENT_LINE] = delivery.number
        if arrival.message_id:
            described[names.MESSAGE_ID] = arrival.message_id
        return described


def _payment_id_in(body: bytes) -> str | None:
    """Return what looks like the payment's id in a body that is not decoded."""
    found = _PAYMENT_ID.search(body)
    return found[1].decode() if found else None
