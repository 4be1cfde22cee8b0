"""Opening connections: aio-pika connects, authenticates and keeps the heartbeat; errors are for people."""

import asyncio
import errno
import logging
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import aio_pika
from aiormq.abc import AbstractConnection
from aiormq.channel import Channel
from aiormq.exceptions import (
    AMQPConnectionError,
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ConnectionNotAllowed,
    InvalidFrameError,
    ProbableAuthenticationError,
    PublishError,
)
from yarl import URL

from worker.amqp.wire.frames import DEFAULT_FRAME_MAX_BYTES
from worker.errors import AccessRefused, BrokerUnavailable, WorkerError

LIBRARY_LOGGERS: Final = ("aio_pika", "aiormq")
_TLS_FILES: Final = ("cafile", "capath", "certfile", "keyfile")
ConnectionT = TypeVar("ConnectionT", bound=aio_pika.Connection)


@dataclass(slots=True)
class _Turn:
    """Which of a broker's addresses has answered last."""

    place: int = 0


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and how to talk to it. ``repr`` shows no password.

    Where it has ``others`` too, the addresses are tried in turn, from the one on that has answered last.
    """

    url: URL
    heartbeat_seconds: int
    connect_timeout_seconds: float
    others: tuple[URL, ...] = ()
    _turn: _Turn = field(default_factory=_Turn, compare=False)

    def __repr__(self) -> str:
        """Show the address alone."""
        return f"Broker({self.address!r})"

    @property
    def address(self) -> str:
        """The URL without its password."""
        return str(self.url.with_password(None)) if self.url.user else str(self.url)

    def in_turn(self) -> Iterator["Broker"]:
        """Yield a broker for each address; to ask for the next one says that it has not answered."""
        urls = (self.url, *self.others)
        first = self._turn.place
        for step in range(len(urls)):
            self._turn.place = (first + step) % len(urls)
            yield replace(self, url=urls[self._turn.place], others=())


async def connect(broker: Broker, name: str, kind: type[ConnectionT]) -> ConnectionT:
    """Open a connection that shows up as ``name`` among the broker's connections.

    ``kind`` is aio-pika's connection class or one of ours.

    Raises:
        AccessRefused: the user, the password or the virtual host is wrong.
        BrokerUnavailable: anything else at every address, such as nobody listening.
    """
    failures = []
    for one in broker.in_turn():
        try:
            return await _connect_to(one, name, kind)
        except BrokerUnavailable as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    raise BrokerUnavailable("; ".join(map(str, failures))) from failures[-1]


async def _connect_to(broker: Broker, name: str, kind: type[ConnectionT]) -> ConnectionT:
    url = broker.url.update_query(name=name)
    if "heartbeat" not in url.query:
        url = url.update_query(heartbeat=str(broker.heartbeat_seconds))
    connection = kind(url)
    try:
        async with asyncio.timeout(broker.connect_timeout_seconds):
            await connection.connect()
    except BaseException as error:
        await connection.close()
        explained = _explain(error, broker)
        if explained is None:
            raise
        raise explained from error
    return connection


def underlay(connection: aio_pika.Connection) -> AbstractConnection:
    """Return aiormq's connection under aio-pika's."""
    if connection.transport is None:
        raise BrokerUnavailable("the connection is closed")
    return connection.transport.connection


def frame_max(connection: AbstractConnection) -> int:
    """Return the largest whole frame that we write, in bytes: what RabbitMQ's ``frame_max`` says.

    A broker may say 0, no limit (AMQP 0-9-1, connection.tune); then it is 131,072, RabbitMQ's own default.
    """
    return connection.connection_tune.frame_max or DEFAULT_FRAME_MAX_BYTES


async def open_channel(connection: AbstractConnection, *, publisher_confirms: bool = True) -> Channel:
    """Open one of aiormq's channels, whose class knows more than the abstract one says."""
    channel = await connection.channel(publisher_confirms=publisher_confirms)
    if not isinstance(channel, Channel):
        raise TypeError(f"aiormq opened a {type(channel).__name__}")
    return channel


