"""The tap: between the socket and aiormq's reader, for what happens once a payment.

aiormq takes a ``TransportFactory``, whose stream it reads and writes. Ours gives it a stream without the
deliveries, returns and confirms of the diverted channels: those go to their channel's receiver. Whole frames
written here stand between whole frames of aiormq's, which writes each in one piece.

aiormq counts a peer as alive by the frames that reach its reader, so diverted traffic is made known to it by
a heartbeat frame a second. docs/data-plane.md has the picture and what is assumed.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import aio_pika
from aio_pika.abc import ConnectionParameter
from aiormq.connection import TransportFactory
from yarl import URL

from worker.amqp.assembler import Assembler
from worker.amqp.wire import Event
from worker.amqp.wire.frames import FRAME_HEAD, FRAME_OVERHEAD_BYTES, METHOD_FRAME
from worker.errors import BrokerUnavailable, WireError

MAX_BODY_BYTES: Final = 128 * 1024 * 1024  # the largest message that any RabbitMQ takes by default
WRITE_HIGH_BYTES: Final = 1024 * 1024
_HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
_ALIVE_SECONDS: Final = 1.0
_BLOCKED: Final = b"\x00\x0a\x00\x3c"  # Connection.Blocked: class 10, method 60
_UNBLOCKED: Final = b"\x00\x0a\x00\x3d"
_CHANNEL_CLOSE: Final = b"\x00\x14\x00\x28"  # class 20, method 40; then the code and the reason
_CHANNEL_CLOSE_OK: Final = b"\x00\x14\x00\x29"

Receiver: TypeAlias = Callable[[list[Event]], None]
OnClosed: TypeAlias = Callable[[int, str], None]


class Tap(asyncio.Protocol):
    """The protocol on the socket. Frames that are not diverted go on to ``inner``, aiormq's reader."""

    def __init__(self, inner: asyncio.StreamReaderProtocol, loop: asyncio.AbstractEventLoop) -> None:
        self._inner, self._loop = inner, loop
        self._assembler = Assembler(max_body_bytes=MAX_BODY_BYTES)
        self._receivers: dict[int, tuple[Receiver, OnClosed | None]] = {}
        self._told_alive = 0.0
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._on_flow: Callable[[], None] = _ignore
        self.blocked = False
        self.failure: WireError | None = None

    @property
    def takes_publishes(self) -> bool:
        """Whether the broker takes and reads what we publish."""
        return self._writable and not self.blocked

    def watch_flow(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` whenever ``takes_publishes`` may have changed."""
        self._on_flow = changed

    def divert(
        self, channel: int, frame_max: int, receiver: Receiver, on_closed: OnClosed | None = None
    ) -> None:
        """Hand the deliveries, returns and confirms of a channel to ``receiver`` from now on.

        ``on_closed`` learns the broker's code and reason when it closes the channel, before aiormq does: from
        then on nothing may be written on it, or the broker would close the connection. A ``frame_max`` of 0
        means that the broker sends frames of any size: one may hold the largest body.
        """
        self._assembler.limit_frames(frame_max or MAX_BODY_BYTES + FRAME_OVERHEAD_BYTES)
        self._assembler.divert(channel)
        self._receivers[channel] = (receiver, on_closed)

    def write(self, frames: bytes) -> None:
        """Write whole frames; on a connection that is gone they are gone too."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket and show it to aiormq."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports have no such base
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Part the bytes: events to their receivers, the rest to aiormq."""
        try:
            events, passed = self._assembler.feed(data)
        except WireError as error:
            self.failure = error
            self.abort()
            return
        if events:
            self._hand_out(events)
        if passed:
            if len(passed) > len(_HEARTBEAT):
                self._take_note(passed)
            self._inner.data_received(passed)
        elif self._receivers and self._told_alive + _ALIVE_SECONDS <= (now := self._loop.time()):
            # Only once a channel is diverted: before, aiormq shakes hands and expects no heartbeat.
            self._told_alive = now
            self._inner.data_received(_HEARTBEAT)

    def _hand_out(self, events: list[Event]) -> None:
        """Hand events to their channels' receivers, each run of one channel's as one."""
        start, channel = 0, events[0].channel
        if len(self._receivers) > 1:
            for place, event in enumerate(events):
                if event.channel != channel:
                    self._receivers[channel][0](events[start:place])
                    start, channel = place, event.channel
        self._receivers[channel][0](events[start:] if start else events)

    def _take_note(self, passed: bytes) -> None:
        """Notice blocking and closed channels on their way to aiormq. ``passed`` holds whole frames."""
        at = 0
        while at + 11 <= len(passed):
            kind, channel, size = FRAME_HEAD.unpack_from(passed, at)
            method = passed[at + 7 : at + 11]
            if kind == METHOD_FRAME:
                if channel == 0 and method in (_BLOCKED, _UNBLOCKED):
                    self.blocked = method == _BLOCKED
                    self._on_flow()
                elif method == _CHANNEL_CLOSE and channel in self._receivers:
                    self._note_closed(channel, passed[at + 11 : at + 7 + size])
                elif method == _CHANNEL_CLOSE_OK and channel in self._receivers:
                    self._assembler.restore(channel)
                    del self._receivers[channel]
            at += size + 8

    def _note_closed(self, channel: int, arguments: bytes) -> None:
        """Take a channel that the broker has closed from its owner."""
        self._assembler.restore(channel)
        _, on_closed = self._receivers.pop(channel)
        if on_closed is not None:
            on_closed(int.from_bytes(arguments[:2]), arguments[3 : 3 + arguments[2]].decode(errors="replace"))

    def pause_writing(self) -> None:
        """Stop the intake: the broker does not read as fast as we write."""
        self._writable = False
        self._inner.pause_writing()
        self._on_flow()

    def resume_writing(self) -> None:
        """Let the intake go on."""
        self._writable = True
        self._inner.resume_writing()
        self._on_flow()

    def eof_received(self) -> bool | None:
        """Pass the end of the stream on."""
        return self._inner.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """Pass the end of the connection on."""
        self._inner.connection_lost(self.failure or error)

    def abort(self) -> None:
        """Drop the socket with all that waits to be written."""
        if self._transport is not None:
            self._transport.abort()


class TapFactory(TransportFactory):
    """Opens the socket of one connection, plain or TLS, with a tap on it."""

    def __init__(self) -> None:
        self.tap: Tap | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect as aiormq's own factories do."""
        provider = kwargs.pop("ssl_context_provider", None)
        context = await provider.get_context() if url.scheme == "amqps" and provider is not None else None
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        inner = asyncio.StreamReaderProtocol(reader, loop=loop)
        tap = self.tap = Tap(inner, loop)
        transport, _ = await loop.create_connection(
            lambda: tap, url.host or "", url.port or 0, ssl=context, **kwargs
        )
        return reader, asyncio.StreamWriter(transport, inner, reader, loop)


class TappedConnection(aio_pika.Connection):
    """aio-pika's connection, which hands a transport factory of ours on to aiormq."""

    PARAMETERS = (
        *aio_pika.Connection.PARAMETERS,
        ConnectionParameter(name="transport_factory", parser=lambda factory: factory, is_kwarg=True),
    )

    def __init__(self, url: URL, **options: Any) -> None:
        self._factory = TapFactory()
        super().__init__(url, transport_factory=self._factory, **options)

    @property
    def tap(self) -> Tap:
        """The tap on the open connection.

        Raises:
            BrokerUnavailable: it was never open.
        """
        if self._factory.tap is None:
            raise BrokerUnavailable("the connection was never open")
        return self._factory.tap


def _ignore() -> None:
    """Stand where nobody watches."""
