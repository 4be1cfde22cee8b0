"""The tap lane: deliveries, publishes and acknowledgements as frames of our own, on channels aiormq keeps.

Deliveries come in on one connection, publishes go out on another, so that a broker that blocks publishers
does not stop acknowledgements. Everything that does not happen once a payment is aiormq's.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Self

import aio_pika
from aiormq.exceptions import AMQPError, ChannelInvalidStateError

from worker.amqp.confirms import Confirms
from worker.amqp.connection import Broker, connect, open_channel, underlay
from worker.amqp.lane import Confirmation, Outgoing, Unknown
from worker.amqp.tap import Tap, TapFactory, TappedConnection
from worker.amqp.watermark import Watermark
from worker.amqp.wire import Confirm, Delivery, Event, PropertiesEncoder, PublishRoute, Return, encode_ack
from worker.errors import BrokerUnavailable, MalformedProperties, WireError

CLOSE_SECONDS: Final = 5.0
MAX_ROUTES: Final = 4096


class TapLane:
    """A lane over two tapped connections, one channel each. Make it with ``open``."""

    def __init__(
        self, consuming: aio_pika.Connection, publishing: aio_pika.Connection, confirm_timeout: float
    ) -> None:
        self._connections = (consuming, publishing)
        self._confirm_timeout = confirm_timeout
        self._arrived: deque[Delivery] = deque()
        self._wake = asyncio.Event()
        self._stopped = False
        self._ended: str | None = None
        self._consumer_tag: str | None = None
        self._confirms = Confirms()
        self._encoder = PropertiesEncoder()
        self._routes: dict[tuple[str, str], PublishRoute] = {}

    @classmethod
    async def open(cls, broker: Broker, name: str, queue: str, prefetch: int, confirm_timeout: float) -> Self:
        """Connect twice and start to consume ``queue``, at most ``prefetch`` deliveries in flight.

        Raises:
            BrokerUnavailable, AccessRefused: as ``connect``; also when the queue cannot be consumed.
        """
        taps = TapFactory(), TapFactory()
        consuming = await connect(broker, f"{name} consume", TappedConnection, transport_factory=taps[0])
        try:
            publishing = await connect(broker, f"{name} publish", TappedConnection, transport_factory=taps[1])
        except BaseException:
            await consuming.close()
            raise
        lane = cls(consuming, publishing, confirm_timeout)
        try:
            await lane._start(taps[0].tap, taps[1].tap, queue, prefetch)
        except (AMQPError, ChannelInvalidStateError, OSError) as error:
            await lane.close()
            raise BrokerUnavailable(f"cannot consume {queue}: {error}") from error
        except BaseException:
            await lane.close()
            raise
        return lane

    async def _start(self, consuming_tap: Tap, publishing_tap: Tap, queue: str, prefetch: int) -> None:
        consuming, publishing = (underlay(connection) for connection in self._connections)
        self._consuming_tap, self._publishing_tap = consuming_tap, publishing_tap
        self._publisher = await open_channel(publishing)
        self._consumer = await open_channel(consuming, publisher_confirms=False)
        self._watermark = Watermark(patience=prefetch // 4)
        self._frame_max = publishing.connection_tune.frame_max
        publishing_tap.divert(self._publisher.number, self._frame_max, self._on_confirms)
        consuming_tap.divert(self._consumer.number, consuming.connection_tune.frame_max, self._on_deliveries)
        for resource, what in (
            (publishing, "publishing connection"),
            (consuming, "consuming connection"),
            (self._publisher, "publishing channel"),
            (self._consumer, "consuming channel"),
        ):
            self._watch(resource.closing, what)
        self._consumer.on_consumer_cancel_callbacks.add(
            lambda _: self._end(f"the broker cancelled the consumer of {queue}")
        )
        await self._consumer.basic_qos(prefetch_count=prefetch)
        started = await self._consumer.basic_consume(queue, _never_called)
        self._consumer_tag = started.consumer_tag

    def _watch(self, closing: "asyncio.Future[object]", what: str) -> None:
        def closed(future: "asyncio.Future[object]") -> None:
            cause = None if future.cancelled() else future.exception()
            broken = self._consuming_tap.failure or self._publishing_tap.failure or cause
            self._end(f"the {what} closed: {broken}" if broken else f"the {what} closed")

        closing.add_done_callback(closed)

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        self._wake.set()
        self._confirms.fail(self._ended)

    def _on_deliveries(self, events: list[Event]) -> None:
        self._arrived += (event for event in events if isinstance(event, Delivery))
        self._wake.set()

    def _on_confirms(self, events: list[Event]) -> None:
        confirms = self._confirms
        try:
            for event in events:
                if type(event) is Confirm:
                    confirms.confirm(event.tag, event.multiple, event.stored)
                elif type(event) is Return:
                    confirms.returned(event.properties.message_id, event.reply_text)
        except (WireError, MalformedProperties) as error:
            self._end(str(error))

    async def take(self, max_deliveries: int) -> Sequence[Delivery]:
        """See ``Lane.take``. It waits while the broker blocks publishers or does not read what we write."""
        arrived = self._arrived
        while True:
            if self._ended is not None:
                raise BrokerUnavailable(self._ended)
            if not self._publishing_tap.unblocked.is_set() or not self._publishing_tap.writable.is_set():
                await self._publishing_tap.unblocked.wait()
                await self._publishing_tap.writable.wait()
            elif arrived:
                return [arrived.popleft() for _ in range(min(max_deliveries, len(arrived)))]
            elif self._stopped:
                return []
            else:
                self._wake.clear()
                await self._wake.wait()

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Confirmation]:
        """See ``Lane.send``. Two publishes with one message id are never in flight together."""
        ids = [outgoing.properties.message_id or "" for outgoing in batch]
        if len(set(ids)) < len(ids) or any(map(self._confirms.in_flight, ids)):
            return [(await self._send_alone(outgoing)) for outgoing in batch]
        return await self._send(batch, ids)

    async def _send_alone(self, outgoing: Outgoing) -> Confirmation:
        message_id = outgoing.properties.message_id or ""
        while self._confirms.in_flight(message_id):  # noqa: ASYNC110 - rare: the worker's ids are unique
            await asyncio.sleep(0.001)
        return (await self._send([outgoing], [message_id]))[0]

    async def _send(self, batch: Sequence[Outgoing], ids: Sequence[str]) -> Sequence[Confirmation]:
        frames: list[bytes] = []
        encode, routes = self._encoder.encode, self._routes
        for outgoing in batch:
            exchange, key = outgoing.exchange, outgoing.routing_key
            route = routes.get((exchange, key)) or self._route(exchange, key)
            outgoing.properties.delivery_mode = 2
            frames += route.parts(encode(outgoing.properties), outgoing.body)
        if self._ended is not None:
            return [Unknown(self._ended)] * len(batch)
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent = self._confirms.publish(ids, lambda: _resolve(answered))
        self._publishing_tap.write(b"".join(frames))
        try:
            await self._answers(answered)
        except asyncio.CancelledError:
            self._end("a publish was cancelled before its confirm")
            raise
        return sent.outcomes

    async def _answers(self, answered: "asyncio.Future[None]") -> None:
        """Wait for the confirms; time during which the broker blocks publishers does not count."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._confirm_timeout, self._confirms_are_late, answered)
        try:
            await answered
        finally:
            timer.cancel()

    def _confirms_are_late(self, answered: "asyncio.Future[None]") -> None:
        if answered.done():
            return
        if self._publishing_tap.unblocked.is_set():
            self._end(f"no confirm within {self._confirm_timeout:g} s")
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(self._confirm_timeout, self._confirms_are_late, answered)

    def _route(self, exchange: str, routing_key: str) -> PublishRoute:
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        route = PublishRoute(self._publisher.number, exchange, routing_key, frame_max=self._frame_max)
        self._routes[exchange, routing_key] = route
        return route

    async def settle(self, tags: Iterable[int]) -> None:
        """See ``Lane.settle``. On an ended lane it does nothing: the broker will deliver again."""
        self._acknowledge(self._watermark.settle(tags))

    def _acknowledge(self, acks: list[tuple[int, bool]]) -> None:
        if acks and self._ended is None:
            channel = self._consumer.number
            self._consuming_tap.write(b"".join(encode_ack(channel, tag, multiple=m) for tag, m in acks))

    async def stop_intake(self) -> None:
        """See ``Lane.stop_intake``. The broker's cancel-ok comes after its last delivery."""
        if self._ended is None and self._consumer_tag is not None and not self._stopped:
            try:
                await self._consumer.basic_cancel(self._consumer_tag)
            except (AMQPError, ChannelInvalidStateError, OSError) as error:
                self._end(f"cannot stop the intake: {error}")
        self._stopped = True
        self._wake.set()

    async def close(self) -> None:
        """See ``Lane.close``. The channel's own close comes after the acks, so the broker has seen them."""
        if self._ended is None:
            self._acknowledge(self._watermark.flush())
            with contextlib.suppress(AMQPError, ChannelInvalidStateError, OSError, TimeoutError):
                await asyncio.wait_for(self._consumer.close(), CLOSE_SECONDS)
        self._end("the lane is closed")
        for connection in self._connections:
            await connection.close()


def _resolve(answered: "asyncio.Future[None]") -> None:
    if not answered.done():
        answered.set_result(None)


async def _never_called(_message: object) -> None:
    """Stand where aiormq wants a callback: the tap takes the deliveries before aiormq sees them."""
