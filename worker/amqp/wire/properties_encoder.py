"""The properties of many messages: what they have in common is encoded once."""

from typing import Final, TypeAlias

from worker.amqp import lane
from worker.amqp.wire.frames import OCTETS, U16
from worker.amqp.wire.properties import PROPERTY_FLAGS, encode_properties, encode_property
from worker.amqp.wire.table_encoding import TableEncoder

_HEADERS: Final = PROPERTY_FLAGS["headers"]
_CORRELATION_ID: Final = PROPERTY_FLAGS["correlation_id"]
_REPLY_TO: Final = PROPERTY_FLAGS["reply_to"]
_EXPIRATION: Final = PROPERTY_FLAGS["expiration"]
_MESSAGE_ID: Final = PROPERTY_FLAGS["message_id"]
_TIMESTAMP: Final = PROPERTY_FLAGS["timestamp"]
_MAX_REMEMBERED_SHAPES: Final = 256

# Content type, content encoding, delivery mode, priority, type and app id.
_Common: TypeAlias = tuple[str | None, str | None, int | None, int | None, str | None, str | None]
# Their flags, and how they are written before the headers, behind them, and at the end.
_Shape: TypeAlias = tuple[int, bytes, bytes, bytes]


class PropertiesEncoder:
    """Encodes the properties of many messages; one a lane.

    It remembers how header names, and the properties that are alike in many messages, are written: of each at
    most 256, so that no producer can fill the memory.
    """

    __slots__ = ("_encode_headers", "_shapes")

    def __init__(self) -> None:
        self._encode_headers: Final = TableEncoder().encode
        self._shapes: Final[dict[_Common, _Shape]] = {}

    def encode(self, properties: lane.Properties) -> bytes:
        """Encode as ``encode_properties`` does, faster.

        Raises:
            MalformedProperties: A value does not fit its type.
        """
        if type(properties) is not lane.Properties:
            return encode_properties(properties, self._encode_headers)
        common = (
            properties.content_type,
            properties.content_encoding,
            properties.delivery_mode,
            properties.priority,
            properties.type,
            properties.app_id,
        )
        flags, head, middle, tail = self._shapes.get(common) or self._shape(common)
        headers = identities = time = b""
        if properties.headers:
            flags |= _HEADERS
            headers = self._encode_headers(properties.headers)
        if (text := properties.correlation_id) is not None:
            flags |= _CORRELATION_ID
            identities = _short(text, "correlation_id")
        if (text := properties.reply_to) is not None:
            flags |= _REPLY_TO
            identities += _short(text, "reply_to")
        if (text := properties.expiration) is not None:
            flags |= _EXPIRATION
            identities += _short(text, "expiration")
        if (text := properties.message_id) is not None:
            flags |= _MESSAGE_ID
            identities += _short(text, "message_id")
        if (seconds := properties.timestamp) is not None:
            flags |= _TIMESTAMP
            time = encode_property("timestamp", seconds)
        return b"".join((U16.pack(flags), head, headers, middle, identities, time, tail))

    def _shape(self, common: _Common) -> _Shape:
        content_type, content_encoding, delivery_mode, priority, kind, app_id = common
        parts = (
            encode_properties(lane.Properties(content_type=content_type, content_encoding=content_encoding)),
            encode_properties(lane.Properties(delivery_mode=delivery_mode, priority=priority)),
            encode_properties(lane.Properties(type=kind, app_id=app_id)),
        )
        head, middle, tail = (part[2:] for part in parts)
        shape = (sum(U16.unpack_from(part)[0] for part in parts), head, middle, tail)
        if len(self._shapes) < _MAX_REMEMBERED_SHAPES:
            self._shapes[common] = shape
        return shape


def _short(text: str, name: str) -> bytes:
    if type(text) is str and len(text) < 256 and text.isascii():
        return OCTETS[len(text)] + text.encode()
    return encode_property(name, text)
