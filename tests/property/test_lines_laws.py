"""Laws of taking messages apart: nothing is added, dropped, changed or moved."""

import asyncio
import itertools
import re
from collections import Counter

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.memory_lane import MemoryDelivery, Stored
from tests.support.memory_stage import MemoryStage
from tests.support.payments import RULES, body, rule_table
from worker.amqp.lane import Confirmation, Outgoing, Properties, Unknown
from worker.errors import EmptyMessage
from worker.journal.memory import MemoryJournal
from worker.lines import NDJSON, Bounds, Line, split, unpack
from worker.planning import Planner

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


FATES = st.sampled_from(["alpha", "beta", "dead"])


def line_of(number: int, fate: str) -> bytes:
    """A payment that goes there, different from all others."""
    good = body(payment_id=f"p{number}", currency="USD" if fate == "beta" else "EUR")
    return good[:-1] if fate == "dead" else good


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(FATES | st.just(""), max_size=30), min_size=1, max_size=4),
    st.integers(0, 60),
    st.booleans(),
    ENDS,
)
def test_every_line_has_one_fate(messages: list[list[str]], crash: int, asks: bool, end: bytes) -> None:
    """Good lines are dispatched once and bad ones dead byte for byte, though the session ends in between."""
    numbers = itertools.count(1)
    lines = [[(fate, line_of(next(numbers), fate) if fate else b"") for fate in fates] for fates in messages]
    batch = {"batch": {"max_payments": 7}} if asks else {}
    processors = {"alpha": {"exchange": "alpha", **batch}, "beta": {"exchange": "beta"}}

    async def run() -> MemoryStage:
        stage = MemoryStage(planner=Planner(rule_table({**RULES, "processors": processors})))
        stage.remember(MemoryJournal("one"))
        for message in lines:
            stage.put(end.join(line for _, line in message), content_type=NDJSON)
        publish, left = stage.broker.publish, crash

        def until_the_crash(outgoing: Outgoing) -> Confirmation:
            nonlocal left
            left -= 1
            return Unknown("crashed") if not left else publish(outgoing)

        stage.broker.publish = until_the_crash  # type: ignore[method-assign]
        running = asyncio.ensure_future(stage.pipeline.run())
        while stage.lane.ended is None and (stage.lane.unacked or stage.queue("in")):
            await asyncio.sleep(0)
        await stage.lane.stop_intake()
        await asyncio.gather(running, return_exceptions=True)
        if stage.queue("in"):
            stage.open()
            async with stage.running():
                await stage.until(lambda: not stage.lane.unacked and not stage.queue("in"))
        return stage

    stage = asyncio.run(run())
    for fate in ("alpha", "beta"):
        sent = [line for message in stage.queue(fate) for line in message.body.split(b"\n")]
        ids = Counter(orjson.loads(line)["payment_id"] for line in sent)
        expected = {orjson.loads(line)["payment_id"] for one in lines for to, line in one if to == fate}
        assert ids.keys() == expected
        assert len(set(sent)) == len(expected)
    dead = {line for one in lines for fate, line in one if fate == "dead"}
    empty = {end.join(line for _, line in one) for one in lines if not any(fate for fate, _ in one)}
    assert {message.body for message in stage.queue("dead")} == dead | empty
