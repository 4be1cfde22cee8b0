"""What the worker writes around a body: the headers it owns, and the messages it publishes. Pure.

A dispatch goes to a processor, a delayed payment to a delay queue, a dead letter to the dead-letter queue.
The last two carry the body as it arrived, the producer's own headers, and the history of the payment's
attempts. The broker's ``x-death`` family is not passed on: a copied one makes brokers before 4.0.1 see a
cycle and drop the message.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import orjson
from pydantic import TypeAdapter, ValidationError

from schemas import dead_letter as names
from schemas.dead_letter import Attempt
from worker.amqp.lane import Delivery, EncodedProperties, Outgoing, Properties
from worker.amqp.wire import LAST_READABLE_SECONDS, Stencil, Timestamp, encode_table
from worker.errors import ClaimedElsewhere, MalformedProperties, PermanentError
from worker.lines import NDJSON, TRACEPARENTS, Line
from worker.planning import Dispatch

APP_ID: Final = "payment-stream-worker"
DISPATCH_ID: Final = "dispatch-id"
DISPATCH_COUNT: Final = "dispatch-count"
MAX_HEADER_BYTES: Final = 48 * 1024
"""Producers' headers beyond this are dropped from dead letters: a header must fit into one AMQP frame."""

_OWN: Final = frozenset(
    {
        names.ERROR_CODE,
        names.ERROR_MESSAGE,
        names.PAYMENT_ID,
        names.ATTEMPT,
        names.ATTEMPTS,
        names.FIRST_SEEN,
        names.DEAD_AT,
        names.EXCHANGE,
        names.ROUTING_KEY,
        names.MESSAGE_ID,
        names.EXPIRATION,
        names.PINNED,
        names.REDRIVES,
        names.PASSED,
        names.TRACEPARENT,
    }
)
_BROKERS: Final = (
    "x-death",
    "x-first-death-",
    "x-last-death-",
    "x-delivery-count",
    "x-acquired-count",
    "x-opt-",
)
_ATTEMPTS: Final = TypeAdapter(tuple[Attempt, ...])
_MAX_COUNT: Final = 1000
LISTED_ATTEMPTS: Final = 100
"""A delayed payment lists at most so many of its failed attempts, the latest: headers must fit one frame."""
KEPT_ATTEMPTS: Final = 64
"""A redriven payment takes at most so many of its failed attempts along, the latest."""


class Arrival(NamedTuple):
    """What the headers say of a payment's past. On its first delivery there is none.

    ``pinned`` means that an earlier dispatch may have reached a processor unseen, so that no other one may
    have this payment: ``pinned_to``, or where nobody knows which, the route's first candidate. Where the
    producer's exchange and routing key are None, they are the delivery's own. ``redrives`` counts how often
    an operator sent it back from the dead letters. ``passed`` names processors that gave it back, or stood
    before those that did: it does not go back to them.
    """

    pinned: bool
    pinned_to: str | None = None
    message_id: str | None = None
    expiration: str | None = None
    attempt: int = 1
    attempts: tuple[Attempt, ...] = ()
    first_seen: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    redrives: int = 0
    passed: frozenset[str] = frozenset()


def read_arrival(delivery: Delivery, properties: Properties, returns: str, *, pins: bool = True) -> Arrival:
    """Read a payment's past from a delivery; headers not as the worker writes them count as absent.

    Only what comes back through ``returns``, the exchange of delay queues and redrives, has a past: a
    producer's headers of these names are nobody's attempts. A redelivery is pinned unless ``pins`` is False.
    """
    headers = properties.headers
    if not headers or names.ATTEMPT not in headers or delivery.exchange != returns:
        return Arrival(
            pins and delivery.redelivered, message_id=properties.message_id, expiration=properties.expiration
        )
    past = read_past(headers)
    return past._replace(pinned=True) if pins and delivery.redelivered else past


def read_past(headers: Mapping[str, Any]) -> Arrival:
    """Read what the worker's own headers say of a payment; what is not as it writes them counts as absent."""
    return Arrival(
        attempt=_count(headers.get(names.ATTEMPT)) or 1,
        attempts=_read_attempts(headers.get(names.ATTEMPTS)),
        first_seen=_text(headers.get(names.FIRST_SEEN)),
        exchange=_text(headers.get(names.EXCHANGE)),
        routing_key=_text(headers.get(names.ROUTING_KEY)),
        message_id=_text(headers.get(names.MESSAGE_ID)),
        expiration=_text(headers.get(names.EXPIRATION)),
        pinned=bool(headers.get(names.PINNED)),
        pinned_to=_text(headers.get(names.PINNED)),
        redrives=_count(headers.get(names.REDRIVES)),
        passed=frozenset((_text(headers.get(names.PASSED)) or "").split(",")) - {""},
    )


def origin(delivery: Delivery, arrival: Arrival) -> tuple[str, str]:
    """Return the exchange and the routing key that the producer published to."""
    exchange = delivery.exchange if arrival.exchange is None else arrival.exchange
    return exchange, delivery.routing_key if arrival.routing_key is None else arrival.routing_key


