"""Payments gathered into messages: one JSON message each, or NDJSON batches."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from worker.amqp.lane import Properties
from worker.amqp.publisher import Message
from worker.amqp.topology import ORDER_KEY
from worker.lines import NDJSON

MAX_BATCH_BYTES: Final = 256 * 1024
"""A batch is closed before it grows beyond this; a payment that is larger goes alone."""

MIXED: Final = "mixed.mixed"
"""The routing key of a batch whose payments have several."""

_UNKNOWN: Final = "unknown.unknown"
_LINE_LENGTH: Final = 255
_GATHERED: Final = 10_000  # payments in open batches of all keys, at most


@dataclass(slots=True)
class _Open:
    """A batch that payments are still added to."""

    routing_key: str
    numbers: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    size: int = 0


def as_messages(
    payments: Iterable[tuple[int, bytes]],
    batch: int = 1,
    ordered_by: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Message]:
    """Yield messages for payments in their order, or in their order for each value of ``ordered_by``.

    ``payments`` are numbers and bodies. A body that cannot be a line of NDJSON, since it is blank or has a
    line break, goes alone.
    """
    own = dict(headers or {})
    open_batches: dict[str | None, _Open] = {}
    gathered = 0
    for number, body in payments:
        routing_key, line = _read(body, ordered_by)
        alone = (
            batch == 1 or len(body) > MAX_BATCH_BYTES or not body.strip() or b"\n" in body or b"\r" in body
        )
        opened = open_batches.get(line)
        if opened is not None and (alone or opened.size + len(body) > MAX_BATCH_BYTES):
            gathered -= len(opened.numbers)
            yield _batched(open_batches.pop(line), line, own)
            opened = None
        if alone:
            yield _single((number,), routing_key, body, line, own)
            continue
        if opened is None:
            opened = open_batches[line] = _Open(routing_key)
        elif opened.routing_key != routing_key:
            opened.routing_key = MIXED
        opened.numbers.append(number)
        opened.bodies.append(body)
        opened.size += len(body) + 1
        gathered += 1
        if len(opened.numbers) == batch:
            gathered -= batch
            yield _batched(open_batches.pop(line), line, own)
        elif gathered >= _GATHERED:
            gathered = 0
            for key in list(open_batches):
                yield _batched(open_batches.pop(key), key, own)
    for key, opened in open_batches.items():
        yield _batched(opened, key, own)


def order_header(body: bytes, ordered_by: str) -> dict[str, str]:
    """Return the header that takes a payment to the shard where its producer would have sent it."""
    return {ORDER_KEY: _read(body, ordered_by)[1] or ""}


def _batched(opened: _Open, line: str | None, headers: dict[str, str]) -> Message:
    numbers = tuple(opened.numbers)
    if len(numbers) == 1:
        return _single(numbers, opened.routing_key, opened.bodies[0], line, headers)
    body = b"\n".join(opened.bodies) + b"\n"
    return Message(numbers, opened.routing_key, body, _properties(NDJSON, line, headers), line)


def _single(
    numbers: tuple[int, ...], routing_key: str, body: bytes, line: str | None, headers: dict[str, str]
) -> Message:
    return Message(numbers, routing_key, body, _properties("application/json", line, headers), line)


def _properties(content_type: str, line: str | None, headers: dict[str, str]) -> Properties:
    return Properties(
        content_type=content_type, headers=headers if line is None else {**headers, ORDER_KEY: line}
    )


def _read(body: bytes, ordered_by: str | None) -> tuple[str, str | None]:
    """Return a payment's routing key, and the value that it is in order with; ``""`` where it has none."""
    line = None if ordered_by is None else ""
    try:
        payment = orjson.loads(body)
        if ordered_by is not None and isinstance(value := payment.get(ordered_by), str):
            line = value[:_LINE_LENGTH]
        kind, currency = payment["type"], payment["amount"]["currency"].lower()
        if kind.isascii() and currency.isascii() and len(kind) + len(currency) < 200:
            return f"{kind}.{currency}", line
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        pass
    return _UNKNOWN, line
