"""A TCP proxy that does to connections what networks do: silence, delay, cuts, resets, lost frames."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal

Direction = Literal["to broker", "to client"]
Method = tuple[Direction, int, int]

ACKS: Final[frozenset[Method]] = frozenset({("to broker", 60, 80)})
"""Acknowledgements of deliveries: basic.ack, class 60, method 80."""
CONFIRMS: Final[frozenset[Method]] = frozenset({("to client", 60, 80), ("to client", 60, 120)})
"""Answers to publishes: basic.ack and basic.nack."""
NOTHING: Final[frozenset[Method]] = frozenset()

_PIECE_BYTES: Final = 65_536
_GREETING_BYTES: Final = 8
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards to ``target``, a port on 127.0.0.1. Change its attributes at any time.

    Attributes:
        port: where clients connect.
        target: where connections go that are opened from now on.
        delay: how many seconds each piece is held up.
        piece_bytes: how much is written at once, at most.
        lifetime: how many bytes a connection opened from now on lives; None is for ever.
        swallowed: the AMQP methods that never arrive.
        is_amqp: whether it is AMQP that is forwarded, frame by frame, or anything.
    """

    def __init__(self, target: int, *, is_amqp: bool = True) -> None:
        self.port = 0
        self.target = target
        self.is_amqp = is_amqp
        self.delay: Callable[[], float] = lambda: 0.0
        self.piece_bytes = _PIECE_BYTES
        self.lifetime: Callable[[], int | None] = lambda: None
        self.swallowed = NOTHING
        self._open = asyncio.Event()
        self._open.set()
        self._links: set[_Link] = set()

    @property
    def links(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def silence(self) -> None:
        """Forward nothing from now on, and read nothing; both ends stay connected."""
        self._open.clear()

    def speak(self) -> None:
        """Forward again."""
        self._open.set()

    def strand(self) -> None:
        """Let the connections that are open now hang for ever: only new ones work."""
        for link in self._links:
            link.open = asyncio.Event()

    def cut(self) -> None:
        """Close every connection, as a peer in good order does."""
        for link in list(self._links):
            link.close()

    def reset(self) -> None:
        """Reset every connection, as a peer does that knows nothing of it."""
        for link in list(self._links):
            link.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        link = _Link(self, (reader, writer), upstream, self.lifetime(), self._open)
        self._links.add(link)
        link.start(lambda: self._links.discard(link))

    async def _end(self) -> None:
        links = list(self._links)
        for link in links:
            link.close()
        await asyncio.gather(*(link.ended() for link in links))


class _Link:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        lifetime: int | None,
        is_open: asyncio.Event,
    ) -> None:
        self.open = is_open
        self._proxy, self._client, self._broker, self._left = proxy, client, broker, lifetime
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, at_end: Callable[[], None]) -> None:
        """Forward both ways until either end closes."""
        (client, to_client), (broker, to_broker) = self._client, self._broker
        self._tasks = [
            asyncio.create_task(self._forward(client, to_broker, _Frames("to broker", _GREETING_BYTES))),
            asyncio.create_task(self._forward(broker, to_client, _Frames("to client", 0))),
        ]
        self._tasks[0].add_done_callback(lambda _: at_end())

    def close(self) -> None:
        """Close both ends."""
        for task in self._tasks:
            task.cancel()
        for _, writer in (self._client, self._broker):
            writer.close()

    def reset(self) -> None:
        """Reset both ends."""
        for task in self._tasks:
            task.cancel()
        for _, writer in (self._client, self._broker):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            writer.transport.abort()

    async def ended(self) -> None:
        """Wait until nothing is forwarded any more."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, frames: "_Frames"
    ) -> None:
        try:
            while data := await source.read(_PIECE_BYTES):
                await self.open.wait()
                if self._proxy.is_amqp:
                    data = frames.without(self._proxy.swallowed, data)
                for piece in self._pieces(data):
                    await asyncio.sleep(self._proxy.delay())
                    sink.write(piece)
                    await sink.drain()
                if self._left == 0:
                    break
        except OSError:
            pass
        finally:
            self.close()

    def _pieces(self, data: bytes) -> list[bytes]:
        """Cut data into pieces, up to the end of the connection's life."""
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        size = self._proxy.piece_bytes
        return [data[at : at + size] for at in range(0, len(data), size)]


class _Frames:
    """The AMQP frames of one direction. The client's first bytes are a greeting and no frame."""

    def __init__(self, direction: Direction, greeting: int) -> None:
        self._direction, self._greeting = direction, greeting
        self._held = b""

    def without(self, swallowed: frozenset[Method], data: bytes) -> bytes:
        """Return the whole frames that have arrived, but for those of the methods to be swallowed."""
        data, self._held = self._held + data, b""
        passed = [data[: self._greeting]]
        at, self._greeting = self._greeting, 0
        while at + 7 <= len(data):
            size = int.from_bytes(data[at + 3 : at + 7], "big") + 8
            if at + size > len(data):
                break
            if not self._is_of(swallowed, data, at):
                passed.append(data[at : at + size])
            at += size
        self._held = data[at:]
        return b"".join(passed)

    def _is_of(self, methods: frozenset[Method], data: bytes, at: int) -> bool:
        numbers = struct.unpack_from(">HH", data, at + 7) if data[at] == 1 else (0, 0)
        return (self._direction, *numbers) in methods


@asynccontextmanager
async def proxy_to(port: int, *, is_amqp: bool = True) -> AsyncIterator[Proxy]:
    """Run a proxy for the block."""
    proxy = Proxy(port, is_amqp=is_amqp)
    server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        with contextlib.suppress(asyncio.CancelledError):
            await proxy._end()
        await server.wait_closed()
