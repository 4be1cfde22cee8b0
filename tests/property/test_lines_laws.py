"""Laws of taking messages apart: nothing is added, dropped, changed or moved."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.memory_lane import MemoryDelivery, Stored
from worker.amqp.lane import Properties
from worker.errors import EmptyMessage
from worker.lines import NDJSON, Bounds, Line, split, unpack

BOUNDS = Bounds(max_lines=10_000, max_bytes=1_000_000)
ENDS = st.sampled_from([b"\n", b"\r\n"])
BYTES = st.binary(max_size=12) | st.text(alphabet='{}" \t\r\x0b', max_size=8).map(str.encode)
LINES = BYTES.filter(lambda line: b"\n" not in line and not line.endswith(b"\r"))
BLANK = re.compile(rb"[ \t\r]*")


@given(st.lists(st.tuples(LINES, ENDS), min_size=1), LINES)
def test_lines_are_what_was_joined(lines: list[tuple[bytes, bytes]], last: bytes) -> None:
    """Whatever their ends, those that are not blank come out byte for byte, in order, under their numbers."""
    message = b"".join(line + end for line, end in lines) + last
    every = [*(line for line, _ in lines), last]
    expected = [(number, line) for number, line in enumerate(every, 1) if not BLANK.fullmatch(line)]
    if expected:
        assert split(message, Properties(), BOUNDS) == expected
    else:
        with pytest.raises(EmptyMessage):
            split(message, Properties(), BOUNDS)


@given(st.lists(st.tuples(st.binary(max_size=60), st.sampled_from([NDJSON, "application/json", None]))))
def test_every_message_ends_once(messages: list[tuple[bytes, str | None]]) -> None:
    """Of all that comes from a delivery one thing settles it, the last; deliveries keep their order."""
    deliveries = [
        MemoryDelivery(tag, Stored(message, Properties(content_type=content_type), "", ""))
        for tag, (message, content_type) in enumerate(messages, 1)
    ]
    settled = [
        one.tag for one in unpack(deliveries, BOUNDS) if not isinstance(one, Line) or one.parts.one_done()
    ]
    assert settled == [one.tag for one in deliveries]
