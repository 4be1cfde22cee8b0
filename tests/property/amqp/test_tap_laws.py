"""The tap gives the same events and passes the same bytes on, however the stream is cut."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from tests.support.fake_socket import (
    BLOCKED,
    HEARTBEAT,
    UNBLOCKED,
    Basic,
    Bench,
    deliver,
    method,
    returned,
)
from worker.amqp.wire import Confirm, Delivery, Event, Return

BODIES = st.binary(max_size=40)
TAGS = st.integers(1, 2**40)
PASSES = (
    BLOCKED,
    UNBLOCKED,
    HEARTBEAT,
    method(commands.Channel.OpenOk(), 2),
    method(Basic.CancelOk("ctag")),
    deliver(9, b"another's", channel=2, pieces=2),
)
TAKEN = st.one_of(
    st.builds(deliver, TAGS, BODIES, pieces=st.integers(1, 3)),
    st.builds(returned, BODIES),
    st.builds(lambda tag, many: method(Basic.Ack(tag, many)), TAGS, st.booleans()),
    st.builds(lambda tag, many: method(Basic.Nack(tag, many, False)), TAGS, st.booleans()),
)
FRAMES = st.lists(st.one_of(st.sampled_from(PASSES), TAKEN), min_size=1, max_size=12)


def facts(event: Event) -> tuple[Any, ...]:
    """What an event says, as values that compare."""
    match event:
        case Delivery():
            return (event.tag, event.exchange, event.routing_key, event.raw_properties, event.body)
        case Return():
            return (event.reply_code, event.reply_text, event.raw_properties, event.body)
        case Confirm():
            return (event.tag, event.multiple, event.stored)


async def tap(pieces: list[bytes]) -> tuple[list[tuple[Any, ...]], bytes, bool]:
    """Feed a tap; give the events, the bytes passed on, and whether publishes are taken in the end.

    The clock stands just after a heartbeat, so that none of the tap's own stands among the bytes.
    """
    bench = Bench()
    bench.tap._told_alive = bench.now
    for piece in pieces:
        bench.tap.data_received(piece)
    return [facts(event) for event in bench.events], bench.reader.bytes_received, bench.tap.takes_publishes


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    """Cut a stream at these offsets."""
    edges = sorted({0, len(stream), *(offset % (len(stream) + 1) for offset in at)})
    return [stream[start:end] for start, end in pairwise(edges)]


@settings(max_examples=200)
@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=30))
def test_any_cut_gives_the_same(frames: list[bytes], at: list[int]) -> None:
    """Cut anywhere and anyhow, the tap says and passes on what it does for the stream in one piece."""
    stream = b"".join(frames)
    assert asyncio.run(tap(cut(stream, at))) == asyncio.run(tap([stream]))


@given(FRAMES)
def test_what_is_not_taken_passes_unchanged(frames: list[bytes]) -> None:
    """The library gets every other frame, byte for byte and in order."""
    _, passed, takes_publishes = asyncio.run(tap([b"".join(frames)]))
    assert passed == b"".join(frame for frame in frames if frame in PASSES)
    flow = [frame for frame in frames if frame in (BLOCKED, UNBLOCKED)]
    assert takes_publishes == (not flow or flow[-1] == UNBLOCKED)


STREAM = b"".join(
    (
        deliver(1, b"one"),
        BLOCKED,
        deliver(2, b"two, in pieces", pieces=3),
        method(Basic.Ack(3, True)),
        returned(b"back"),
        PASSES[-1],
        UNBLOCKED,
        deliver(3, b""),
        HEARTBEAT,
    )
)


@pytest.mark.parametrize("step", range(12))
async def test_every_cut_in_two_gives_the_same(step: int) -> None:
    """One stream with everything in it, cut in two at every single offset."""
    whole = await tap([STREAM])
    assert len(whole[0]) == 5
    for at in range(step, len(STREAM), 12):
        assert await tap([STREAM[:at], STREAM[at:]]) == whole


async def test_one_byte_at_a_time_gives_the_same() -> None:
    """The worst network there is."""
    assert await tap([bytes([octet]) for octet in STREAM]) == await tap([STREAM])
