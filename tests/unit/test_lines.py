"""Messages of many payments, taken apart: what is a line, and what is too much."""

import pytest

from tests.support.memory_lane import MemoryDelivery, Stored
from worker.amqp.lane import Delivery, Properties
from worker.errors import BatchTooLarge, EmptyMessage, PermanentError, UnsupportedContentType
from worker.lines import NDJSON, TRACEPARENTS, Bounds, Line, Parts, carries_many, split, unpack

BOUNDS = Bounds(max_lines=3, max_bytes=40)


def delivery(message: bytes, tag: int = 1, content_type: str | None = NDJSON) -> MemoryDelivery:
    properties = Properties(content_type=content_type, message_id="m-1", headers={"tenant": "blue"})
    return MemoryDelivery(tag, Stored(message, properties, "payments", "many", redelivered=True))


def bodies(found: list[Delivery]) -> list[bytes]:
    return [one.body for one in found]


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (b"{}", [(1, b"{}")]),
        (b"{1}\n{2}\n", [(1, b"{1}"), (2, b"{2}")]),
        (b"{1}\r\n{2}\r\n", [(1, b"{1}"), (2, b"{2}")]),
        (b"\n{1}\n \t\r\n\n{2}", [(2, b"{1}"), (5, b"{2}")]),
        (b" {1} \n{2}\r", [(1, b" {1} "), (2, b"{2}\r")]),
        (b"{1}\x0b\x0c\x85\n\x0c", [(1, b"{1}\x0b\x0c\x85"), (2, b"\x0c")]),
    ],
)
def test_a_line_ends_with_a_line_feed(message: bytes, lines: list[tuple[int, bytes]]) -> None:
    """CR LF ends one too; what is not JSON's white space is no blank line, and nothing else is taken off."""
    assert split(message, Properties(), BOUNDS) == lines


@pytest.mark.parametrize(
    ("message", "encoding", "error", "said"),
    [
        (b"1\n2\n3\n\n4", None, BatchTooLarge, "4 lines; at most 3 .*max_batch_lines"),
        (b"1" * 41, None, BatchTooLarge, "41 bytes of lines; at most 40 .*max_batch_bytes"),
        (b"", None, EmptyMessage, "no line"),
        (b"\n \r\n\t\n", None, EmptyMessage, "no line"),
        (b"1\n2", "gzip", UnsupportedContentType, "'gzip'"),
    ],
)
def test_what_cannot_be_split_says_why(
    message: bytes, encoding: str | None, error: type[PermanentError], said: str
) -> None:
    """A limit is named with the setting that it is."""
    with pytest.raises(error, match=said):
        split(message, Properties(content_encoding=encoding), BOUNDS)


@pytest.mark.parametrize("encoding", ["", "UTF-8", "identity"])
def test_encodings_that_change_nothing(encoding: str) -> None:
    """They are read as without one."""
    assert split(b"1\n2", Properties(content_encoding=encoding), BOUNDS) == [(1, b"1"), (2, b"2")]


@pytest.mark.parametrize(
    ("content_type", "many"),
    [
        (None, False),
        ("", False),
        ("application/json", False),
        ("application/x-ndjson", True),
        ("Application/X-NDJSON; charset=utf-8", True),
        ("application/x-ndjson2", False),
    ],
)
def test_the_content_type_says_that_there_are_many(content_type: str | None, *, many: bool) -> None:
    """Parameters and capitals make no difference."""
    assert carries_many(Properties(content_type=content_type)) is many


def test_lines_are_deliveries_of_one_payment() -> None:
    """They have what their message has, but for body, number and content type, in its place among others."""
    first, second = (delivery(b"1", 1, "application/json"), delivery(b"2\n\n3", 2))
    alone, *lines = unpack([first, second], BOUNDS)
    assert alone is first
    parts = Parts(2)
    properties = Properties(content_type="application/json", message_id="m-1", headers={"tenant": "blue"})
    assert lines == [
        Line(2, b"2", "payments", "many", True, properties, 1, parts),
        Line(2, b"3", "payments", "many", True, properties, 3, parts),
    ]
    assert isinstance(lines[0], Line)
    assert isinstance(lines[1], Line)
    assert lines[0].parts is lines[1].parts


def test_what_cannot_be_split_stays_one_delivery() -> None:
    """Its neighbours are split all the same."""
    assert bodies(list(unpack([delivery(b"1\n2\n3\n4"), delivery(b"5\n6")], BOUNDS))) == [
        b"1\n2\n3\n4", b"5", b"6",
    ]  # fmt: skip


def test_the_last_part_that_is_done_is_told() -> None:
    """Whichever line it is."""
    parts = Parts(3)
    assert [parts.one_done() for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("traces", "expected"),
    [("a,b", ["a", "b"]), ("a", ["m", "m"]), ("a,b,c", ["m", "m"]), (7, ["m", "m"]), (None, ["m", "m"])],
)
def test_a_message_may_name_a_trace_for_each_line(traces: object, expected: list[str]) -> None:
    """A list that does not fit is left out, and no line carries the traces of others."""
    message = delivery(b"1\n2")
    message.stored.properties.headers = {"traceparent": "m", TRACEPARENTS: traces, "tenant": "blue"}
    lines = list(unpack([message], BOUNDS))
    assert [one.properties.headers["traceparent"] for one in lines] == expected
    assert all(one.properties.headers.get(TRACEPARENTS) is None for one in lines)
    assert {one.properties.headers["tenant"] for one in lines} == {"blue"}
