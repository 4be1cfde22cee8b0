"""A tap without a network: a transport and a reader that record, and frames as a broker writes them."""

import asyncio
from typing import TYPE_CHECKING, Any

from pamqp import body, commands, frame, header, heartbeat

from worker.amqp.tap import Tap

if TYPE_CHECKING:
    from worker.amqp.wire import Event

CHANNEL = 1
FRAME_MAX = 131_072
Basic = commands.Basic


class FakeTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False
        self.high: int | None = None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class FakeReader(asyncio.StreamReaderProtocol):
    """Stands for aiormq's reader: keeps what reaches it, in the order of the calls."""

    def __init__(self) -> None:
        super().__init__(asyncio.StreamReader())
        self.received: list[bytes] = []
        self.calls: list[Any] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.received.append(data)

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(exc)

    @property
    def bytes_received(self) -> bytes:
        return b"".join(self.received)


class Bench:
    """A tap between a fake socket and a fake reader, one channel diverted. It needs a running loop."""

    def __init__(self, *channels: int) -> None:
        self.reader = FakeReader()
        self.transport = FakeTransport()
        self.loop = asyncio.get_running_loop()
        self.now = 1000.0
        self.tap = Tap(self.reader, self)  # type: ignore[arg-type]  # all it asks of a loop is the time
        self.tap.connection_made(self.transport)
        self.events: list[Event] = []
        for channel in channels or (CHANNEL,):
            self.tap.divert(channel, FRAME_MAX, self.events.extend)

    def time(self) -> float:
        """The loop's clock, as this test wants it."""
        return self.now


def method(value: Any, channel: int = CHANNEL) -> bytes:
    """Encode a method's frame."""
    return bytes(frame.marshal(value, channel))


def content(value: Any, text: bytes, channel: int = CHANNEL, pieces: int = 1) -> bytes:
    """Encode a method with a content in ``pieces`` body frames."""
    properties = Basic.Properties(message_id="id", headers={"a": 1})
    frames = [
        method(value, channel),
        bytes(frame.marshal(header.ContentHeader(0, len(text), properties), channel)),
    ]
    step = max(1, -(-len(text) // pieces))
    frames += [
        bytes(frame.marshal(body.ContentBody(text[at : at + step]), channel))
        for at in range(0, len(text), step)
    ]
    return b"".join(frames)


def deliver(tag: int, text: bytes, channel: int = CHANNEL, pieces: int = 1) -> bytes:
    """Encode a delivery."""
    return content(Basic.Deliver("ctag", tag, False, "ex", "key"), text, channel, pieces)


def returned(text: bytes, channel: int = CHANNEL) -> bytes:
    """Encode a return."""
    return content(Basic.Return(312, "NO_ROUTE", "ex", "key"), text, channel)


HEARTBEAT = bytes(frame.marshal(heartbeat.Heartbeat(), 0))
BLOCKED = method(commands.Connection.Blocked("low on memory"), 0)
UNBLOCKED = method(commands.Connection.Unblocked(), 0)
