"""How a lane ends, and what it survives: closed connections, a memory alarm, TLS, silence."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
from yarl import URL

from tests.support.lane_rig import LANES, SOON, AnyLane, LaneRig, lane_rig
from tests.support.proxy import proxy_to
from tests.support.stage import eventually
from worker.amqp import tap
from worker.amqp.connection import underlay
from worker.amqp.lane import CONFIRMED, Confirmation, Unknown
from worker.amqp.paired import CLOSE_SECONDS
from worker.errors import BrokerUnavailable
from worker.local_broker import LocalBroker
from worker.rabbitmq import free_ports
from worker.settings import Settings

HEARTBEAT = 2
GIVEN_UP_SECONDS = (HEARTBEAT + 1) * 3
"""When aiormq gives a silent peer up: three heartbeats and a second of grace for each."""
WORKERS_HEARTBEAT: int = Settings.model_fields["heartbeat"].default
QUIET_SECONDS = float(os.environ.get("LANE_QUIET_SECONDS") or 0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """A certificate authority of the tests' own, and its certificate as a file."""
    made = trustme.CA()
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    return made, path


@pytest.fixture(scope="module")
def node(
    authority: tuple[trustme.CA, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalBroker]:
    """A node of these tests' own, since they close its connections and fill its memory; with TLS."""
    issued = authority[0].issue_cert("127.0.0.1", "localhost")
    folder = tmp_path_factory.mktemp("server")
    certificate, key = folder / "server.pem", folder / "server.key"
    issued.private_key_pem.write_to_path(str(key))
    certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    (port,) = free_ports(1)
    config = {
        "listeners.ssl.default": f"127.0.0.1:{port}",
        "ssl_options.cacertfile": str(authority[1]),
        "ssl_options.certfile": str(certificate),
        "ssl_options.keyfile": str(key),
        "ssl_options.verify": "verify_none",
    }
    with LocalBroker(extra_config=config) as started:
        started.tls_port = port  # type: ignore[attr-defined]
        yield started


@pytest.fixture
async def rig(node: LocalBroker, prefix: str) -> AsyncIterator[LaneRig]:
    """Queues on that node."""
    async with lane_rig(node.url, prefix) as made:
        yield made


@pytest.fixture(params=LANES)
async def lane(request: pytest.FixtureRequest, rig: LaneRig) -> AsyncIterator[AnyLane]:
    """Each lane in turn, whose confirms are late after a second."""
    opened = await rig.open(request.param, confirm_timeout=1.0)
    yield opened
    await opened.close()


async def ctl(node: LocalBroker, *arguments: str) -> None:
    await asyncio.to_thread(node.rabbitmqctl, *arguments)


async def test_a_connection_closed_by_the_broker_ends_the_lane(
    node: LocalBroker, rig: LaneRig, lane: AnyLane
) -> None:
    """The reason is the operator's words, no publish under way is called confirmed that has not arrived."""
    await rig.put(b"1")
    (delivery,) = await lane.take(1)
    sent: list[Sequence[Confirmation]] = []

    async def send_until_the_end() -> None:
        for _ in range(100_000):
            sent.append(await lane.send(rig.outgoing([b"x"] * 20)))
            if any(isinstance(outcome, Unknown) for outcome in sent[-1]):
                return
            await asyncio.sleep(0.02)  # enough are under way, and not too many to count afterwards

    sending = asyncio.create_task(send_until_the_end())
    await ctl(node, "close_all_connections", "maintenance at noon")
    with pytest.raises(BrokerUnavailable, match="maintenance at noon"):
        await asyncio.wait_for(lane.take(1), SOON)
    await asyncio.wait_for(sending, SOON)
    await lane.settle([delivery.tag])
    async with lane_rig_again(rig) as again:
        confirmed = sum(outcome == CONFIRMED for outcomes in sent for outcome in outcomes)
        assert len(await again.arrived()) >= confirmed > 0
        assert (await again.get_soon(rig.source)).body == b"1"


async def test_a_consuming_channel_closed_by_the_broker_ends_the_lane(rig: LaneRig, lane: AnyLane) -> None:
    """An ack of a tag that the broker does not know closes the channel; what was not settled comes again."""
    await rig.put(b"1")
    (delivery,) = await lane.take(1)
    await lane._acknowledge([(delivery.tag + 7, False)])
    with pytest.raises(BrokerUnavailable, match=r"unknown delivery tag"):
        await asyncio.wait_for(lane.take(1), SOON)
    await lane.settle([delivery.tag])
    (outcome,) = await lane.send(rig.outgoing([b"late"]))
    assert isinstance(outcome, Unknown)
    await lane.close()
    assert (await rig.get_soon(rig.source)).body == b"1"
    assert await rig.arrived() == []


@contextlib.asynccontextmanager
async def lane_rig_again(rig: LaneRig) -> AsyncIterator[LaneRig]:
    """The same queues over a connection that the broker has not closed."""
    async with lane_rig(rig.url, rig.source.removesuffix(".source")) as again:
        yield again


async def test_a_memory_alarm_only_holds_the_lane_up(node: LocalBroker, rig: LaneRig, lane: AnyLane) -> None:
    """While the broker blocks publishers nothing is taken and no confirm is late; then all goes on, whole."""
    await ctl(node, "set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        sending = asyncio.create_task(lane.send(rig.outgoing([b"1", b"2"])))

        async def blocked() -> bool:
            return lane._is_blocked()

        await eventually(blocked, "the alarm")
        later = asyncio.create_task(lane.send(rig.outgoing([b"3"])[:1]))
        lane._arrived.append(object())  # type: ignore[arg-type]  # as if a delivery waited
        taking = asyncio.create_task(lane.take(1))
        await asyncio.sleep(3.0)  # three times the confirm timeout
        assert not taking.done()
        assert not later.done()
    finally:
        await ctl(node, "set_vm_memory_high_watermark", "0.6")
    outcomes = [*await asyncio.wait_for(sending, SOON), *await asyncio.wait_for(later, SOON)]
    assert outcomes == [CONFIRMED] * 3
    assert len(await asyncio.wait_for(taking, SOON)) == 1
    assert await rig.arrived() == [b"1", b"2", b"3"]


async def test_a_lane_that_the_broker_blocks_can_stop(node: LocalBroker, rig: LaneRig, lane: AnyLane) -> None:
    """A drain is not held up by the alarm: what has arrived goes back to the broker."""
    await ctl(node, "set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        sending = asyncio.create_task(lane.send(rig.outgoing([b"1"])))

        async def blocked() -> bool:
            return lane._is_blocked()

        await eventually(blocked, "the alarm")
        lane._arrived.append(object())  # type: ignore[arg-type]  # as if a delivery waited
        taking = asyncio.create_task(lane.take(1))
        await asyncio.sleep(0)
        await asyncio.wait_for(lane.stop_intake(), SOON)
        assert await asyncio.wait_for(taking, SOON) == []
    finally:
        await ctl(node, "set_vm_memory_high_watermark", "0.6")
    assert await asyncio.wait_for(sending, SOON) == [CONFIRMED]


async def test_an_end_is_noticed_while_the_broker_blocks(
    node: LocalBroker, rig: LaneRig, lane: AnyLane
) -> None:
    """A lane that is held up and loses its consumer does not wait for the alarm to pass."""
    await ctl(node, "set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        sending = asyncio.create_task(lane.send(rig.outgoing([b"1"])))

        async def blocked() -> bool:
            return lane._is_blocked()

        await eventually(blocked, "the alarm")
        lane._arrived.append(object())  # type: ignore[arg-type]  # as if a delivery waited
        taking = asyncio.create_task(lane.take(1))
        await rig.channel.queue_delete(rig.source)
        with pytest.raises(BrokerUnavailable, match="cancelled the consumer"):
            await asyncio.wait_for(taking, SOON)
        (outcome,) = await asyncio.wait_for(sending, SOON)
        assert outcome == CONFIRMED or isinstance(outcome, Unknown)
    finally:
        await ctl(node, "set_vm_memory_high_watermark", "0.6")


@pytest.mark.parametrize("name", LANES)
async def test_a_lane_that_cannot_start_leaves_nothing_open(
    node: LocalBroker, rig: LaneRig, name: str
) -> None:
    """Without its queue a lane does not open, says which queue, and closes its connections."""
    await rig.channel.queue_delete(rig.source)
    with pytest.raises(BrokerUnavailable, match=f"cannot consume {rig.source}: .*no queue"):
        await rig.open(name)
    listed = await asyncio.to_thread(node.rabbitmqctl, "list_connections", "client_properties")
    assert "test tap" not in listed
    assert "test standard" not in listed


def tls_url(node: LocalBroker, ca: Path) -> str:
    port: int = node.tls_port  # type: ignore[attr-defined]
    return str(URL(node.url).with_scheme("amqps").with_port(port).with_query(cafile=str(ca)))


@pytest.mark.parametrize("name", LANES)
async def test_a_lane_over_tls(
    node: LocalBroker, rig: LaneRig, authority: tuple[trustme.CA, Path], name: str
) -> None:
    """Large and many messages pass through TLS like through plain sockets."""
    bodies = [bytes([number % 251]) * (200_000 if number % 100 == 0 else 50) for number in range(300)]
    await rig.put(*bodies)
    opened = await rig.open(name, url=tls_url(node, authority[1]))
    await rig.relay(opened, len(bodies))
    await opened.close()
    assert sorted(await rig.arrived()) == sorted(bodies)


@pytest.mark.parametrize("name", LANES)
async def test_an_unknown_authority_is_named(
    node: LocalBroker, rig: LaneRig, tmp_path: Path, name: str
) -> None:
    """A certificate that cannot be trusted is refused, and the error says that it is about TLS."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with pytest.raises(BrokerUnavailable, match=r"no TLS connection to amqps:.*certificate verify failed"):
        await rig.open(name, url=tls_url(node, other))


@pytest.mark.parametrize("name", LANES)
@pytest.mark.parametrize("which", ["consuming", "publishing"])
async def test_a_second_channel_of_aiormq_on_the_lanes_connections(
    rig: LaneRig, prefix: str, name: str, which: str
) -> None:
    """Beside a busy lane, aiormq declares, publishes with confirms and consumes on channels of its own."""
    count = 1000
    await rig.put(*(b"%d" % number for number in range(count)))
    opened = await rig.open(name)
    shared = underlay(opened._consuming if which == "consuming" else opened._publishing)
    moving = asyncio.create_task(rig.relay(opened, count))
    others: list[bytes] = []

    async def consumed(message: Any) -> None:
        others.append(message.body)

    own = f"{prefix}.own"
    consuming = await shared.channel()
    await consuming.queue_declare(own, durable=False, exclusive=True)
    await consuming.basic_consume(own, consumed, no_ack=True)
    publishing = await shared.channel(publisher_confirms=True)
    beside = 0
    while not moving.done():
        await publishing.basic_publish(b"%d" % beside, routing_key=own)
        beside += 1
    await moving

    async def all_came() -> bool:
        return len(others) == beside

    await eventually(all_came, f"{beside} messages on the other channel")
    assert others == [b"%d" % number for number in range(beside)]
    assert beside > 10
    await opened.close()
    assert sorted(map(int, await rig.arrived())) == list(range(count))


async def idle(rig: LaneRig, name: str, seconds: float, heartbeat: int = HEARTBEAT) -> None:
    """A lane on which nothing happens for many heartbeats still works."""
    opened = await rig.open(name, heartbeat=heartbeat)
    await asyncio.sleep(seconds)
    assert await opened.send(rig.outgoing([b"idle"])) == [CONFIRMED]
    await opened.close()


async def one_way(rig: LaneRig, seconds: float, name: str = "tap", heartbeat: int = HEARTBEAT) -> None:
    """A lane that only ever sees its own traffic, on each connection, for many heartbeats still works."""
    opened = await rig.open(name, heartbeat=heartbeat)
    until = time.monotonic() + seconds
    moved = 0
    while time.monotonic() < until:
        await rig.put(b"x")
        await rig.relay(opened, 1)
        moved += 1
        await asyncio.sleep(0.05)
    assert moved > 50
    await opened.close()


async def test_quiet_and_busy_connections_outlive_many_heartbeats(
    rig: LaneRig, node: LocalBroker, prefix: str
) -> None:
    """Neither idleness nor traffic that aiormq never sees is taken for a dead peer."""
    seconds = 1.5 * GIVEN_UP_SECONDS
    async with lane_rig(node.url, f"{prefix}.busy") as busy, asyncio.TaskGroup() as group:
        for name in LANES:
            group.create_task(idle(rig, name, seconds))
        group.create_task(one_way(busy, seconds))


@pytest.mark.skipif(QUIET_SECONDS == 0, reason="takes minutes: `make faults`, or set LANE_QUIET_SECONDS")
async def test_minutes_of_idleness_and_of_one_way_traffic(
    rig: LaneRig, node: LocalBroker, prefix: str
) -> None:
    """With the heartbeat that workers have, both lanes outlive several times what a silent peer is given."""
    assert QUIET_SECONDS >= 120
    async with (
        lane_rig(node.url, f"{prefix}.tap") as busy_tap,
        lane_rig(node.url, f"{prefix}.standard") as busy_standard,
        asyncio.TaskGroup() as group,
    ):
        for name in LANES:
            group.create_task(idle(rig, name, QUIET_SECONDS, WORKERS_HEARTBEAT))
        group.create_task(one_way(busy_tap, QUIET_SECONDS, "tap", WORKERS_HEARTBEAT))
        group.create_task(one_way(busy_standard, QUIET_SECONDS, "standard", WORKERS_HEARTBEAT))


async def test_a_silent_peer_is_noticed(rig: LaneRig, node: LocalBroker) -> None:
    """When nothing comes any more both lanes end within three heartbeats and a little, publishes unknown."""

    async def notice(name: str) -> None:
        async with proxy_to(node.port) as proxy:
            url = str(URL(node.url).with_port(proxy.port))
            opened = await rig.open(name, url=url, heartbeat=HEARTBEAT, confirm_timeout=60)
            assert await opened.send(rig.outgoing([b"x"])) == [CONFIRMED]
            proxy.silence()
            started = time.monotonic()
            sending = asyncio.create_task(opened.send(rig.outgoing([b"lost"])))
            with pytest.raises(BrokerUnavailable, match="the broker was silent"):
                await asyncio.wait_for(opened.take(1), 4 * SOON)
            (outcome,) = await asyncio.wait_for(sending, SOON)
            noticed = time.monotonic() - started
            assert isinstance(outcome, Unknown)
            assert GIVEN_UP_SECONDS - HEARTBEAT - 1 <= noticed <= GIVEN_UP_SECONDS + HEARTBEAT + 2
            closing = time.monotonic()
            await asyncio.wait_for(opened.close(), 4 * SOON)
            assert time.monotonic() - closing < 7

    async with asyncio.TaskGroup() as group:
        for name in LANES:
            group.create_task(notice(name))


async def test_a_peer_that_does_not_read_holds_the_intake_up(rig: LaneRig, node: LocalBroker) -> None:
    """With more than a write buffer waiting, nothing is taken that could not be sent either."""
    async with proxy_to(node.port) as proxy:
        opened = await rig.open("tap", url=str(URL(node.url).with_port(proxy.port)))
        await rig.put(b"1", b"2")
        assert len(await asyncio.wait_for(opened.take(1), SOON)) == 1
        assert await opened.send(rig.outgoing([b"first"])) == [CONFIRMED]
        proxy.silence()
        sending = asyncio.create_task(opened.send(rig.outgoing([bytes(8 * 1024 * 1024)] * 2)))
        opened._arrived.append(object())  # type: ignore[arg-type]  # as if a delivery waited
        await asyncio.sleep(0)
        taking = asyncio.create_task(opened.take(1))
        await asyncio.sleep(0.3)
        assert not taking.done()
        proxy.speak()
        assert len(await asyncio.wait_for(taking, SOON)) == 1
        assert await asyncio.wait_for(sending, SOON) == [CONFIRMED] * 2
        await opened.close()


async def test_a_silent_peer_does_not_hold_up_the_close(rig: LaneRig, node: LocalBroker) -> None:
    """A lane closes within seconds though nobody answers, also with megabytes that nobody reads."""

    async def close_in_silence(name: str, size: int) -> None:
        async with proxy_to(node.port) as proxy:
            opened = await rig.open(name, url=str(URL(node.url).with_port(proxy.port)))
            assert await opened.send(rig.outgoing([b"first"])) == [CONFIRMED]
            proxy.silence()
            sending = asyncio.create_task(opened.send(rig.outgoing([bytes(size)])))
            await asyncio.sleep(0.1)
            started = time.monotonic()
            await asyncio.wait_for(opened.close(), 4 * SOON)
            assert time.monotonic() - started < 2 * CLOSE_SECONDS + 3
            (outcome,) = await asyncio.wait_for(sending, SOON)
            assert isinstance(outcome, Unknown)

    async with asyncio.TaskGroup() as group:
        for name in LANES:
            for size in (1, 16 * 1024 * 1024):
                group.create_task(close_in_silence(name, size))


async def test_diverted_traffic_alone_would_look_like_silence(
    rig: LaneRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The assumption behind the tap's heartbeats: without them aiormq gives a busy connection up."""
    monkeypatch.setattr(tap, "_ALIVE_SECONDS", 1e9)
    with pytest.raises(BrokerUnavailable, match="the broker was silent"):
        await one_way(rig, 3 * GIVEN_UP_SECONDS)