class Letter(Protocol):
    """What a delayed payment or a dead letter is made from: the message as it arrived, and its past."""

    @property
    def delivery(self) -> Delivery:
        """Its body is kept."""

    @property
    def properties(self) -> Properties:
        """They are kept, as far as they are the producer's."""

    @property
    def arrival(self) -> Arrival:
        """Its history is carried on."""

    @property
    def payment_id(self) -> str | None:
        """Where it could be read."""


@dataclass(frozen=True, slots=True)
class Envelopes:
    """Builds the worker's publishes. ``next_message_id`` gives an id that no other publish has."""

    next_message_id: Callable[[], str]
    dead_exchange: str
    return_to: str

    def dispatch(  # noqa: PLR0913 - a message is what it is made of
        self,
        dispatch: Dispatch,
        payment_id: str,
        attempt: int,
        traceparent: str,
        now: datetime,
        tracestate: str | None = None,
        past: Letter | None = None,
    ) -> Outgoing:
        """A dispatch for one processor. ``attempt`` counts the payment's rounds through the delay queues.

        ``tracestate`` is the producer's. ``past`` is a payment whose attempts are carried along, in case the
        processor gives it back.
        """
        common = (attempt, dispatch.priority, int(now.timestamp()), tracestate)
        message_id = self.next_message_id()
        properties: Properties | EncodedProperties
        if past is None:
            filled = (traceparent, dispatch.dispatch_id)
            properties = _dispatch_stencil(*common).fill(filled, payment_id, message_id)
        else:
            properties = _dispatch_properties(*common)
            own = self._history(past, past.arrival.attempts, now)
            own |= {names.TRACEPARENT: traceparent, DISPATCH_ID: dispatch.dispatch_id}
            properties.headers = {**properties.headers, **own}
            properties.correlation_id, properties.message_id = payment_id, message_id
        return Outgoing(dispatch.exchange, dispatch.routing_key, dispatch.body, properties)

    def dispatches(
        self,
        dispatches: Sequence[Dispatch],
        traceparents: Sequence[str],
        now: datetime,
        tracestate: str | None = None,
    ) -> Outgoing:
        """Many dispatches for one processor, one a line, in their first round: the first one says where to.

        Where their traces differ, the header ``traceparents`` has one for each line.
        """
        first = dispatches[0]
        properties = _dispatch_properties(1, first.priority, int(now.timestamp()), tracestate)
        one_trace = len(set(traceparents)) == 1
        own = {names.TRACEPARENT: traceparents[0]} if one_trace else {TRACEPARENTS: ",".join(traceparents)}
        properties.headers = {**properties.headers, **own, DISPATCH_COUNT: len(dispatches)}
        properties.content_type, properties.message_id = NDJSON, self.next_message_id()
        body = b"\n".join([dispatch.body for dispatch in dispatches])
        return Outgoing(first.exchange, first.routing_key, body, properties)

    def delayed(
        self, exchange: str, letter: Letter, failure: Attempt, traceparent: str, now: datetime
    ) -> Outgoing:
        """The payment as it arrived, for a delay queue; it comes back with its attempt counted.

        Waiting for another worker's claim is none: a repeat ahead of the payment for that would be the
        payment's next attempt to the journal, though the payment is dead by then, or was given back.
        """
        arrival = letter.arrival
        own = self._history(letter, (*arrival.attempts, failure)[-LISTED_ATTEMPTS:], now)
        own[names.ATTEMPT] = arrival.attempt + (failure.code != ClaimedElsewhere.code)
        own[names.TRACEPARENT] = traceparent
        return self._copy(letter, exchange, self.return_to, own)

    def set_aside(
        self, exchange: str, routing_key: str, letter: Letter, traceparent: str, now: datetime
    ) -> Outgoing:
        """The message as it arrived, for the queue of what may crash the worker; no attempt is counted."""
        own = self._history(letter, letter.arrival.attempts, now)
        own[names.ATTEMPT] = letter.arrival.attempt
        own[names.TRACEPARENT] = traceparent
        return self._copy(letter, exchange, routing_key, own)

    def redriven(self, exchange: str, letter: Letter, now: datetime) -> Outgoing:
        """The payment as it arrived, for the queue of work: from attempt 1 again, with its history.

        ``letter`` is the dead letter, ``exchange`` the one whose deliveries have a past.
        """
        arrival = letter.arrival
        own = self._history(letter, arrival.attempts[-KEPT_ATTEMPTS:], now)
        own[names.ATTEMPT] = 1
        own[names.REDRIVES] = arrival.redrives + 1
        own.pop(names.PASSED, None)
        if isinstance(traceparent := letter.properties.headers.get(names.TRACEPARENT), str):
            own[names.TRACEPARENT] = traceparent
        return self._copy(letter, exchange, self.return_to, own)

    def dead_letter(
        self,
        letter: Letter,
        error: PermanentError,
        attempts: Iterable[Attempt],
        traceparent: str,
        now: datetime,
    ) -> Outgoing:
        """The payment as it arrived, with why it is dead. The routing key is the error's code."""
        own = self._history(letter, tuple(attempts), now)
        own |= {
            names.ERROR_CODE: error.code,
            names.ERROR_MESSAGE: str(error)[:2000],
            names.ATTEMPT: letter.arrival.attempt,
            names.DEAD_AT: rfc3339(now),
            names.TRACEPARENT: traceparent,
        }
        if letter.payment_id is not None:
            own[names.PAYMENT_ID] = letter.payment_id
        return self._copy(letter, self.dead_exchange, error.code, own)

    def _history(self, letter: Letter, attempts: tuple[Attempt, ...], now: datetime) -> dict[str, Any]:
        arrival = letter.arrival
        exchange, routing_key = origin(letter.delivery, arrival)
        own: dict[str, Any] = {
            names.ATTEMPTS: _ATTEMPTS.dump_json(attempts, exclude_none=True).decode(),
            names.FIRST_SEEN: arrival.first_seen or (attempts[0].at if attempts else rfc3339(now)),
            names.EXCHANGE: exchange,
            names.ROUTING_KEY: routing_key,
        }
        if arrival.message_id is not None:
            own[names.MESSAGE_ID] = arrival.message_id
        if isinstance(letter.delivery, Line):  # once written, it is passed on like a header of the producer's
            own[names.LINE] = letter.delivery.number
        if arrival.expiration is not None:
            own[names.EXPIRATION] = arrival.expiration
        if arrival.pinned:
            own[names.PINNED] = arrival.pinned_to or True
        if arrival.redrives:
            own[names.REDRIVES] = arrival.redrives
        if arrival.passed:
            own[names.PASSED] = ",".join(sorted(arrival.passed))
        return own

    def _copy(self, letter: Letter, exchange: str, routing_key: str, own: dict[str, Any]) -> Outgoing:
        timestamp = letter.properties.timestamp
        properties = replace(
            letter.properties,
            timestamp=timestamp if timestamp is None or timestamp <= LAST_READABLE_SECONDS else None,
            headers={**producer_headers(letter.properties.headers), **own},
            message_id=self.next_message_id(),
            delivery_mode=2,
            expiration=None,
        )
        return Outgoing(exchange, routing_key, letter.delivery.body, properties)


