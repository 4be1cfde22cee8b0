"""The standard lane: deliveries and publishes over aiormq's public channel API.

Deliveries come in on one connection, publishes go out on another, so that a broker that blocks publishers
does not stop acknowledgements.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import aio_pika
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError
from pamqp import commands

from worker.amqp.connection import Broker, connect, open_channel, return_reason, underlay
from worker.amqp.lane import CONFIRMED, Confirmation, Outgoing, Properties, Refused, Unknown
from worker.amqp.watermark import Watermark
from worker.amqp.wire import encode_properties
from worker.errors import BrokerUnavailable, PublishRefused, Unroutable

CLOSE_SECONDS: Final = 5.0


@dataclass(slots=True)
class StandardDelivery:
    """A delivery with everything decoded, as aiormq hands it over."""

    tag: int
    body: bytes
    exchange: str
    routing_key: str
    redelivered: bool
    properties: Properties


class StandardLane:
    """A lane over two connections, one channel each. Make it with ``open``."""

    def __init__(
        self, consuming: aio_pika.Connection, publishing: aio_pika.Connection, confirm_timeout: float
    ) -> None:
        self._connections = (consuming, publishing)
        self._confirm_timeout = confirm_timeout
        self._arrived: deque[StandardDelivery] = deque()
        self._wake = asyncio.Event()
        self._stopped = False
        self._ended: str | None = None
        self._consumer_tag: str | None = None

    @classmethod
    async def open(cls, broker: Broker, name: str, queue: str, prefetch: int, confirm_timeout: float) -> Self:
        """Connect twice and start to consume ``queue``, at most ``prefetch`` deliveries in flight.

        Raises:
            BrokerUnavailable, AccessRefused: as ``connect``; also when the queue cannot be consumed.
        """
        consuming = await connect(broker, f"{name} consume")
        try:
            publishing = await connect(broker, f"{name} publish")
        except BaseException:
            await consuming.close()
            raise
        lane = cls(consuming, publishing, confirm_timeout)
        try:
            await lane._start(queue, prefetch)
        except (AMQPError, ChannelInvalidStateError, OSError) as error:
            await lane.close()
            raise BrokerUnavailable(f"cannot consume {queue}: {error}") from error
        except BaseException:
            await lane.close()
            raise
        return lane

    async def _start(self, queue: str, prefetch: int) -> None:
        consuming, publishing = (underlay(connection) for connection in self._connections)
        self._publisher = await open_channel(publishing)
        self._consumer = await open_channel(consuming, publisher_confirms=False)
        self._watermark = Watermark(patience=prefetch // 4)
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
        started = await self._consumer.basic_consume(queue, self._on_message)
        self._consumer_tag = started.consumer_tag

    def _watch(self, closing: "asyncio.Future[object]", what: str) -> None:
        def closed(future: "asyncio.Future[object]") -> None:
            cause = None if future.cancelled() else future.exception()
            self._end(f"the {what} closed: {cause}" if cause else f"the {what} closed")

        closing.add_done_callback(closed)

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        self._wake.set()

    async def _on_message(self, message: DeliveredMessage) -> None:
        frame = message.delivery
        if not isinstance(frame, commands.Basic.Deliver):
            self._end(f"unexpected frame for a consumer: {frame!r}")
            return
        properties = message.header.properties
        self._arrived.append(
            StandardDelivery(
                tag=frame.delivery_tag or 0,
                body=message.body,
                exchange=frame.exchange or "",
                routing_key=frame.routing_key or "",
                redelivered=bool(frame.redelivered),
                properties=_read_properties(properties),
            )
        )
        self._wake.set()

    async def take(self, max_deliveries: int) -> Sequence[StandardDelivery]:
        """See ``Lane.take``."""
        while True:
            if self._ended is not None:
                raise BrokerUnavailable(self._ended)
            if self._arrived:
                return [self._arrived.popleft() for _ in range(min(max_deliveries, len(self._arrived)))]
            if self._stopped:
                return []
            self._wake.clear()
            await self._wake.wait()

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Confirmation]:
        """See ``Lane.send``. Each publish is a task; aiormq writes them in the order they start."""
        try:
            return await asyncio.gather(*(self._publish(outgoing) for outgoing in batch))
        except asyncio.CancelledError:
            self._end("a publish was cancelled before its confirm")
            raise

    async def _publish(self, outgoing: Outgoing) -> Confirmation:
        try:
            confirm = await self._publisher.basic_publish(
                outgoing.body,
                exchange=outgoing.exchange,
                routing_key=outgoing.routing_key,
                properties=_Encoded(outgoing.properties),
                mandatory=True,
                wait=False,
                timeout=self._confirm_timeout,
            )
        except PublishError as error:
            return Refused(Unroutable.code, f"returned by the broker: {return_reason(error)}")
        except DeliveryError:
            return Refused(PublishRefused.code, "the broker answered with a nack")
        except TimeoutError:
            reason = f"no confirm within {self._confirm_timeout:g} s"
        except (AMQPError, ChannelInvalidStateError, OSError) as error:
            reason = str(error) or type(error).__name__
        else:
            if isinstance(confirm, commands.Basic.Ack):
                return CONFIRMED
            reason = f"unexpected answer to a publish: {confirm!r}"
        self._end(reason)
        return Unknown(reason)

    async def settle(self, tags: Iterable[int]) -> None:
        """See ``Lane.settle``. On an ended lane it does nothing: the broker will deliver again."""
        await self._acknowledge(self._watermark.settle(tags))

    async def _acknowledge(self, acks: Iterable[tuple[int, bool]]) -> None:
        for tag, multiple in acks:
            if self._ended is None:
                try:
                    await self._consumer.basic_ack(tag, multiple=multiple, wait=False)
                except (AMQPError, ChannelInvalidStateError, OSError) as error:
                    self._end(f"cannot acknowledge: {error}")

    async def stop_intake(self) -> None:
        """See ``Lane.stop_intake``."""
        if self._ended is None and self._consumer_tag is not None and not self._stopped:
            try:
                await self._consumer.basic_cancel(self._consumer_tag)
                await asyncio.sleep(0)  # deliveries that came before the cancel-ok are tasks about to run
            except (AMQPError, ChannelInvalidStateError, OSError) as error:
                self._end(f"cannot stop the intake: {error}")
        self._stopped = True
        self._wake.set()

    async def close(self) -> None:
        """See ``Lane.close``. The channel's own close comes after the acks, so the broker has seen them."""
        if self._ended is None:
            await self._acknowledge(self._watermark.flush())
            with contextlib.suppress(AMQPError, ChannelInvalidStateError, OSError, TimeoutError):
                await asyncio.wait_for(self._consumer.close(), CLOSE_SECONDS)
        self._end("the lane is closed")
        for connection in self._connections:
            await connection.close()


def _read_properties(properties: commands.Basic.Properties) -> Properties:
    timestamp = properties.timestamp
    return Properties(
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        headers=properties.headers or {},
        delivery_mode=properties.delivery_mode,
        priority=properties.priority,
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        expiration=properties.expiration,
        message_id=properties.message_id,
        timestamp=int(timestamp.timestamp()) if timestamp else None,
        type=properties.message_type,
        app_id=properties.app_id,
    )


class _Encoded(commands.Basic.Properties):
    """Properties encoded by our own codec: pamqp's narrows doubles and refuses byte strings in headers."""

    def __init__(self, properties: Properties) -> None:
        super().__init__(message_id=properties.message_id)
        self._encoded = encode_properties(replace(properties, delivery_mode=2, expiration=None))

    def marshal(self) -> bytes:
        """Return the flags and values as a content header carries them."""
        return self._encoded
