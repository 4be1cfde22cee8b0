"""Properties: flags, values, and what is decoded when."""

import pytest

from worker.amqp import lane
from worker.amqp.wire import Headers, Properties, PropertiesEncoder, decode_properties, encode_properties
from worker.amqp.wire.properties import decode_lane_properties
from worker.errors import MalformedProperties


def test_absent_and_empty_are_told_apart():
    """None sets no flag; an empty text does."""
    assert encode_properties(Properties()) == b"\x00\x00"
    assert encode_properties(Properties(content_type="")) == b"\x80\x00\x00"
    assert decode_properties(b"\x80\x00\x00").content_type == ""
    assert decode_properties(b"\x00\x00").content_type is None


def test_an_empty_table_is_not_sent():
    """No header is no headers property."""
    assert encode_properties(lane.Properties(headers={})) == b"\x00\x00"
    assert PropertiesEncoder().encode(lane.Properties(headers={})) == b"\x00\x00"


def test_headers_are_decoded_only_when_used():
    """A table that cannot be read harms nobody who does not read it."""
    raw = b"\x20\x80" + b"\x00\x00\x00\x03\x01aq" + b"\x02id"
    properties = decode_properties(raw)
    assert properties.message_id == "id"
    assert isinstance(properties.headers, Headers)
    assert properties.headers.raw_table == b"\x00\x00\x00\x03\x01aq"
    with pytest.raises(MalformedProperties, match="unknown"):
        properties.headers.get("a")


def test_headers_behave_as_a_mapping():
    """Look-up, membership, iteration, length, items and equality are those of the decoded table."""
    headers = decode_properties(encode_properties(Properties(headers={"a": 1, "b": "x"}))).headers
    assert headers["a"] == 1
    assert "b" in headers
    assert "c" not in headers
    assert list(headers) == ["a", "b"]
    assert len(headers) == 2
    assert dict(headers.items()) == dict(headers) == headers == {"a": 1, "b": "x"}


def test_values_of_headers_stay_out_of_their_repr():
    """What a producer wrote into headers does not reach a log through repr."""
    headers = decode_properties(encode_properties(Properties(headers={"secret": "4111111111111111"}))).headers
    assert "4111" not in repr(headers)
    assert "secret" not in repr(headers)


def test_what_a_lane_gives_never_carries_a_user_id():
    """A copy of a foreign user id would make the broker close the channel."""
    raw = encode_properties(Properties(message_id="m", user_id="alice", app_id="a", cluster_id="c"))
    assert decode_properties(raw) == Properties(message_id="m", user_id="alice", app_id="a", cluster_id="c")
    assert type(decode_lane_properties(raw)) is lane.Properties
    assert encode_properties(decode_lane_properties(raw)) == encode_properties(
        lane.Properties(message_id="m", app_id="a")
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "cut off"),
        (b"\x80", "cut off"),
        (b"\x80\x00", "cut off"),
        (b"\x80\x00\x05abc", "end at byte 8"),
        (b"\x00\x00\x00", "end at byte 2"),
        (b"\x20\x00\x00\x00", "cut off"),
        (b"\x20\x00\x00\x00\x00\x05", "end at byte 11"),
        (b"\x10\x00", "cut off"),
        (b"\x00\x40\x00\x00\x00", "cut off"),
        (b"\x00\x01", "does not have"),
        (b"\x00\x02", "does not have"),
        (b"\x00\x80\x01\xff", "message_id is not UTF-8"),
    ],
)
def test_broken_properties_are_refused_by_name(raw: bytes, words: str):
    """Values that are cut off, left over, unknown or not UTF-8 are a named error."""
    with pytest.raises(MalformedProperties, match=words):
        decode_properties(raw)


@pytest.mark.parametrize(
    "properties",
    [
        lane.Properties(message_id="x" * 256),
        lane.Properties(correlation_id="ä" * 128),
        lane.Properties(expiration=60),  # type: ignore[arg-type]
        lane.Properties(message_id=b"m"),  # type: ignore[arg-type]
        lane.Properties(message_id="\ud800"),
        lane.Properties(priority=256),
        lane.Properties(delivery_mode=-1),
        lane.Properties(timestamp=-1),
        lane.Properties(timestamp=2**64),
        lane.Properties(timestamp=1.5),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_named(properties: lane.Properties):
    """Both encoders refuse what its property cannot hold, and say which property it is."""
    name = next(
        name
        for name in ("message_id", "correlation_id", "expiration", "priority", "delivery_mode", "timestamp")
        if getattr(properties, name) is not None
    )
    for encode in (encode_properties, PropertiesEncoder().encode):
        with pytest.raises(MalformedProperties, match=name):
            encode(properties)


def test_the_encoder_remembers_a_bounded_number_of_shapes():
    """However many types producers invent, the encoder keeps 256 and stays right."""
    encoder = PropertiesEncoder()
    for number in range(600):
        properties = lane.Properties(type=f"type-{number}", message_id="m")
        assert encoder.encode(properties) == encode_properties(properties)
    assert len(encoder._shapes) == 256


def test_no_text_of_a_producer_shows_in_an_error():
    """Errors are logged; what a producer wrote into ids and headers is not."""
    card = "4111111111111111"
    attempts = [
        lambda: encode_properties(lane.Properties(message_id=card * 20)),
        lambda: encode_properties(lane.Properties(timestamp=card)),  # type: ignore[arg-type]
        lambda: encode_properties(lane.Properties(headers={"k": card + "\ud800"})),
        lambda: encode_properties(lane.Properties(headers={card * 20: 1})),
        lambda: decode_properties(b"\x00\x80\x11" + card.encode() + b"\xff"),
    ]
    for attempt in attempts:
        with pytest.raises(MalformedProperties) as caught:
            attempt()
        assert "4111" not in str(caught.value)
