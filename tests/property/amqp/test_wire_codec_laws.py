"""The codec against pamqp, which aiormq speaks: each reads what the other writes."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, common, decode, encode, frame, header

from worker.amqp import lane
from worker.amqp.wire import (
    FieldValue,
    Properties,
    PropertiesEncoder,
    PublishRoute,
    TableEncoder,
    decode_properties,
    decode_table,
    encode_ack,
    encode_nack,
    encode_properties,
    encode_reject,
    encode_table,
    join_table,
)

CHANNELS = st.integers(1, 65535)
TAGS = st.integers(1, 2**63 - 1)  # pamqp reads tags signed
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SHORT = TEXT.filter(lambda text: len(text.encode()) <= 127)
SECONDS = st.integers(0, 2**32 - 1)  # above, pamqp takes seconds for milliseconds
TIMES = SECONDS.map(lambda seconds: datetime.fromtimestamp(seconds, tz=UTC))
DECIMALS = st.builds(
    lambda digits, scale: Decimal((int(digits < 0), tuple(map(int, str(abs(digits)))), -scale)),
    st.integers(1 - 2**31, 2**31 - 1),
    st.integers(0, 20),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    DECIMALS,
    TEXT,
    st.binary(max_size=40).map(bytearray),
    TIMES,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SHORT, inner, max_size=4),
    max_leaves=12,
)
TABLES = st.dictionaries(SHORT, VALUES, max_size=6)
# pamqp writes floats in single precision.
PAMQP_TABLES = st.dictionaries(
    SHORT,
    st.recursive(
        SCALARS.filter(lambda value: not isinstance(value, float)) | st.floats(width=32, allow_nan=False),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SHORT, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=6,
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "content_type": SHORT,
        "content_encoding": SHORT,
        "headers": TABLES,
        "delivery_mode": st.sampled_from([1, 2]),
        "priority": st.integers(0, 255),
        "correlation_id": SHORT,
        "reply_to": SHORT,
        "expiration": st.integers(0, 2**32).map(str),
        "message_id": SHORT,
        "timestamp": SECONDS,
        "type": SHORT,
        "app_id": SHORT,
    },
)
# The types pamqp reads but never writes, by type octet and struct.
RAW_NUMBERS = st.one_of(
    st.tuples(
        st.just(b"b"), st.integers(-128, 127).map(lambda number: number.to_bytes(1, "big", signed=True))
    ),
    st.tuples(st.just(b"B"), st.binary(min_size=1, max_size=1)),
    st.tuples(st.just(b"s"), st.binary(min_size=2, max_size=2)),
    st.tuples(st.just(b"u"), st.binary(min_size=2, max_size=2)),
    st.tuples(st.just(b"I"), st.binary(min_size=4, max_size=4)),
    st.tuples(st.just(b"i"), st.binary(min_size=4, max_size=4)),
    st.tuples(st.just(b"l"), st.binary(min_size=8, max_size=8)),
    st.tuples(st.just(b"L"), st.binary(min_size=8, max_size=8)),
    st.tuples(st.just(b"f"), st.floats(width=32, allow_nan=False).map(common.Struct.float.pack)),
    st.tuples(st.just(b"d"), st.floats(allow_nan=False).map(common.Struct.double.pack)),
    st.tuples(
        st.just(b"D"),
        st.tuples(st.integers(0, 9), st.binary(min_size=4, max_size=4)).map(
            lambda parts: bytes([parts[0]]) + parts[1]
        ),
    ),
)


def pamqp_arguments(properties: dict[str, Any]) -> dict[str, Any]:
    """Name and type the properties as pamqp does; it leaves out empty texts and tables."""
    arguments = {name: value for name, value in properties.items() if value != ""}
    if "type" in arguments:
        arguments["message_type"] = arguments.pop("type")
    if "timestamp" in arguments:
        arguments["timestamp"] = datetime.fromtimestamp(arguments["timestamp"], tz=UTC)
    return arguments


@given(TABLES)
def test_pamqp_reads_the_tables_we_write(table: dict[str, FieldValue]):
    """What both our encoders write is, to pamqp, the table that was given."""
    raw = encode_table(table)
    assert TableEncoder().encode(table) == raw
    assert decode.field_table(raw) == (len(raw), table)


@given(PAMQP_TABLES)
def test_we_read_the_tables_pamqp_writes(table: dict[str, Any]):
    """What pamqp writes is, to us, the table that was given."""
    assert decode_table(encode.field_table(table)) == table


@given(st.dictionaries(SHORT, RAW_NUMBERS, max_size=8))
def test_we_read_every_number_as_pamqp_does(fields: dict[str, tuple[bytes, bytes]]):
    """Widths and signs that no Python client writes mean to us what they mean to pamqp."""
    raw = join_table((name, kind + value) for name, (kind, value) in fields.items())
    assert decode_table(raw) == decode.field_table(raw)[1]


@given(TABLES)
def test_a_table_survives_writing_and_reading(table: dict[str, FieldValue]):
    """Reading gives back what was written."""
    assert decode_table(encode_table(table)) == table


@given(PROPERTIES, st.binary(max_size=20))
def test_pamqp_reads_the_publish_we_write(properties: dict[str, Any], body: bytes):
    """Method, header and body of a publish are to pamqp what was given, from both property encoders."""
    wanted = lane.Properties(**properties)
    raw = encode_properties(wanted)
    assert PropertiesEncoder().encode(wanted) == raw
    data = PublishRoute(9, "ex", "key", frame_max=131_072).encode(raw, body)
    used, channel, method = frame.unmarshal(data)
    assert isinstance(method, commands.Basic.Publish)
    size, _, content = frame.unmarshal(data[used:])
    assert isinstance(content, header.ContentHeader)
    assert (channel, content.body_size) == (9, len(body))
    read = {name: value for name, value in dict(content.properties).items() if value not in (None, "", {})}
    expected = {name: value for name, value in pamqp_arguments(properties).items() if value != {}}
    assert read == expected
    rest = data[used + size :]
    assert rest == b"" if not body else frame.unmarshal(rest)[2].value == body  # type: ignore[union-attr]


@given(PROPERTIES.flatmap(lambda given_: PAMQP_TABLES.map(lambda table: {**given_, "headers": table})))
def test_we_read_the_properties_pamqp_writes(properties: dict[str, Any]):
    """What pamqp writes into a content header is to us what was given."""
    raw = commands.Basic.Properties(**pamqp_arguments(properties)).marshal()
    read = decode_properties(raw)
    expected = {name: value for name, value in properties.items() if value != ""}
    assert read == Properties(**expected)


@given(PROPERTIES, SHORT, SHORT)
def test_properties_survive_writing_and_reading(properties: dict[str, Any], user_id: str, cluster_id: str):
    """All fourteen properties come back; empty texts stay empty texts."""
    given_ = Properties(**properties, user_id=user_id, cluster_id=cluster_id)
    assert decode_properties(encode_properties(given_)) == given_
    assert PropertiesEncoder().encode(given_) == encode_properties(given_)


@given(CHANNELS, TAGS, st.booleans(), st.booleans())
def test_pamqp_reads_the_settlements_we_write(channel: int, tag: int, multiple: bool, requeue: bool):
    """Ack, reject and nack are byte for byte what pamqp would have written."""
    basic = commands.Basic
    assert encode_ack(channel, tag, multiple=multiple) == frame.marshal(basic.Ack(tag, multiple), channel)
    assert encode_reject(channel, tag, requeue=requeue) == frame.marshal(basic.Reject(tag, requeue), channel)
    assert encode_nack(channel, tag, multiple=multiple, requeue=requeue) == frame.marshal(
        basic.Nack(tag, multiple, requeue), channel
    )
