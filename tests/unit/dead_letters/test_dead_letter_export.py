"""Dead letters as lines of a file, and what is published from them."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from tests.support.dead_letters import dead_headers, dead_letter, delivery
from tests.support.payments import NOW
from worker.amqp.lane import Properties
from worker.amqp.wire import Timestamp
from worker.dead_letters import read_letter
from worker.dead_letters.exported import body_of, from_json, kept, read_line, to_exported, to_json
from worker.envelope import Envelopes
from worker.errors import ConfigurationError

LETTER = {"format": "payment-stream-worker/dead-letter/1", "exchange": "e", "routing_key": "k", "body": ""}


@pytest.mark.parametrize("body", [b'{"a": 1.50 }\r\n', "€ \u2028".encode(), b"", b"\x00", b"\xff\xfe"])
def test_body_comes_back_byte_for_byte(body: bytes) -> None:
    """Text stays text, anything else is base64."""
    line = orjson.dumps(to_exported(dead_letter(body)))
    assert body_of(read_line(line, 1)) == body
    assert ("body_base64" in json.loads(line)) == (body == b"\xff\xfe")


def test_line_has_all_that_the_message_had() -> None:
    """Properties that are set, every header, and where it lay."""
    properties = Properties(
        "application/json", priority=3, timestamp=1_700_000_000, message_id="m", headers={"tenant": "blue"}
    )
    assert to_exported(read_letter(delivery(b"{}", properties, exchange="dead", key="held"))) == {
        "format": "payment-stream-worker/dead-letter/1",
        "exchange": "dead",
        "routing_key": "held",
        "properties": {
            "content_type": "application/json",
            "priority": 3,
            "timestamp": 1_700_000_000,
            "message_id": "m",
        },
        "headers": {"tenant": "blue"},
        "body": "{}",
    }


def test_properties_that_cannot_be_read_are_kept_as_bytes() -> None:
    """Nothing is lost of a message that nobody can decode."""
    broken = delivery(b"{}", Properties())
    broken.raw_properties = b"\xff\xff\x01"
    line = orjson.dumps(to_exported(read_letter(broken)))
    assert read_line(line, 1).raw_properties_base64 == "//8B"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\xff", {"$bytes": "/w=="}),
        (datetime(2026, 1, 1, tzinfo=UTC), {"$time": 1767225600}),
        (Timestamp(2**63), {"$time": 2**63}),
        (Decimal("1.50"), {"$decimal": "1.50"}),
        (float("-inf"), {"$float": "-inf"}),
        ({"$bytes": "no bytes"}, {"$table": {"$bytes": "no bytes"}}),
        ([True, None, {"deep": [1.5]}], [True, None, {"deep": [1.5]}]),
    ],
)
def test_header_value_that_json_lacks_is_marked(value: Any, text: Any) -> None:
    """Each kind has its own mark and comes back as what it was."""
    assert to_json(value) == text
    assert from_json(json.loads(json.dumps(text))) == value


def test_letter_of_a_file_goes_back_as_one_of_the_queue_does() -> None:
    """The producer's own, the history and the count of redrives: a redrive from a file is a redrive."""
    headers = {**dead_headers(MESSAGE_ID="m-1", REDRIVES=2), "tenant": b"\xff", "x-death": []}
    properties = Properties("application/json", headers=headers, message_id="ours", app_id="shop")
    letter = read_letter(delivery(b"\xff", properties))
    envelopes = Envelopes(lambda: "new", "payments.dead", "payments.incoming")
    from_file = kept(read_line(orjson.dumps(to_exported(letter)), 1))
    assert envelopes.redriven("returns", from_file, NOW) == envelopes.redriven("returns", letter, NOW)


def test_letter_that_was_unreadable_goes_back_without_properties() -> None:
    """Its body is all that anybody could read."""
    broken = delivery(b"body", Properties())
    broken.raw_properties = b"\xff\xff"
    back = kept(read_line(orjson.dumps(to_exported(read_letter(broken))), 1))
    assert (back.body, back.properties) == (b"body", Properties())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other/1"}, "format: Input should be"),
        ({"body": None}, "a body or a body_base64"),
        ({"body_base64": "AA=="}, "a body or a body_base64"),
        ({"body": None, "body_base64": "$$$$$"}, "body_base64"),
        ({"properties": {"priority": "high"}}, "properties.priority"),
        ({"extra": 1}, "extra"),
        ({"headers": {"a": {"$bytes": "?"}}}, "headers: "),
        ({"headers": {"a": {"$decimal": "x"}}}, "headers: "),
    ],
)
def test_line_that_is_no_dead_letter_is_named(change: dict[str, Any], reason: str) -> None:
    """Its number and what is wrong with it."""
    with pytest.raises(ConfigurationError, match=r"^line 7 is no exported dead letter: ") as error:
        read_line(json.dumps({**LETTER, **change}).encode(), 7)
    assert reason in str(error.value)


def test_payment_is_no_exported_dead_letter() -> None:
    """A file of plain payments is refused as what it is not."""
    with pytest.raises(ConfigurationError, match="line 1"):
        read_line(b'{"payment_id":"pay-1"}', 1)
