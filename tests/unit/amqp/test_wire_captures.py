"""What RabbitMQ 3.10.8 really sent, read to the last value."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from worker.amqp.assembler import Assembler
from worker.amqp.wire import Confirm, Delivery, Event, Return, Timestamp, decode_table
from worker.errors import MalformedProperties

FIXTURES = Path(__file__).parents[2] / "fixtures" / "amqp"


def events(name: str) -> list[Event]:
    assembler = Assembler()
    assembler.divert(1)
    return assembler.feed((FIXTURES / name).read_bytes())[0]


def with_body(body: bytes) -> Delivery:
    found = [event for event in events("field_types.bin") if isinstance(event, Delivery)]
    return next(event for event in found if event.body == body)


def test_every_property_a_client_can_set_is_read():
    """A message with all properties and headers of a client's types arrives as it was sent."""
    message = with_body(b'{"id":"pay_1"}')
    properties = message.properties
    assert (message.exchange, message.routing_key, message.redelivered) == ("", "cap.types", True)
    assert properties.content_type == "application/json"
    assert properties.content_encoding == "utf-8"
    assert (properties.delivery_mode, properties.priority) == (2, 3)
    assert (properties.correlation_id, properties.reply_to) == ("corr-1", "answers")
    assert (properties.message_id, properties.type, properties.app_id) == ("m-1", "payment", "producer")
    assert properties.timestamp == 1767323045
    assert {name: value for name, value in properties.headers.items() if not name.startswith("x-")} == {
        "text": "grüezi",
        "small": 7,
        "big": 2**40,
        "yes": True,
        "none": None,
        "decimal": Decimal("12.34"),
        "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "list": [1, "two", {"three": 3.5}],
        "raw": b"\x00\xff",
        "table": {"inner": {"deep": "x"}},
    }


def test_every_field_type_of_the_broker_is_read_and_a_property_of_bad_text_is_refused():
    """The broker passes on what no client library writes: rare types, and ids that are not UTF-8."""
    message = with_body(b'{"id":"pay_2"}')
    with pytest.raises(MalformedProperties, match="message_id is not UTF-8"):
        _ = message.properties
    headers = decode_table(message.raw_properties[2 : -len(b"\x04m-\xff2")])
    assert {name: value for name, value in headers.items() if len(name) == 1} == {
        "t": True,
        "b": -1,
        "B": 255,
        "s": -2,
        "u": 65534,
        "I": -2,
        "i": 4294967294,
        "l": -(2**63),
        "L": -5,
        "f": 0.5,
        "d": -1e300,
        "D": Decimal("12.34"),
        "S": b"\xff\xfe",
        "x": b"\x00\x01\x02",
        "T": Timestamp(2**63),
        "V": None,
        "F": {},
        "A": [False, None, None, True],
    }


def test_an_empty_message_has_no_body_frame():
    """The broker sends nothing behind the header of an empty body."""
    assert b"" in [event.body for event in events("field_types.bin") if isinstance(event, Delivery)]


def test_returns_stand_before_their_confirm_and_refusals_are_nacks():
    """Two refused by a full queue, two returned: each return is followed by the ack of its publish."""
    found = events("refusals.bin")
    refused = [event for event in found if isinstance(event, Confirm) and not event.stored]
    assert len(refused) == 2
    places = [place for place, event in enumerate(found) if isinstance(event, Return)]
    assert len(places) == 2
    for place in places:
        returned, confirm = found[place : place + 2]
        assert isinstance(returned, Return)
        assert (returned.reply_code, returned.reply_text, returned.routing_key) == (
            312,
            "NO_ROUTE",
            "cap.none",
        )
        assert isinstance(confirm, Confirm)
        assert confirm.stored


def test_bodies_over_frames_of_4096_bytes_are_put_together():
    """Bodies of one frame exactly, one byte more, and several frames."""
    bodies = [event.body for event in events("small_frames.bin") if isinstance(event, Delivery)]
    assert bodies == [bytes(number % 251 for number in range(size)) for size in (4088, 4089, 10_000)]
