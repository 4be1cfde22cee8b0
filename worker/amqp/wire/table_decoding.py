"""Header tables from AMQP to Python values: every field type that RabbitMQ sends."""

from datetime import UTC, datetime
from decimal import Decimal
from struct import Struct
from struct import error as struct_error
from typing import Final

from worker.amqp.wire.fields import (
    DECIMAL,
    DOUBLE,
    I64,
    LAST_READABLE_SECONDS,
    MAX_DEPTH,
    FieldValue,
    Timestamp,
)
from worker.amqp.wire.frames import U8, U16, U32, U64
from worker.errors import MalformedProperties

_FIXED: Final[dict[int, Struct]] = {
    ord("b"): Struct(">b"),
    ord("B"): U8,
    ord("s"): Struct(">h"),
    ord("u"): U16,
    ord("I"): Struct(">i"),
    ord("i"): U32,
    ord("l"): I64,
    ord("L"): I64,  # signed in RabbitMQ, as the errata page says
    ord("f"): Struct(">f"),
    ord("d"): DOUBLE,
}
_BOOLEAN, _TIMESTAMP, _DECIMAL, _VOID = b"tTDV"
_TEXT, _BYTES, _TABLE = b"SxF"
_SIZED: Final = frozenset(b"xAF")


def decode_table(table: bytes) -> dict[str, FieldValue]:
    """Decode an encoded table, its length prefix included; of fields with one name the last wins.

    Integers of all widths become int, both floating types float, ``T`` a datetime in UTC (a Timestamp behind
    the year 9999), ``x`` bytes, ``S`` str, or bytes where it is not UTF-8.

    Raises:
        MalformedProperties: A field is cut off, of unknown type or nested deeper than 32 levels.
    """
    end = _table_end(table)
    try:
        return _read_table(table, 4, end, 1)
    except (IndexError, struct_error) as error:
        raise _cut_off(table) from error


def _table_end(table: bytes) -> int:
    size = len(table)
    if size < 4:
        raise _cut_off(table)
    end: int = 4 + U32.unpack_from(table)[0]
    if end != size:
        raise MalformedProperties(f"a header table says it is {end} bytes long, but is {size}")
    return end


def _cut_off(table: bytes) -> MalformedProperties:
    return MalformedProperties(f"a header table of {len(table)} bytes is cut off within a field")


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    """Read a field's name; give it and the offset of the type octet."""
    start = at + 1
    end = start + data[at]
    try:
        return data[start:end].decode(), end
    except UnicodeDecodeError as error:
        raise MalformedProperties(
            f"a header name of {end - start} bytes is not UTF-8: {error.reason} at its byte {error.start}"
        ) from error


def _read_table(data: bytes, at: int, end: int, depth: int) -> dict[str, FieldValue]:
    """Read the fields between two offsets; text, the commonest, without a further call."""
    fields: dict[str, FieldValue] = {}
    unpack_length = U32.unpack_from
    while at < end:
        start = at + 1
        kind_at = start + data[at]
        try:
            if data[kind_at] == _TEXT:
                text_at = kind_at + 5
                after = text_at + unpack_length(data, kind_at + 1)[0]
                if after <= end:
                    fields[data[start:kind_at].decode()] = data[text_at:after].decode()
                    at = after
                    continue
        except UnicodeDecodeError:
            pass  # told, or taken as bytes, below
        name, kind_at = _read_name(data, at)
        fields[name], at = _read_value(data, kind_at, end, depth)
    return fields


def _read_value(data: bytes, at: int, end: int, depth: int) -> tuple[FieldValue, int]:
    """Read the value whose type octet is at ``at``; give it and the offset behind it, at most ``end``."""
    kind = data[at]
    at += 1
    value: FieldValue
    if kind == _TEXT:
        start = at + 4
        after = start + U32.unpack_from(data, at)[0]
        raw = data[start:after]
        try:
            value = raw.decode()
        except UnicodeDecodeError:
            value = raw  # `S` is a string of octets; nothing makes a producer write UTF-8
    elif (fixed := _FIXED.get(kind)) is not None:
        after = at + fixed.size
        value = fixed.unpack_from(data, at)[0]
    elif kind in _SIZED:
        start = at + 4
        after = start + U32.unpack_from(data, at)[0]
        value = _read_sized(kind, data, start, after, depth) if after <= end else None
    else:
        value, after = _read_odd(kind, data, at)
    if after > end:
        raise MalformedProperties(
            f"a header field of type {chr(kind)!r} reaches to byte {after} of a table that ends at byte {end}"
        )
    return value, after


def _read_sized(kind: int, data: bytes, start: int, end: int, depth: int) -> FieldValue:
    """Read bytes, an array or a table: what carries its own length, and is rarer than text."""
    if kind == _BYTES:
        return data[start:end]
    if depth >= MAX_DEPTH:
        raise MalformedProperties(f"headers are nested deeper than {MAX_DEPTH} levels")
    if kind == _TABLE:
        return _read_table(data, start, end, depth + 1)
    items: list[FieldValue] = []
    while start < end:
        item, start = _read_value(data, start, end, depth + 1)
        items.append(item)
    return items


def _read_odd(kind: int, data: bytes, at: int) -> tuple[FieldValue, int]:
    """Read a value of a type that needs more than one unpacking."""
    if kind == _BOOLEAN:
        return data[at] != 0, at + 1
    if kind == _TIMESTAMP:
        seconds = U64.unpack_from(data, at)[0]
        within = seconds <= LAST_READABLE_SECONDS
        return datetime.fromtimestamp(seconds, tz=UTC) if within else Timestamp(seconds), at + 8
    if kind == _VOID:
        return None, at
    if kind == _DECIMAL:
        scale, digits = DECIMAL.unpack_from(data, at)
        return Decimal(f"{digits}e-{scale}"), at + 5
    raise MalformedProperties(
        f"the header field type {chr(kind)!r} (0x{kind:02x}) at byte {at - 1} is unknown; "
        "AMQP 0-9-1 as RabbitMQ speaks it has t b B s u I i l L f d D S x A T F V"
    )