@lru_cache(maxsize=256)
def _dispatch_stencil(attempt: int, priority: int | None, timestamp: int, tracestate: str | None) -> Stencil:
    """Return what the dispatches of one second have in common; ``timestamp`` is that second since 1970."""
    properties = _dispatch_properties(attempt, priority, timestamp, tracestate)
    return Stencil(properties, {names.TRACEPARENT: 55, DISPATCH_ID: 32})


def _dispatch_properties(
    attempt: int, priority: int | None, timestamp: int, tracestate: str | None
) -> Properties:
    headers: dict[str, Any] = {names.ATTEMPT: attempt}
    if tracestate is not None:
        headers[names.TRACESTATE] = tracestate
    return Properties(
        content_type="application/json",
        headers=headers,
        delivery_mode=2,
        priority=priority,
        timestamp=timestamp,
        type="payment.dispatch",
        app_id=APP_ID,
    )


def producer_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers that are the producer's own and can be passed on; none where they are too large."""
    kept = {
        name: value
        for name, value in headers.items()
        if name not in _OWN and not name.startswith(_BROKERS) and _is_writable(name, value)
    }
    return kept if _size(kept) <= MAX_HEADER_BYTES else {}


def _is_writable(name: str, value: Any) -> bool:
    """Whether a header can go out again: not all that some clients write can be written or read by others."""
    try:
        encode_table({name: value})
    except MalformedProperties:
        return False
    return not _has_endless_time(value)


def _has_endless_time(value: Any) -> bool:
    """Whether a value holds a time after the year 9999: it breaks the connection of clients that read it."""
    if isinstance(value, Mapping):
        return any(map(_has_endless_time, value.values()))
    if isinstance(value, list):
        return any(map(_has_endless_time, value))
    return isinstance(value, Timestamp)


def rfc3339(moment: datetime) -> str:
    """Write a moment in UTC with milliseconds, such as ``2026-11-24T12:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_attempts(value: object) -> tuple[Attempt, ...]:
    if not isinstance(value, str):
        return ()
    try:
        return _ATTEMPTS.validate_json(value)
    except (ValidationError, orjson.JSONDecodeError):
        return ()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int:
    """Return a count from 1 to ``_MAX_COUNT``; 0 for anything else."""
    return value if type(value) is int and 1 <= value <= _MAX_COUNT else 0


def _size(value: object) -> int:
    """Estimate from above how many bytes a header value takes in an AMQP table."""
    if isinstance(value, str):
        return 8 + 4 * len(value)
    if isinstance(value, bytes | bytearray):
        return 8 + len(value)
    if isinstance(value, Mapping):
        return 8 + sum(_size(key) + _size(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return 8 + sum(_size(item) for item in value)
    return 16
