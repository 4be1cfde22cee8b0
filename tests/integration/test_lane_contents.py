"""Whole messages through both lanes: large bodies over small frames, headers of every type."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pamqp import commands

from tests.support.lane_rig import LANES, SOON, LaneRig, lane_rig
from tests.support.producer import publish_raw, raw_headers
from worker.amqp.lane import CONFIRMED, Outgoing, Refused
from worker.local_broker import LocalBroker

MIB = 1024 * 1024
AROUND_A_FRAME = 8
"""Bytes of a frame that are not its payload."""


@pytest.fixture(scope="module")
def small_frames() -> Iterator[tuple[LocalBroker, int]]:
    """A node that negotiates the smallest frames it may: AMQP's 4096 bytes, from RabbitMQ 4.1 on 8192."""
    with LocalBroker() as node:
        version = re.findall(r"\d+", node.rabbitmqctl("eval", "rabbit_misc:version()."))
        smallest = 4096 if tuple(map(int, version)) < (4, 1) else 8192
        node.rabbitmqctl("eval", f"application:set_env(rabbit, frame_max, {smallest}).")
        yield node, smallest


@pytest.fixture
def smallest_frame(small_frames: tuple[LocalBroker, int]) -> int:
    """The bytes of that node's frames."""
    return small_frames[1]


@pytest.fixture
async def rig(small_frames: tuple[LocalBroker, int], prefix: str) -> AsyncIterator[LaneRig]:
    """Queues on that node."""
    async with lane_rig(small_frames[0].url, prefix) as made:
        yield made


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("bytes_more", [0, 1, 64 * 1024, 8 * MIB])
async def test_large_bodies_over_small_frames(
    rig: LaneRig, lane: str, smallest_frame: int, bytes_more: int
) -> None:
    """A body of one to 2,050 frames comes in and goes out byte-identical, and its neighbour unharmed."""
    size = smallest_frame - AROUND_A_FRAME + bytes_more
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    await rig.put(body, b"neighbour")
    opened = await rig.open(lane)
    taken: list[Any] = []
    async with asyncio.timeout(2 * SOON):
        while len(taken) < 2:
            taken += await opened.take(2)
        assert sorted(map(len, (delivery.body for delivery in taken))) == sorted((size, len(b"neighbour")))
        outcomes = await opened.send(rig.outgoing(delivery.body for delivery in taken))
    assert outcomes == [CONFIRMED, CONFIRMED]
    await opened.settle(delivery.tag for delivery in taken)
    await opened.close()
    assert sorted(await rig.arrived()) == sorted((body, b"neighbour"))


@pytest.fixture(scope="module")
def no_limit() -> Iterator[LocalBroker]:
    """A node that says 0 for the largest frame: any size."""
    with LocalBroker(extra_config={"frame_max": "0"}) as node:
        yield node


@pytest.mark.parametrize("lane", LANES)
async def test_a_broker_without_a_limit_for_frames(no_limit: LocalBroker, prefix: str, lane: str) -> None:
    """Large bodies come in and go out, and headers that no default frame holds are refused, not sent."""
    body = bytes(range(251)) * (8 * MIB // 251)
    async with lane_rig(no_limit.url, prefix) as rig:
        await rig.put(body)
        opened = await rig.open(lane)
        async with asyncio.timeout(2 * SOON):
            (delivery,) = await opened.take(1)
            batch = rig.outgoing([delivery.body, b"long headers"])
            batch[1].properties.headers = {"note": "x" * 131_072}
            stored, refused = await opened.send(batch)
        assert stored is CONFIRMED
        assert isinstance(refused, Refused)
        assert refused.code == "malformed_properties"
        await opened.settle([delivery.tag])
        await opened.close()
        assert await rig.arrived() == [body]


@pytest.mark.parametrize("lane", LANES)
async def test_headers_beyond_a_small_frame_are_refused_not_sent(
    rig: LaneRig, lane: str, smallest_frame: int
) -> None:
    """What the broker would answer by closing the connection is refused before, and the lane goes on."""
    opened = await rig.open(lane)
    batch = rig.outgoing([b"small", b"large"])
    batch[1].properties.headers = {"note": "x" * smallest_frame}
    stored, refused = await opened.send(batch)
    assert stored is CONFIRMED
    assert isinstance(refused, Refused)
    assert refused.code == "malformed_properties"
    assert await opened.send(rig.outgoing([b"after"])) == [CONFIRMED]
    await opened.close()
    assert await rig.arrived() == [b"small", b"after"]


EVERY_TYPE = (
    (b"boolean", b"t\x01"),
    (b"int8", b"b\x80"),
    (b"int16", b"s\x80\x00"),
    (b"int32", b"I\x80\x00\x00\x00"),
    (b"uint32", b"i\xff\xff\xff\xff"),
    (b"uint8", b"B\xff"),
    (b"uint16", b"u\xff\xff"),
    (b"int64-as-L", b"L\x80\x00\x00\x00\x00\x00\x00\x00"),
    (b"int64", b"l\x80\x00\x00\x00\x00\x00\x00\x00"),
    (b"float", b"f\x3f\x80\x00\x00"),
    (b"double", b"d\x3f\xb9\x99\x99\x99\x99\x99\x9a"),
    (b"decimal", b"D\x02\x00\x00\x04\xd2"),
    (b"text", b"S\x00\x00\x00\x06Gr\xc3\xbc\xc3\x9f"),
    (b"bytes", b"x\x00\x00\x00\x03\x00\xff\xfe"),
    (b"time", b"T\x00\x00\x00\x00\x69\x25\x00\x00"),
    (b"void", b"V"),
    (b"array", b"A\x00\x00\x00\x08I\x00\x00\x00\x01t\x00V"),
    (b"table", b"F\x00\x00\x00\x0c\x05innerS\x00\x00\x00\x01x"),
)


@pytest.mark.parametrize("lane", LANES)
async def test_headers_of_every_type_in_and_out(rig: LaneRig, lane: str) -> None:
    """Headers of each type that RabbitMQ knows are sent on, and read at the far end as they went in."""
    raw = raw_headers(*EVERY_TYPE)
    await asyncio.to_thread(publish_raw, rig.url, rig.source, b"first", raw)
    before = await rig.get(rig.source)
    assert before is not None
    await asyncio.to_thread(publish_raw, rig.url, rig.source, b"second", raw)
    opened = await rig.open(lane)
    async with asyncio.timeout(SOON):
        (delivery,) = await opened.take(1)
        properties = delivery.properties
        properties.message_id = "m"
        assert await opened.send([Outgoing(rig.target, "key", delivery.body, properties)]) == [CONFIRMED]
    await opened.settle([delivery.tag])
    await opened.close()
    after = await rig.get(rig.target)
    assert after is not None
    assert _headers(after.header.properties) == _headers(before.header.properties)
    assert _headers(after.header.properties).keys() >= {name.decode() for name, _ in EVERY_TYPE}


def _headers(properties: Any) -> dict[str, Any]:
    assert isinstance(properties, commands.Basic.Properties)
    return {name: (type(value), value) for name, value in (properties.headers or {}).items()}
