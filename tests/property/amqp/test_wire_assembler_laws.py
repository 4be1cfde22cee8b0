"""The assembler gives the same whatever way the bytes are cut, and exactly what pamqp reads."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import body, commands, frame, header, heartbeat

from worker.amqp.assembler import Assembler
from worker.amqp.wire import Confirm, Delivery, Event, Return

Basic = commands.Basic
FIXTURES = Path(__file__).parents[2] / "fixtures" / "amqp"
CAPTURES = sorted(FIXTURES.glob("*.bin"))
NAMES = st.text(st.characters(codec="utf-8"), max_size=20)
EXCHANGES = st.text("abcXYZ019-_.:", max_size=20)  # what pamqp lets an exchange be called
TAGS = st.integers(1, 2**63 - 1)
DIVERTED = (1, 2)


def facts(event: Event) -> tuple[Any, ...]:
    """Everything an event says, as values that compare."""
    match event:
        case Delivery():
            names = (event.consumer_tag, event.exchange, event.routing_key)
            return (
                "deliver",
                event.channel,
                event.tag,
                event.redelivered,
                *names,
                event.raw_properties,
                event.body,
            )
        case Return():
            names = (str(event.reply_code), event.reply_text, event.exchange, event.routing_key)
            return ("return", event.channel, *names, event.raw_properties, event.body)
        case Confirm():
            return ("confirm", event.channel, event.tag, event.multiple, event.stored)


def feed(pieces: list[bytes]) -> tuple[list[tuple[Any, ...]], bytes]:
    """Feed an assembler that diverts channels 1 and 2; give all events and all that passed."""
    assembler = Assembler()
    for channel in DIVERTED:
        assembler.divert(channel)
    events: list[tuple[Any, ...]] = []
    passed = bytearray()
    for piece in pieces:
        found, through = assembler.feed(piece)
        events += map(facts, found)
        passed += through
    assert assembler.held_bytes == 0
    return events, bytes(passed)


def read_by_pamqp(stream: bytes) -> tuple[list[tuple[Any, ...]], bytes]:
    """Part the stream as the assembler should, frame by frame, with pamqp and without any haste."""
    events: list[tuple[Any, ...]] = []
    passed = b""
    opened: dict[int, list[Any]] = {}
    while stream:
        size, channel, value = frame.unmarshal(stream)
        raw, stream = stream[:size], stream[size:]
        taking = opened.get(channel)
        match value:
            case _ if channel not in DIVERTED:
                passed += raw
            case Basic.Deliver():
                names = (value.consumer_tag, value.exchange, value.routing_key)
                opened[channel] = ["deliver", channel, value.delivery_tag, value.redelivered, *names]
            case Basic.Return():
                names = (str(value.reply_code), value.reply_text, value.exchange, value.routing_key)
                opened[channel] = ["return", channel, *names]
            case Basic.Ack() | Basic.Nack():
                events.append(
                    ("confirm", channel, value.delivery_tag, value.multiple, isinstance(value, Basic.Ack))
                )
            case header.ContentHeader() if taking is not None:
                taking += [raw[19:-1], b"", value.body_size]
            case body.ContentBody() if taking is not None:
                taking[-2] += value.value
            case _:
                passed += raw
        if taking is not None and isinstance(taking[-1], int) and len(taking[-2]) == taking[-1]:
            events.append(tuple(taking[:-1]))
            del opened[channel]
    return events, passed


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Draw one whole utterance of the broker on one channel."""
    channel = draw(st.integers(1, 3))
    multiple = draw(st.booleans())
    tag = draw(TAGS)
    method = draw(
        st.sampled_from(
            [
                Basic.Deliver(draw(NAMES), tag, multiple, draw(EXCHANGES), draw(NAMES)),
                Basic.Return(312, draw(NAMES), draw(EXCHANGES), draw(NAMES)),
                Basic.GetOk(tag, multiple, "ex", "key", 3),
                Basic.Ack(tag, multiple),
                Basic.Nack(tag, multiple, False),
                Basic.QosOk(),
                Basic.Cancel(draw(NAMES)),
                commands.Channel.Close(404, "gone", 60, 40),
            ]
        )
    )
    parts: list[Any] = [method]
    if isinstance(method, Basic.Deliver | Basic.Return | Basic.GetOk):
        data = draw(st.binary(max_size=60))
        step = draw(st.integers(1, 60))
        properties = Basic.Properties(message_id=draw(NAMES), headers={"attempt": tag})
        parts += [
            header.ContentHeader(0, len(data), properties),
            *(body.ContentBody(data[at : at + step]) for at in range(0, len(data), step)),
        ]
    beat = frame.marshal(heartbeat.Heartbeat(), 0) if draw(st.booleans()) else b""
    return b"".join(frame.marshal(part, channel) for part in parts) + beat


STREAMS = st.lists(messages(), max_size=6).map(b"".join)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@given(STREAMS, st.lists(st.integers(0, 10_000), max_size=30))
def test_any_cut_gives_what_pamqp_reads(stream: bytes, places: list[int]):
    """Events and passing bytes are those of a slow reader, whole, cut at random and byte by byte."""
    expected = read_by_pamqp(stream)
    assert feed([stream]) == expected
    assert feed(cut(stream, places)) == expected
    assert feed([stream[at : at + 1] for at in range(len(stream))]) == expected


@settings(max_examples=15)
@given(STREAMS)
def test_every_single_cut_gives_the_same(stream: bytes):
    """The stream cut in two at every offset gives the same."""
    expected = feed([stream])
    for place in range(len(stream) + 1):
        assert feed([stream[:place], stream[place:]]) == expected


def test_there_are_captures():
    """The tests below have something to read."""
    assert {path.name for path in CAPTURES} == {
        "burst.bin",
        "field_types.bin",
        "refusals.bin",
        "small_frames.bin",
    }


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_real_broker_is_understood_however_its_bytes_are_cut(path: Path):
    """What RabbitMQ 3.10 sent gives the same whole, at every cut in two, and in small pieces."""
    stream = path.read_bytes()
    expected = feed([stream])
    assert len(expected[0]) > 3
    for place in range(0, len(stream), 1 if len(stream) < 3000 else 17):
        assert feed([stream[:place], stream[place:]]) == expected
    for size in (1, 2, 3, 7, 8, 11, 64, 1000):
        assert feed([stream[at : at + size] for at in range(0, len(stream), size)]) == expected


@pytest.mark.parametrize("name", ["burst.bin", "refusals.bin", "small_frames.bin"])
def test_a_real_broker_is_understood_as_pamqp_understands_it(name: str):
    """Of what RabbitMQ 3.10 sent, the assembler takes and leaves what a slow reader does."""
    stream = (FIXTURES / name).read_bytes()
    assert feed([stream]) == read_by_pamqp(stream)
