"""Header tables: every type, every bound."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum

import pytest

from worker.amqp.wire import (
    FieldValue,
    TableEncoder,
    Timestamp,
    decode_table,
    encode_table,
    encode_value,
)
from worker.errors import MalformedProperties


def table(*fields: bytes) -> bytes:
    content = b"".join(fields)
    return len(content).to_bytes(4, "big") + content


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (b"t\x01", True),
        (b"t\x00", False),
        (b"b\xfe", -2),
        (b"B\xfe", 254),
        (b"s\xff\xfe", -2),
        (b"u\xff\xfe", 65534),
        (b"I\xff\xff\xff\xfe", -2),
        (b"i\xff\xff\xff\xfe", 4294967294),
        (b"l\x80\x00\x00\x00\x00\x00\x00\x00", -(2**63)),
        (b"L\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
        (b"f\x3f\x00\x00\x00", 0.5),
        (b"d\x3f\xe0\x00\x00\x00\x00\x00\x00", 0.5),
        (b"D\x02\x00\x00\x04\xd2", Decimal("12.34")),
        (b"D\x01\xff\xff\xff\xff", Decimal("-0.1")),
        (b"S\x00\x00\x00\x03\xc3\xa4a", "äa"),
        (b"S\x00\x00\x00\x02\xff\xfe", b"\xff\xfe"),
        (b"x\x00\x00\x00\x02\x00\xff", b"\x00\xff"),
        (b"T\x00\x00\x00\x00\x00\x00\x00\x01", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        (b"T\x00\x00\x00\x3a\xff\xf4\x41\x7f", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b"T\x00\x00\x00\x3a\xff\xf4\x41\x80", Timestamp(253402300800)),
        (b"T\xff\xff\xff\xff\xff\xff\xff\xff", Timestamp(2**64 - 1)),
        (b"V", None),
        (b"A\x00\x00\x00\x03t\x01V", [True, None]),
        (b"F\x00\x00\x00\x04\x01kb\x07", {"k": 7}),
    ],
)
def test_every_field_type_of_rabbitmq_is_read(encoded: bytes, value: FieldValue):
    """Each type octet becomes its Python value, alone and followed by another field."""
    decoded = decode_table(table(b"\x01a", encoded, b"\x01zt\x01"))
    assert decoded == {"a": value, "z": True}
    assert type(decoded["a"]) is type(value)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (True, b"t\x01"),
        (1, b"l\x00\x00\x00\x00\x00\x00\x00\x01"),
        (IntEnum("Level", "LOW").LOW, b"l\x00\x00\x00\x00\x00\x00\x00\x01"),  # type: ignore[attr-defined]
        (StrEnum("Kind", "CARD").CARD, b"S\x00\x00\x00\x04card"),  # type: ignore[attr-defined]
        (0.5, b"d\x3f\xe0\x00\x00\x00\x00\x00\x00"),
        (Decimal("12.340"), b"D\x03\x00\x00\x30\x34"),
        (Decimal("-0.0"), b"D\x01\x00\x00\x00\x00"),
        (Decimal("-12.34"), b"D\x02\xff\xff\xfb\x2e"),
        ("ä", b"S\x00\x00\x00\x02\xc3\xa4"),
        (b"\x00", b"x\x00\x00\x00\x01\x00"),
        (bytearray(b"\x00"), b"x\x00\x00\x00\x01\x00"),
        (Timestamp(2**64 - 1), b"T\xff\xff\xff\xff\xff\xff\xff\xff"),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), b"T\x00\x00\x00\x00\x00\x00\x00\x01"),
        (None, b"V"),
        ([True, None], b"A\x00\x00\x00\x03t\x01V"),
        ((True, None), b"A\x00\x00\x00\x03t\x01V"),
        ({"k": None}, b"F\x00\x00\x00\x03\x01kV"),
    ],
)
def test_a_value_is_written_with_one_type(value: FieldValue, encoded: bytes):
    """Each Python type has one AMQP type, whatever the value; both encoders agree."""
    assert encode_value(value) == encoded
    assert encode_table({"k": value}) == TableEncoder().encode({"k": value}) == table(b"\x01k", encoded)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**63, "outside -2^63"),
        (-(2**63) - 1, "outside -2^63"),
        (Decimal("NaN"), "send it as text"),
        (Decimal(2**31), "send it as text"),
        (Decimal("1e3"), "send it as text"),
        (Decimal("1e-256"), "send it as text"),
        ("\ud800", "UTF-8"),
        (datetime(2026, 1, 1), "no time zone"),  # noqa: DTZ001 - the missing zone is the case
        (datetime(1969, 1, 1, tzinfo=UTC), "outside 0"),
        (Timestamp(2**64), "outside 0"),
        ({1}, "type set"),
        ([object()], "type object"),
    ],
)
def test_a_value_without_amqp_form_is_refused_by_name(value: FieldValue, words: str):
    """What AMQP cannot carry is refused with what to do instead, by both encoders."""
    for encode in (encode_table, TableEncoder().encode):
        with pytest.raises(MalformedProperties, match=words.replace("^", r"\^")):
            encode({"k": value})


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "cut off"),
        (b"\x00\x00\x00", "cut off"),
        (b"\x00\x00\x00\x01", "says it is 5 bytes"),
        (b"\x00\x00\x00\x00\x00", "says it is 4 bytes"),
        (table(b"\x01"), "cut off"),
        (table(b"\x01a"), "cut off"),
        (table(b"\x01aq\x00"), "unknown"),
        (table(b"\x01a\x00"), "unknown"),
        (table(b"\x01aS\x00\x00\x00\x05abc"), "reaches to byte"),
        (table(b"\x01aS\x00\x00"), "cut off"),
        (table(b"\x01al\x00\x00"), "cut off"),
        (table(b"\x01aA\x00\x00\x00\x02b"), "reaches to byte"),
        (table(b"\x01aF\x00\x00\x00\x03\x01bI", b"\x01c", b"I\x00\x00\x00\x01"), "reaches to byte"),
        (table(b"\x01aD\x00\x00"), "cut off"),
        (table(b"\x01aT\x00\x00"), "cut off"),
        (table(b"\x01at"), "cut off"),
        (table(b"\x01\xffV"), "not UTF-8"),
    ],
)
def test_a_broken_table_is_refused_by_name(raw: bytes, words: str):
    """A table that lies about a length, or has a type nobody knows, is refused."""
    with pytest.raises(MalformedProperties, match=words):
        decode_table(raw)


def nested(levels: int) -> FieldValue:
    value: FieldValue = "x"
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_is_bounded_in_both_directions():
    """Thirty-two levels are read and written, thirty-three are not."""
    deepest = encode_table({"k": nested(31)})
    assert decode_table(deepest) == {"k": nested(31)}
    with pytest.raises(MalformedProperties, match="deeper than 32"):
        encode_table({"k": nested(32)})
    inner = deepest[6:]
    with pytest.raises(MalformedProperties, match="deeper than 32"):
        decode_table(table(b"\x01kA", len(inner).to_bytes(4, "big"), inner))


def test_nesting_without_end_is_refused():
    """A list within itself does not exhaust the stack."""
    endless: list[FieldValue] = []
    endless.append(endless)
    with pytest.raises(MalformedProperties, match="deeper than 32"):
        encode_table({"k": endless})


def test_of_two_fields_with_one_name_the_last_wins():
    """A producer may repeat a name."""
    raw = table(b"\x01aB\x01", b"\x01aB\x02")
    assert decode_table(raw) == {"a": 2}


def test_a_name_longer_than_255_bytes_is_refused():
    """The limit counts UTF-8 bytes, not characters."""
    assert decode_table(encode_table({"ä" * 127: None})) == {"ä" * 127: None}
    for encode in (encode_table, TableEncoder().encode):
        with pytest.raises(MalformedProperties, match="256 bytes"):
            encode({"ä" * 128: None})


def test_the_encoder_remembers_a_bounded_number_of_names():
    """However many names producers invent, the encoder keeps 256 and stays right."""
    encoder = TableEncoder()
    for number in range(1000):
        assert encoder.encode({f"name-{number}": number}) == encode_table({f"name-{number}": number})
    assert len(encoder._prefixes) == 256


@pytest.mark.parametrize("length", [0, 1, 255, 256, 70_000])
def test_texts_of_every_length_class_are_written_alike(length: int):
    """The fast form for short texts and the general one give the same bytes."""
    headers: dict[str, FieldValue] = {"text": "x" * length, "number": -1}
    assert TableEncoder().encode(headers) == encode_table(headers)
    assert decode_table(encode_table(headers)) == headers
