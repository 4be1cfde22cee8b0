"""Dead letters as lines of a file, and back: nothing of a message is lost, whatever bytes it has.

JSON has no bytes, times, decimals or infinities, which header tables do have. Such a value is an object with
one member, whose name begins with ``$``; a table that has such names itself is wrapped as ``$table``.
"""

import math
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from schemas.dead_letter import ExportedDeadLetter
from worker.amqp.lane import Properties
from worker.amqp.wire import LAST_READABLE_SECONDS, Timestamp
from worker.dead_letters.letter import DeadLetter
from worker.envelope import Arrival, read_past
from worker.errors import ConfigurationError

FORMAT = "payment-stream-worker/dead-letter/1"
_PROPERTIES = tuple(name for name in Properties.__slots__ if name != "headers")


def to_exported(letter: DeadLetter) -> dict[str, Any]:
    """Return a letter as what a line of the file holds; see ``ExportedDeadLetter``."""
    delivery = letter.delivery
    line: dict[str, Any] = {
        "format": FORMAT,
        "exchange": delivery.exchange,
        "routing_key": delivery.routing_key,
    }
    if letter.problem is None:
        values = {name: getattr(letter.properties, name) for name in _PROPERTIES}
        line["properties"] = {name: value for name, value in values.items() if value is not None}
        line["headers"] = {name: to_json(value) for name, value in letter.properties.headers.items()}
    else:
        line["raw_properties_base64"] = b64encode(delivery.raw_properties).decode()
    try:
        line["body"] = delivery.body.decode()
    except UnicodeDecodeError:
        line["body_base64"] = b64encode(delivery.body).decode()
    return line


def read_line(line: bytes, number: int) -> ExportedDeadLetter:
    """Read a line of an export; ``number`` is its place, counted from 1.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        exported = ExportedDeadLetter.model_validate_json(line)
        from_json(exported.headers)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
    except (ValueError, ArithmeticError) as error:
        reason = f"headers: {error}"
    else:
        return exported
    raise ConfigurationError(f"line {number} is no exported dead letter: {reason}; nothing was sent")


def body_of(exported: ExportedDeadLetter) -> bytes:
    """Return the body, byte for byte."""
    if exported.body_base64 is not None:
        return b64decode(exported.body_base64)
    return (exported.body or "").encode()


@dataclass(frozen=True, slots=True)
class Kept:
    """A dead letter out of a file: a ``Letter`` that can be sent back, and the delivery that it was."""

    body: bytes
    exchange: str
    routing_key: str
    properties: Properties
    arrival: Arrival
    tag: int = 0
    redelivered: bool = False
    payment_id: str | None = None

    @property
    def delivery(self) -> "Kept":
        """Itself."""
        return self


def kept(exported: ExportedDeadLetter) -> Kept:
    """Return what a line holds; properties that were unreadable count as absent."""
    headers: dict[str, Any] = {name: from_json(value) for name, value in exported.headers.items()}
    properties = Properties(**exported.properties.model_dump(), headers=headers)
    return Kept(body_of(exported), exported.exchange, exported.routing_key, properties, read_past(headers))


def to_json(value: Any) -> Any:  # noqa: PLR0911 - one for each type
    """Return a header's value as JSON."""
    match value:
        case bytes() | bytearray():
            return {"$bytes": b64encode(value).decode()}
        case datetime():
            return {"$time": int(value.timestamp())}
        case Timestamp():
            return {"$time": value.seconds}
        case Decimal():
            return {"$decimal": str(value)}
        case float() if not math.isfinite(value):
            return {"$float": str(value)}
        case list():
            return [to_json(item) for item in value]
        case dict():
            table = {name: to_json(item) for name, item in value.items()}
            return {"$table": table} if any(name.startswith("$") for name in table) else table
    return value


def from_json(value: Any) -> Any:  # noqa: PLR0911 - one for each type
    """Return the value of a header that ``to_json`` has written."""
    match value:
        case {"$bytes": str(text)}:
            return b64decode(text, validate=True)
        case {"$time": int(seconds)}:
            if seconds > LAST_READABLE_SECONDS:
                return Timestamp(seconds)
            return datetime.fromtimestamp(seconds, tz=UTC)
        case {"$decimal": str(text)}:
            return Decimal(text)
        case {"$float": str(text)}:
            return float(text)
        case {"$table": dict(table)}:
            return {name: from_json(item) for name, item in table.items()}
        case list():
            return [from_json(item) for item in value]
        case dict():
            return {name: from_json(item) for name, item in value.items()}
    return value