@asynccontextmanager
async def connected(broker: Broker, name: str) -> AsyncIterator[AbstractConnection]:
    """Open a connection for a command's use and close it afterwards.

    Raises:
        BrokerUnavailable: it cannot be opened, or ended while it was used.
        AccessRefused: as ``connect``.
    """
    connection = await connect(broker, name, aio_pika.Connection)
    try:
        yield underlay(connection)
    except (AMQPConnectionError, ChannelInvalidStateError, asyncio.CancelledError) as error:
        if is_stopped_by(error):
            raise
        raise BrokerUnavailable(f"the connection to {broker.address} ended: {_cause(error)}") from error
    finally:
        await connection.close()


def is_stopped_by(error: BaseException) -> bool:
    """Whether this is somebody's wish that the current task stops.

    aiormq, too, cancels what waits on a connection: when it gives the connection up.
    """
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def return_reason(error: PublishError) -> str:
    """Return the broker's words for why it returned a mandatory publish, such as NO_ROUTE."""
    return str(getattr(error.frame, "reply_text", "no reason given"))


def explain_closing(cause: BaseException | None) -> str:
    """Return why a connection or channel closed, in words.

    aiormq cancels what waits on a connection whose peer it has given up, and then has no words of its own.
    """
    if cause is None:
        return "closed on our side"
    if isinstance(cause, asyncio.CancelledError):
        return "given up, since the broker was silent for about three heartbeats, or closed on our side"
    return str(cause) or type(cause).__name__


def quiet_libraries() -> None:
    """Silence the libraries' own error lines: the worker reports the same in its own words."""
    for name in LIBRARY_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _explain(error: BaseException, broker: Broker) -> WorkerError | None:
    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return AccessRefused(f"{broker.address} refuses the user or the password; check the AMQP URL")
    if isinstance(error, ConnectionNotAllowed) or _closed_instead_of_opened(error):
        return AccessRefused(
            f"{broker.address} refuses the virtual host: it does not exist, or the user may not use it"
        )
    if (trouble := _tls_trouble(error, broker.url)) is not None:
        return BrokerUnavailable(f"no TLS connection to {broker.address}: {trouble}")
    if isinstance(error, TimeoutError):
        return BrokerUnavailable(
            f"no answer from {broker.address} within {broker.connect_timeout_seconds:g} s; is it RabbitMQ?"
        )
    # aiormq stops an iteration where the peer has hung up at once, and cancels where it gives the peer up.
    if isinstance(error, AMQPError | OSError | StopAsyncIteration | asyncio.CancelledError) and (
        not is_stopped_by(error)
    ):
        return BrokerUnavailable(
            f"cannot reach RabbitMQ at {broker.address}: {_cause(error)}; is it running?"
            " `payment-worker broker` starts a private one"
        )
    return None


def _tls_trouble(error: BaseException | None, url: URL) -> str | None:
    """Return what is wrong with TLS, in words; None where it is something else.

    That is a TLS error, which aiormq may have wrapped, or a file that the URL names and nobody can read.
    """
    named = ((name, url.query.get(name)) for name in _TLS_FILES if url.scheme == "amqps")
    for name, path in named:
        if path is not None and not os.access(path, os.R_OK):
            return f"`{name}=` in the AMQP URL names {path}, which is not there or cannot be read"
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__
    if error is None:
        return None
    return (
        f"{error}; `cafile=` in the AMQP URL names the certificate authority to trust, `certfile=` and"
        " `keyfile=` a certificate of our own"
    )


def _closed_instead_of_opened(error: BaseException) -> bool:
    """Whether the broker answered Connection.Open with a close, which aiormq tells in its text only."""
    text = str(error)
    return isinstance(error, InvalidFrameError) and "Connection.OpenOk" in text and "Connection.Close" in text


def _cause(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError) or error.args[:1] == (errno.ECONNREFUSED,):
        return "connection refused"
    if isinstance(error, StopAsyncIteration):
        return "it closed the connection at once"
    return str(error) or type(error).__name__
