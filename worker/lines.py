"""Messages that carry many payments, one a line: made deliveries of their own, settled as one. Pure.

A line ends with LF or CR LF, the last one with the message too. Blank lines are counted and skipped. Each of
the others has a fate of its own, so from here on nothing but ``Parts`` knows of its neighbours.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from schemas.dead_letter import TRACEPARENT
from worker.amqp.lane import Delivery, Properties
from worker.errors import BatchTooLarge, EmptyMessage, PermanentError, UnsupportedContentType

NDJSON: Final = "application/x-ndjson"
TRACEPARENTS: Final = "traceparents"
"""The header with a trace context for each line that is not blank, parted by commas."""
_JSON: Final = "application/json"
_JSON_SPACE: Final = b" \t\r"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one message may carry: so many lines that are not blank, so many bytes in all."""

    max_lines: int
    max_bytes: int


@dataclass(slots=True)
class Parts:
    """How many lines of one delivery are still on their way."""

    left: int

    def one_done(self) -> bool:
        """Note that one more line is where it belongs; True when it was the last."""
        self.left -= 1
        return not self.left


@dataclass(slots=True)
class Line:
    """One line of a message as a delivery. ``number`` is its place in the message, counted from 1.

    ``tag``, ``redelivered`` and ``properties`` are the message's, the content type being that of one payment.
    """

    tag: int
    body: bytes
    exchange: str
    routing_key: str
    redelivered: bool
    properties: Properties
    number: int
    parts: Parts


def carries_many(properties: Properties) -> bool:
    """Whether the message says that each of its lines is a payment."""
    content_type = properties.content_type
    if content_type is None or content_type == _JSON:
        return False
    return content_type == NDJSON or content_type.partition(";")[0].strip().lower() == NDJSON


def unpack(deliveries: Iterable[Delivery], bounds: Bounds) -> Iterator[Delivery]:
    """Yield deliveries in their order, line by line where they carry many payments.

    What cannot be split is yielded as it is: ``split`` says why.
    """
    for delivery in deliveries:
        try:
            properties = delivery.properties
            lines = split(delivery.body, properties, bounds) if carries_many(properties) else ()
        except PermanentError:
            lines = ()
        if not lines:
            yield delivery
            continue
        parts = Parts(len(lines))
        every = _properties_of_lines(properties, len(lines))
        tag, redelivered = delivery.tag, delivery.redelivered
        exchange, routing_key = delivery.exchange, delivery.routing_key
        for (number, line), own in zip(lines, every, strict=True):
            yield Line(tag, line, exchange, routing_key, redelivered, own, number, parts)


def _properties_of_lines(properties: Properties, count: int) -> Sequence[Properties]:
    """Return the properties of each line: the message's, and where it names them, a trace of its own."""
    traces = properties.headers.get(TRACEPARENTS)
    if traces is None:
        return [replace(properties, content_type=_JSON)] * count
    headers = {name: value for name, value in properties.headers.items() if name != TRACEPARENTS}
    contexts = traces.split(",") if isinstance(traces, str) else []
    if len(contexts) != count:
        return [replace(properties, content_type=_JSON, headers=headers)] * count
    return [
        replace(properties, content_type=_JSON, headers={**headers, TRACEPARENT: context})
        for context in contexts
    ]


def split(body: bytes, properties: Properties, bounds: Bounds) -> Sequence[tuple[int, bytes]]:
    """Return the lines that are not blank, each with its number; one at least.

    Raises:
        BatchTooLarge: there are too many, or too many bytes.
        EmptyMessage: there is none.
        UnsupportedContentType: the bytes are compressed or in another encoding.
    """
    encoding = properties.content_encoding
    if encoding and encoding.lower() not in ("utf-8", "identity"):
        raise UnsupportedContentType(
            f"content encoding {encoding[:80]!a} is not read; send the lines uncompressed"
        )
    if len(body) > bounds.max_bytes:
        raise BatchTooLarge(
            f"the message has {len(body):,} bytes of lines; at most {bounds.max_bytes:,} are read"
            " (max_batch_bytes)"
        )
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip(_JSON_SPACE)]
    if not lines:
        raise EmptyMessage("the message has no line that is not blank; expected one payment a line")
    if len(lines) > bounds.max_lines:
        raise BatchTooLarge(
            f"the message has {len(lines):,} lines; at most {bounds.max_lines:,} are read (max_batch_lines)"
        )
    return lines
