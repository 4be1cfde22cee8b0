"""What both lanes on RabbitMQ share: a pair of connections, the intake's queue, and one end for everything.

Deliveries come in on one connection, publishes go out on the other, so that a broker that blocks publishers
does not stop acknowledgements. Each exchange is published to on a channel of its own, see ``outlets``.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Generic, Self, TypeVar

import aio_pika
from aiormq.abc import AbstractConnection
from aiormq.channel import Channel
from aiormq.exceptions import AMQPError, ChannelAccessRefused, ChannelInvalidStateError

from worker.amqp.confirm_clock import ConfirmClock
from worker.amqp.connection import (
    Broker,
    connect,
    explain_closing,
    is_stopped_by,
    open_channel,
    underlay,
)
from worker.amqp.declaring import look_at
from worker.amqp.lane import Outgoing, Refused, Unknown
from worker.amqp.outlets import Outlets
from worker.amqp.watchdog import Sight
from worker.amqp.watermark import Watermark
from worker.errors import AccessRefused, BrokerUnavailable

ACCESS_REFUSED: Final = 403  # AMQP 0-9-1, reply codes
CLOSE_SECONDS: Final = 5.0
ACK_SECONDS: Final = 1.0
"""How long an acknowledgement may wait for a gap to close; what is not acknowledged may repeat."""
_WHY_CANCELLED: Final = (  # a broker does not say which
    "the queue was deleted or lost its leader, or a delivery was held for longer than its consumer_timeout"
)
CHANNEL_ERRORS: Final = (AMQPError, ChannelInvalidStateError, OSError)

DeliveryT = TypeVar("DeliveryT")
ConnectionT = TypeVar("ConnectionT", bound=aio_pika.Connection)
OutletT = TypeVar("OutletT")


class PairedLane(ABC, Generic[DeliveryT, ConnectionT, OutletT]):
    """A lane over two connections. Make it with ``open``."""

    def __init__(self, consuming: ConnectionT, publishing: ConnectionT, confirm_timeout: float) -> None:
        self._consuming, self._publishing = consuming, publishing
        self._arrived: deque[DeliveryT] = deque()
        self._wake = asyncio.Event()
        self._stopped = False
        self._leaving = False
        self._ended: str | None = None
        self._access_refused: AccessRefused | None = None
        self._outlets = Outlets(lambda: underlay(self._publishing), self._attach, self._is_idle)
        self._closings: set[asyncio.Future[None]] = set()  # asyncio itself keeps no task alive
        self._flushing: asyncio.Task[None] | None = None
        self._clock = ConfirmClock(
            confirm_timeout, self._is_blocked, lambda: self._end(f"no confirm within {confirm_timeout:g} s")
        )

    @classmethod
    @abstractmethod
    def connection_kind(cls) -> type[ConnectionT]:
        """Return aio-pika's connection class or ours."""

    @classmethod
    async def open(cls, broker: Broker, name: str, queue: str, prefetch: int, confirm_timeout: float) -> Self:
        """Connect twice and start to consume ``queue``, at most ``prefetch`` deliveries in flight.

        A publish without a confirm ends the lane after ``confirm_timeout`` seconds; time during which the
        broker blocks publishers does not count.

        Raises:
            BrokerUnavailable, AccessRefused: as ``connect``; also when the queue cannot be consumed.
        """
        consuming = await connect(broker, f"{name} consume", cls.connection_kind())
        try:
            publishing = await connect(broker, f"{name} publish", cls.connection_kind())
        except BaseException:
            await consuming.close()
            raise
        lane = cls(consuming, publishing, confirm_timeout)
        try:
            await lane._start(queue, prefetch)
        except ChannelAccessRefused as error:
            await lane._shut("the lane could not start")
            raise AccessRefused(f"the broker lets this user not consume {queue}: {error}") from error
        except (*CHANNEL_ERRORS, RuntimeError) as error:  # aiormq raises RuntimeError on what has closed
            await lane._shut("the lane could not start")
            raise BrokerUnavailable(f"cannot consume {queue}: {error}") from error
        except BaseException as error:
            await lane._shut("the lane could not start")
            if isinstance(error, asyncio.CancelledError) and not is_stopped_by(error):
                raise BrokerUnavailable(f"cannot consume {queue}: {explain_closing(error)}") from error
            raise
        return lane

    async def _start(self, queue: str, prefetch: int) -> None:
        consuming, publishing = underlay(self._consuming), underlay(self._publishing)
        self._consumer = await open_channel(consuming, publisher_confirms=False)
        self._watermark = Watermark(patience=prefetch // 4)
        for resource, what in (
            (publishing, "publishing connection"),
            (consuming, "consuming connection"),
            (self._consumer, "consuming channel"),
        ):
            self._watch(resource.closing, what)
        self._consumer.on_consumer_cancel_callbacks.add(
            lambda _: self._end(f"the broker cancelled the consumer of {queue}: {_WHY_CANCELLED}")
        )
        self._prepare(consuming, publishing)
        await self._begin(queue, prefetch)

    async def _begin(self, queue: str, prefetch: int) -> None:
        """Start to consume, at most ``prefetch`` deliveries in flight."""
        self._prefetch = prefetch
        await self._consumer.basic_qos(prefetch_count=prefetch)
        self._consumer_tag = await self._consume(self._consumer, queue)

    def _prepare(self, consuming: AbstractConnection, publishing: AbstractConnection) -> None:
        """Do what has to be done before the first delivery can come."""

    @abstractmethod
    def _attach(self, exchange: str, channel: Channel) -> OutletT:
        """Make an outlet for the publishes to one exchange of a channel that is open."""

    @abstractmethod
    def _is_idle(self, outlet: OutletT) -> bool:
        """Whether every publish through the outlet has its answer."""

    @abstractmethod
    async def _consume(self, channel: Channel, queue: str) -> str:
        """Start to consume; return the consumer's tag."""

    @abstractmethod
    async def _acknowledge(self, acks: Iterable[tuple[int, bool]]) -> None:
        """Write acks, unless the lane has ended."""

    @abstractmethod
    def _is_blocked(self) -> bool:
        """Whether the broker has told us that it blocks publishers, for want of memory or disk."""

    def _holds_back(self) -> bool:
        """Whether nothing should be taken now, since nothing could be sent; ``_wake`` is set at its end."""
        return self._is_blocked()

    def _watch(self, closing: "asyncio.Future[object]", what: str) -> None:
        def closed(future: "asyncio.Future[object]") -> None:
            cause = None if future.cancelled() else future.exception()
            self._end(f"the {what} closed: {self._explain(cause)}")

        closing.add_done_callback(closed)

    def _explain(self, cause: BaseException | None) -> str:
        return explain_closing(cause)

    def _end(self, reason: str) -> None:
        """End the lane for good; the first reason stays."""
        self._ended = self._ended or reason
        self._clock.close()
        self._wake.set()
        if self._flushing is not None:
            self._flushing.cancel()

    @property
    def blocked(self) -> bool:
        """Whether the broker blocks publishers, for want of memory or disk; nothing is taken meanwhile."""
        return self._ended is None and self._is_blocked()

    async def take(self, max_deliveries: int) -> Sequence[DeliveryT]:
        """See ``Lane.take``. It waits while what was taken could not be sent."""
        arrived = self._arrived
        while True:
            if self._ended is not None:
                raise self._access_refused or BrokerUnavailable(self._ended)
            if self._leaving:
                return []
            held_back = self._holds_back()
            if arrived and not held_back:
                return [arrived.popleft() for _ in range(min(max_deliveries, len(arrived)))]
            if self._stopped:
                return []
            self._wake.clear()
            await self._wake.wait()

    async def _need_outlets(self, batch: Sequence[Outgoing]) -> Mapping[str, Refused | Unknown]:
        """See that every exchange of ``batch`` has an outlet; return the answer for those that get none."""
        try:
            return await self._outlets.need({outgoing.exchange for outgoing in batch})
        except asyncio.CancelledError:
            self._end("a publish was cancelled before its confirm")
            raise
        except BrokerUnavailable as error:
            self._end(str(error))
            return dict.fromkeys((one.exchange for one in batch), Unknown(self._ended or str(error)))

    def _refuse_access(self, code: int, reason: str) -> None:
        """End the lane for good if a publishing channel was closed because the user may not write there."""
        if code == ACCESS_REFUSED:
            self._access_refused = AccessRefused(f"the broker refuses a publish: {reason}")
            self._end(reason)

    async def missing_exchanges(self) -> set[str]:
        """Wait for exchanges that publishes were refused for, because they were not there."""
        return await self._outlets.missing()

    async def look(self, queue: str) -> Sight | None:
        """Look at the queue that is consumed; None where nothing can be seen, or nothing is to be expected.

        Raises:
            TopologyMismatch: there is no such queue.
        """
        if self._ended is not None or self._stopped or self._holds_back():
            return None
        try:
            ready, consumers = await look_at(underlay(self._consuming), queue)
        except (*CHANNEL_ERRORS, RuntimeError, BrokerUnavailable):
            return None
        room = self._watermark.unacknowledged < self._prefetch
        return Sight(ready, consumers, self._watermark.delivered, room)

    def give_up(self, reason: str) -> None:
        """End the lane for good."""
        self._end(reason)

    async def settle(self, tags: Iterable[int], *, at_once: bool = False) -> None:
        """See ``Lane.settle``. On an ended lane it does nothing: the broker will deliver again."""
        acks = self._watermark.settle(tags)
        await self._acknowledge([*acks, *self._watermark.flush()] if at_once else acks)
        if self._watermark.waits and self._flushing is None and self._ended is None:
            self._flushing = asyncio.create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        await asyncio.sleep(ACK_SECONDS)
        self._flushing = None
        await self._acknowledge(self._watermark.flush())

    async def stop_intake(self) -> None:
        """See ``Lane.stop_intake``. The broker's cancel-ok comes after its last delivery."""
        if self._ended is None and not self._stopped:
            try:
                await self._consumer.basic_cancel(self._consumer_tag)
                await asyncio.sleep(0)  # aiormq's deliveries from before the cancel-ok are tasks about to run
            except CHANNEL_ERRORS as error:
                self._end(f"cannot stop the intake: {explain_closing(error)}")
        self._stopped = True
        self._wake.set()

    def leave(self) -> None:
        """Give out nothing more, and stay the queue's consumer until ``close``: nobody else becomes active.

        What was not taken goes back to the broker then, in its order.
        """
        self._leaving = self._stopped = True
        self._wake.set()

    async def close(self) -> None:
        """See ``Lane.close``. The channel's own close comes after the acks, so the broker has seen them."""
        if self._ended is None:
            await self._acknowledge(self._watermark.flush())
            self._end("the lane is closed")
            with contextlib.suppress(*CHANNEL_ERRORS, TimeoutError):
                await asyncio.wait_for(self._consumer.close(), CLOSE_SECONDS)
        await self._shut("the lane is closed")

    async def _shut(self, reason: str) -> None:
        """Close both connections; one whose peer does not answer is dropped."""
        self._end(reason)
        await asyncio.gather(self._close(self._consuming), self._close(self._publishing))

    async def _close(self, connection: ConnectionT) -> None:
        closing = asyncio.ensure_future(connection.close())
        self._closings.add(closing)
        closing.add_done_callback(_forget_error)
        await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
        if not closing.done():
            self._drop(connection)

    def _drop(self, connection: ConnectionT) -> None:
        """Give a connection up that does not close in time; aiormq itself does so after three heartbeats."""


def _forget_error(closing: "asyncio.Future[None]") -> None:
    """Take note of how a connection closed: it is over, whatever it was."""
    if not closing.cancelled():
        closing.exception()
