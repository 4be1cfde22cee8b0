"""The properties of a message: fourteen optional values behind a word of flags (AMQP 0-9-1, class basic)."""

from collections.abc import Callable, ItemsView, Iterator, Mapping
from dataclasses import dataclass, fields
from struct import error as struct_error
from typing import Any, Final

from worker.amqp import lane
from worker.amqp.wire.fields import FieldValue
from worker.amqp.wire.frames import OCTETS, U16, U32, U64
from worker.amqp.wire.table_decoding import decode_table
from worker.amqp.wire.table_encoding import encode_short_string, encode_table
from worker.errors import MalformedProperties


@dataclass(slots=True)
class Properties(lane.Properties):
    """All the properties AMQP has; None is absent, and an empty table is not sent.

    ``user_id`` must be the connection's own user, or RabbitMQ closes the channel: a copy of what another has
    sent must not carry it. ``cluster_id`` is reserved.
    """

    user_id: str | None = None
    cluster_id: str | None = None


class Headers(Mapping[str, FieldValue]):
    """A header table that is decoded at its first use; ``raw_table`` is its encoded form.

    Using it raises MalformedProperties when the table cannot be read.
    """

    __slots__ = ("_decoded", "raw_table")

    def __init__(self, raw_table: bytes) -> None:
        self.raw_table: Final = raw_table
        self._decoded: dict[str, FieldValue] | None = None

    def _fields(self) -> dict[str, FieldValue]:
        if self._decoded is None:
            self._decoded = decode_table(self.raw_table)
        return self._decoded

    def __getitem__(self, name: str) -> FieldValue:
        return self._fields()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fields()

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())

    def items(self) -> ItemsView[str, FieldValue]:
        """Give names and values, without a look-up each."""
        return self._fields().items()

    def __repr__(self) -> str:
        return f"Headers(bytes={len(self.raw_table)})"


_SHORT_STRING, _TABLE, _OCTET, _SECONDS = range(4)
_EXPECTED: Final = ("text", "a table of headers", "an integer from 0 to 255", "seconds from 0 to 2^64-1")
# In the order of the wire, the highest flag first.
_KINDS: Final = {
    "content_type": _SHORT_STRING,
    "content_encoding": _SHORT_STRING,
    "headers": _TABLE,
    "delivery_mode": _OCTET,
    "priority": _OCTET,
    "correlation_id": _SHORT_STRING,
    "reply_to": _SHORT_STRING,
    "expiration": _SHORT_STRING,
    "message_id": _SHORT_STRING,
    "timestamp": _SECONDS,
    "type": _SHORT_STRING,
    "user_id": _SHORT_STRING,
    "app_id": _SHORT_STRING,
    "cluster_id": _SHORT_STRING,
}
PROPERTY_FLAGS: Final = {name: 0x8000 >> place for place, name in enumerate(_KINDS)}
_UNKNOWN_FLAGS: Final = (
    0b11  # the lowest bits: nothing, and "more flags follow", which class basic never needs
)
_NAMES: Final = tuple(field.name for field in fields(Properties))
_LANE_PROPERTIES: Final = len(fields(lane.Properties))  # they come first in Properties


def _plan(flags: int) -> tuple[tuple[int, int], ...]:
    """List place and kind of the properties that the flags announce, in the order of the wire."""
    return tuple((_NAMES.index(name), kind) for name, kind in _KINDS.items() if flags & PROPERTY_FLAGS[name])


_HIGH_PLANS: Final = tuple(_plan(octet << 8) for octet in range(256))
_LOW_PLANS: Final = tuple(_plan(octet) for octet in range(256))


def decode_properties(raw: bytes) -> Properties:
    """Decode the flags and values of a content header; the header table stays encoded until it is used.

    Raises:
        MalformedProperties: A value is cut off or is not UTF-8, a flag is unknown, or bytes are left over.
    """
    return Properties(*_decode(raw))


def decode_lane_properties(raw: bytes) -> lane.Properties:
    """Decode as ``decode_properties`` does, but leave out the user id, which no copy may carry.

    Raises:
        MalformedProperties: As for ``decode_properties``.
    """
    return lane.Properties(*_decode(raw)[:_LANE_PROPERTIES])


def _decode(raw: bytes) -> list[Any]:
    """Decode all values, in the order of the fields of Properties."""
    values: list[Any] = [None, None, {}, None, None, None, None, None, None, None, None, None, None, None]
    at, place = 2, 0
    try:
        for place, kind in _HIGH_PLANS[raw[0]] + _LOW_PLANS[raw[1]]:
            start = at
            if kind == _SHORT_STRING:
                at += 1 + raw[at]
                values[place] = raw[start + 1 : at].decode()
            elif kind == _TABLE:
                at += 4 + U32.unpack_from(raw, at)[0]
                values[place] = Headers(raw[start:at])
            elif kind == _OCTET:
                values[place] = raw[at]
                at += 1
            else:
                values[place] = U64.unpack_from(raw, at)[0]
                at += 8
    except (IndexError, struct_error) as error:
        raise MalformedProperties(f"the message's properties are cut off after {len(raw)} bytes") from error
    except UnicodeDecodeError as error:
        raise MalformedProperties(
            f"the property {_NAMES[place]} is not UTF-8: {error.reason} at its byte {error.start}"
        ) from error
    if at != len(raw):
        raise MalformedProperties(
            f"the message's properties say they end at byte {at}, but have {len(raw)} bytes"
        )
    if raw[1] & _UNKNOWN_FLAGS:
        raise MalformedProperties(
            f"the property flags {raw[:2].hex()} announce what AMQP 0-9-1 does not have"
        )
    return values


def encode_properties(
    properties: lane.Properties, encode_headers: Callable[[Mapping[str, FieldValue]], bytes] = encode_table
) -> bytes:
    """Encode flags and values as a content header carries them; an empty string is sent, None is not.

    Raises:
        MalformedProperties: A value does not fit its type.
    """
    flags = 0
    parts = [b""]
    for name, kind in _KINDS.items():
        value = getattr(properties, name, None)
        if value is None or (kind == _TABLE and not value):
            continue
        flags |= PROPERTY_FLAGS[name]
        parts.append(encode_headers(value) if kind == _TABLE else encode_property(name, value))
    parts[0] = U16.pack(flags)
    return b"".join(parts)


def encode_property(name: str, value: object) -> bytes:
    """Encode the value of one property other than the headers.

    Raises:
        MalformedProperties: The value does not fit the property's type.
    """
    kind = _KINDS[name]
    if isinstance(value, str) and kind == _SHORT_STRING:
        return encode_short_string(value, f"property {name}")
    if isinstance(value, int) and kind == _OCTET and 0 <= value <= 0xFF:
        return OCTETS[value]
    if isinstance(value, int) and kind == _SECONDS and 0 <= value < 2**64:
        return U64.pack(value)
    given = value if isinstance(value, int) else f"of type {type(value).__name__}"
    raise MalformedProperties(f"the property {name} is {given}; AMQP 0-9-1 expects {_EXPECTED[kind]}")
