"""Header tables from Python values to AMQP: every field type the worker sends.

Errors name lengths and places, never a text: it may be a producer's, and hold what no log may.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from struct import error as struct_error
from typing import Final

from worker.amqp.wire.fields import (
    DECIMAL,
    DOUBLE,
    I64,
    MAX_DEPTH,
    MAX_SHORT_STRING_BYTES,
    FieldValue,
    Timestamp,
)
from worker.amqp.wire.frames import OCTETS, U32, U64
from worker.errors import MalformedProperties

_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**63 - 1
_MAX_DECIMAL_DIGITS: Final = 0x7FFF_FFFF
_MAX_DECIMAL_SCALE: Final = 255
_MAX_REMEMBERED_NAMES: Final = 256


def encode_table(fields: Mapping[str, FieldValue]) -> bytes:
    """Encode a table, its length prefix included; an int is always sent as ``l`` and a float as ``d``.

    One type for all ints keeps a header's type from changing with its value, which headers exchanges compare.

    Raises:
        MalformedProperties: A name or value cannot be written as AMQP.
    """
    return _encode_table(fields, 1)


def join_table(fields: Iterable[tuple[str, bytes]]) -> bytes:
    """Encode a table from names and values that are encoded already.

    Raises:
        MalformedProperties: A name cannot be written as AMQP.
    """
    content = b"".join([encode_short_string(name, "header name") + value for name, value in fields])
    return U32.pack(len(content)) + content


def encode_value(value: FieldValue) -> bytes:
    """Encode one field value, its type octet first, as ``encode_table`` would.

    Raises:
        MalformedProperties: The value cannot be written as AMQP.
    """
    return _encode_value(value, 1)


def encode_short_string(text: str, what: str) -> bytes:
    """Encode a string of at most 255 UTF-8 bytes behind its length; ``what`` names it in errors.

    Raises:
        MalformedProperties: The string is longer, or holds a lone surrogate.
    """
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise MalformedProperties(
            f"the {what} cannot be written as UTF-8: {error.reason} at its character {error.start}"
        ) from error
    if len(raw) > MAX_SHORT_STRING_BYTES:
        raise MalformedProperties(
            f"the {what} has {len(raw)} bytes of UTF-8; AMQP 0-9-1 allows {MAX_SHORT_STRING_BYTES}"
        )
    return OCTETS[len(raw)] + raw


def encode_text(text: str) -> bytes:
    """Encode a text of any length with its type octet: ``S``.

    Raises:
        MalformedProperties: The text holds a lone surrogate.
    """
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise MalformedProperties(
            f"a header value cannot be written as UTF-8: {error.reason} at its character {error.start}"
        ) from error
    return b"S" + U32.pack(len(raw)) + raw


def encode_integer(value: int) -> bytes:
    """Encode a signed 64-bit integer with its type octet: ``l``.

    Raises:
        MalformedProperties: The integer is outside signed 64 bits.
    """
    try:
        return b"l" + I64.pack(value)
    except struct_error as error:
        raise MalformedProperties(
            f"the header value {value} is outside -2^63 to 2^63-1, which AMQP 0-9-1 carries; send it as text"
        ) from error


def _encode_value(value: object, depth: int) -> bytes:
    for base in type(value).__mro__:
        plain = _PLAIN.get(base)
        if plain is not None:
            return plain(value)
        nested = _NESTED.get(base)
        if nested is not None:
            if depth >= MAX_DEPTH:
                raise MalformedProperties(f"headers are nested deeper than {MAX_DEPTH} levels")
            return nested(value, depth + 1)
    raise MalformedProperties(
        f"a header value of type {type(value).__name__} has no AMQP form; "
        "use bool, int, float, Decimal, str, bytes, Timestamp, datetime, list, dict or None"
    )


def _encode_table(fields: Mapping[str, object], depth: int) -> bytes:
    return join_table((name, _encode_value(value, depth)) for name, value in fields.items())


def _encode_array(items: Iterable[object], depth: int) -> bytes:
    content = b"".join([_encode_value(item, depth) for item in items])
    return U32.pack(len(content)) + content


def _encode_bytes(value: bytes) -> bytes:
    return b"x" + U32.pack(len(value)) + value


def _encode_timestamp(value: Timestamp) -> bytes:
    if not 0 <= value.seconds < 2**64:
        raise MalformedProperties(
            f"the timestamp {value.seconds} s is outside 0 to 2^64-1 seconds since 1970"
        )
    return b"T" + U64.pack(value.seconds)


def _encode_datetime(value: datetime) -> bytes:
    if value.tzinfo is None:
        raise MalformedProperties(
            f"the time {value.isoformat()} has no time zone, so it names no moment; add one"
        )
    return _encode_timestamp(Timestamp(int(value.timestamp())))


def _encode_decimal(value: Decimal) -> bytes:
    _, _, exponent = value.as_tuple()
    if isinstance(exponent, int) and -_MAX_DECIMAL_SCALE <= exponent <= 0:
        digits = int(f"{value:f}".replace(".", ""))
        if -_MAX_DECIMAL_DIGITS <= digits <= _MAX_DECIMAL_DIGITS:
            return b"D" + DECIMAL.pack(-exponent, digits)
    raise MalformedProperties(
        f"the decimal {value} has no AMQP form, which is at most {_MAX_DECIMAL_DIGITS} with 0 to "
        f"{_MAX_DECIMAL_SCALE} digits behind the point; send it as text"
    )


_PLAIN: Final[dict[type, Callable[..., bytes]]] = {
    bool: lambda value: b"t\x01" if value else b"t\x00",
    int: encode_integer,
    float: lambda value: b"d" + DOUBLE.pack(value),
    Decimal: _encode_decimal,
    str: encode_text,
    bytes: _encode_bytes,
    bytearray: _encode_bytes,
    Timestamp: _encode_timestamp,
    datetime: _encode_datetime,
    type(None): lambda _: b"V",
}
_NESTED: Final[dict[type, Callable[..., bytes]]] = {
    list: lambda items, depth: b"A" + _encode_array(items, depth),
    tuple: lambda items, depth: b"A" + _encode_array(items, depth),
    dict: lambda fields, depth: b"F" + _encode_table(fields, depth),
}


class TableEncoder:
    """Encodes the header tables of many messages, and remembers how their names are written.

    It remembers the first 256 names it meets, so that no producer's names can fill the memory.
    """

    __slots__ = ("_prefixes",)

    def __init__(self) -> None:
        self._prefixes: Final[dict[str, tuple[bytes, bytes, bytes]]] = {}

    def encode(self, fields: Mapping[str, FieldValue]) -> bytes:
        """Encode as ``encode_table`` does, faster where values are short texts and integers.

        Raises:
            MalformedProperties: A name or value cannot be written as AMQP.
        """
        content = b""
        prefixes = self._prefixes
        for name, value in fields.items():
            short_text, integer, bare = prefixes.get(name) or self._prefix(name)
            if type(value) is str and len(value) < 256 and value.isascii():
                content += short_text + OCTETS[len(value)] + value.encode()
            elif type(value) is int and _MIN_INTEGER <= value <= _MAX_INTEGER:
                content += integer + I64.pack(value)
            else:
                content += bare + encode_value(value)
        return U32.pack(len(content)) + content

    def _prefix(self, name: str) -> tuple[bytes, bytes, bytes]:
        """Encode a name as it stands before a text shorter than 256 bytes, an integer, and anything else."""
        encoded = encode_short_string(name, "header name")
        prefix = (encoded + b"S\x00\x00\x00", encoded + b"l", encoded)
        if len(self._prefixes) < _MAX_REMEMBERED_NAMES:
            self._prefixes[name] = prefix
        return prefix
