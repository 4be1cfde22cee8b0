"""What the tap takes for granted about aio-pika and aiormq, each named: a new version fails here first.

docs/data-plane.md lists the same. When one fails: set the lane to `standard`, then mend `worker/amqp/tap.py`.
"""

import asyncio
import inspect
from importlib.metadata import requires
from typing import Any

import aio_pika
import aiormq
import pytest
from aio_pika.abc import ConnectionParameter
from aiormq.connection import SSLContextProvider, TransportFactory
from pamqp import commands
from yarl import URL

from tests.conftest import Connect
from worker.amqp.connection import open_channel, underlay
from worker.amqp.tap import TapFactory, TappedConnection
from worker.local_broker import LocalBroker


@pytest.mark.parametrize("package", ["aio-pika", "aiormq"])
def test_versions_are_bounded(package: str) -> None:
    """A major version that nobody has tried is not installed by itself."""
    (requirement,) = [one for one in requires("payment-stream-worker") or [] if one.startswith(package)]
    assert ">=" in requirement, f"{requirement} has no lower bound"
    assert "<" in requirement, f"{requirement} has no upper bound"


def test_aiormq_takes_a_transport_factory() -> None:
    """The hook: aiormq's connection is given an object that opens its stream."""
    parameters = inspect.signature(aiormq.Connection.__init__).parameters
    assert "transport_factory" in parameters, "aiormq.Connection no longer takes transport_factory="
    create = inspect.signature(TransportFactory.create)
    assert list(create.parameters) == ["self", "url", "kwargs"], f"TransportFactory.create is now {create}"
    assert inspect.iscoroutinefunction(TransportFactory.create)
    assert inspect.iscoroutinefunction(SSLContextProvider.get_context), "TLS contexts come another way now"


async def test_aio_pika_hands_the_factory_on_untouched() -> None:
    """The way there: a parameter added to a subclass reaches aiormq as a keyword, and no other does."""
    assert ConnectionParameter(name="x", parser=lambda value: value, is_kwarg=True).default is None
    connection = TappedConnection(URL("amqp://127.0.0.1:1/"))
    handed_on = connection.kwargs.get("transport_factory")
    assert isinstance(handed_on, TapFactory), "aio_pika.Connection.PARAMETERS no longer passes objects on"
    assert "transport_factory" not in connection.url.query
    await connection.close()


def test_aiormq_gives_a_silent_peer_three_heartbeats() -> None:
    """With the default heartbeat of 10 s a silent peer is noticed after 33 s."""
    grace = aiormq.Connection.HEARTBEAT_GRACE_MULTIPLIER
    assert grace == 3, f"aiormq now waits for {grace} heartbeats: correct docs/data-plane.md"


class _Recorder:
    """Wraps a transport; keeps each write."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.writes: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))
        self._transport.write(data)


def whole_frames(data: bytes) -> bool:
    """Whether bytes are nothing but whole frames."""
    at = 0
    while at < len(data):
        end = at + int.from_bytes(data[at + 3 : at + 7]) + 8
        if len(data) < end or data[end - 1] != 0xCE:
            return False
        at = end
    return True


async def test_aiormq_writes_whole_frames(broker: LocalBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our frames may stand between aiormq's writes, since each of those is whole frames, large bodies too."""
    recorders: list[_Recorder] = []
    create = TapFactory.create

    async def recording(self: TapFactory, url: URL, **kwargs: Any) -> Any:
        reader, writer = await create(self, url, **kwargs)
        recorders.append(_Recorder(writer._transport))  # type: ignore[attr-defined]
        writer._transport = recorders[-1]  # type: ignore[attr-defined]
        return reader, writer

    monkeypatch.setattr(TapFactory, "create", recording)
    connection = TappedConnection(URL(broker.url).update_query(heartbeat="1"))
    await connection.connect()
    channel = await underlay(connection).channel(publisher_confirms=True)
    declared = await channel.queue_declare(exclusive=True)
    properties = commands.Basic.Properties(headers={"x": "y" * 1000})
    await asyncio.gather(
        *(
            channel.basic_publish(bytes(size), routing_key=declared.queue or "", properties=properties)
            for size in (0, 1, 131_064, 131_065, 400_000)
        )
    )
    await asyncio.sleep(1.2)  # a heartbeat
    await connection.close()
    protocol_header, *writes = recorders[0].writes
    assert protocol_header.startswith(b"AMQP")
    assert len(writes) > 8
    assert all(map(whole_frames, writes)), "aiormq writes parts of frames: ours could land inside one"


async def test_aiormq_names_what_the_lanes_use(connect: Connect) -> None:
    """Numbers, tuning and endings that both lanes read."""
    connection = await connect()
    assert isinstance(connection, aio_pika.Connection)
    raw = underlay(connection)
    channel = await open_channel(raw)
    assert isinstance(channel.number, int)
    assert isinstance(channel.max_content_size, int)
    assert isinstance(raw.connection_tune.frame_max, int)
    assert isinstance(raw.closing, asyncio.Future)
    assert isinstance(channel.closing, asyncio.Future)
    assert hasattr(channel.on_consumer_cancel_callbacks, "add")
    await asyncio.wait_for(raw.ready(), 1.0)  # it waits while the broker blocks publishers
