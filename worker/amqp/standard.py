"""The standard lane: deliveries and publishes over aiormq's public channel API.

aiormq gives a connection up over a delivery whose properties it cannot decode, and everything in flight comes
again with it. So the lane begins with one delivery at a time, and goes on to its prefetch (less that one)
once the head of the queue has not come back twice: a message that kills its session soon kills it alone.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import uuid4

import aio_pika
from aiormq.abc import AbstractConnection, DeliveredMessage
from aiormq.channel import Channel
from aiormq.exceptions import (
    AMQPChannelError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    DeliveryError,
    PublishError,
)
from pamqp import commands

from worker.amqp.connection import explain_closing, frame_max, return_reason
from worker.amqp.lane import (
    CONFIRMED,
    Confirmation,
    EncodedProperties,
    Outgoing,
    Properties,
    Refused,
    Unknown,
)
from worker.amqp.paired import ACCESS_REFUSED, CHANNEL_ERRORS, PairedLane
from worker.amqp.wire import encode_properties
from worker.amqp.wire.frames import CONTENT_FIELDS_BYTES, FRAME_OVERHEAD_BYTES
from worker.errors import MalformedProperties, PublishRefused, Unroutable

_BLOCKED_POLL_SECONDS: Final = 0.1
_SAME_ID_POLL_SECONDS: Final = 0.001
_COUNT_HEADER: Final = "x-delivery-count"  # quorum queues write how often a message has come back
_SUSPECT_COUNT: Final = 2  # once may be any restart


@dataclass(slots=True)
class StandardDelivery:
    """A delivery with everything decoded, as aiormq hands it over."""

    tag: int
    body: bytes
    exchange: str
    routing_key: str
    redelivered: bool
    properties: Properties


class StandardLane(PairedLane[StandardDelivery, aio_pika.Connection, Channel]):
    """A lane over two connections. Make it with ``open``."""

    def __init__(
        self, consuming: aio_pika.Connection, publishing: aio_pika.Connection, confirm_timeout: float
    ) -> None:
        super().__init__(consuming, publishing, confirm_timeout)
        self._over: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._in_flight: set[str] = set()
        self._intake: Final = asyncio.Lock()  # one change of the consumer at a time
        self._full_intake: tuple[str, int] | None = None  # the queue and the prefetch still to come
        self._widening: asyncio.Task[None] | None = None

    @classmethod
    def connection_kind(cls) -> type[aio_pika.Connection]:
        """Return aio-pika's own connection."""
        return aio_pika.Connection

    def _prepare(self, consuming: AbstractConnection, publishing: AbstractConnection) -> None:
        del consuming
        self._publishing_underlay = publishing
        self._max_content = frame_max(publishing) - FRAME_OVERHEAD_BYTES
        self._max_properties = self._max_content - CONTENT_FIELDS_BYTES

    def _attach(self, exchange: str, channel: Channel) -> Channel:
        channel.max_content_size = self._max_content  # aiormq takes 0 for 0

        def closed(_: object) -> None:
            self._outlets.forget(exchange, channel)

        channel.closing.add_done_callback(closed)
        return channel

    def _is_idle(self, outlet: Channel) -> bool:
        return not outlet.confirmations

    async def _begin(self, queue: str, prefetch: int) -> None:
        if prefetch > 1:
            self._full_intake = (queue, prefetch - 1)  # the first delivery may still be in flight
        await super()._begin(queue, 1)

    async def _widen(self, queue: str, prefetch: int) -> None:
        """Consume afresh with all of the prefetch: RabbitMQ does not change that of a consumer it has."""
        async with self._intake:
            if self._stopped or self._ended is not None:
                return
            try:
                await self._consumer.basic_cancel(self._consumer_tag)
                await super()._begin(queue, prefetch)
            except (*CHANNEL_ERRORS, RuntimeError) as error:
                self._end(f"cannot consume {queue}: {explain_closing(error)}")

    async def stop_intake(self) -> None:
        """See ``Lane.stop_intake``. A change of consumers under way is waited for."""
        async with self._intake:
            await super().stop_intake()

    async def _consume(self, channel: Channel, queue: str) -> str:
        return str((await channel.basic_consume(queue, self._on_message)).consumer_tag)

    def _is_blocked(self) -> bool:
        """Whether ``ready``, all that aiormq tells about it, would have to wait."""
        ready = self._publishing_underlay.ready()
        try:
            ready.send(None)
        except StopIteration:
            return False
        ready.close()
        return True

    def _holds_back(self) -> bool:
        held_back = super()._holds_back()
        if held_back:
            asyncio.get_running_loop().call_later(_BLOCKED_POLL_SECONDS, self._wake.set)
        return held_back

    def _end(self, reason: str) -> None:
        super()._end(reason)
        if not self._over.done():
            self._over.set_result(None)

    async def _on_message(self, message: DeliveredMessage) -> None:
        frame = message.delivery
        if not isinstance(frame, commands.Basic.Deliver):
            self._end(f"unexpected frame for a consumer: {frame!r}")
            return
        properties = message.header.properties
        self._watermark.deliver(frame.delivery_tag or 0)
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
        if self._full_intake is not None and not _is_suspect(properties):
            self._widening = asyncio.create_task(self._widen(*self._full_intake))
            self._full_intake = None

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Confirmation]:
        """See ``Lane.send``. Each publish is a task; aiormq writes them in the order they start."""
        if self._ended is not None:
            return [Unknown(self._ended)] * len(batch)
        publishes = [asyncio.ensure_future(self._publish(outgoing)) for outgoing in batch]
        answered: asyncio.Future[Any] = asyncio.gather(*publishes, return_exceptions=True)
        waiting = self._clock.start()
        try:
            await asyncio.wait({answered, self._over}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._end("a publish was cancelled before its confirm")
            raise
        finally:
            self._clock.stop(waiting)
            for publish in publishes:
                publish.cancel()
        return [self._outcome(publish) for publish in publishes]

    def _outcome(self, publish: "asyncio.Task[Confirmation]") -> Confirmation:
        """Return what a publish has come to; one that has no answer yet gets none on this lane."""
        if publish.done() and not publish.cancelled():
            return publish.result()
        if self._ended is None:
            self._end("aiormq gave a publish up")
        return Unknown(self._ended or "")

    async def _publish(self, outgoing: Outgoing) -> Confirmation:
        """Publish one; aiormq matches returns by message id, so equal ids are never in flight together."""
        message_id = outgoing.properties.message_id or uuid4().hex
        while message_id in self._in_flight:  # noqa: ASYNC110 - rare: the worker's ids are unique
            await asyncio.sleep(_SAME_ID_POLL_SECONDS)
        self._in_flight.add(message_id)
        try:
            unanswered = await self._need_outlets([outgoing])
            return unanswered.get(outgoing.exchange) or await self._publish_alone(outgoing, message_id)
        finally:
            self._in_flight.discard(message_id)

    async def _publish_alone(self, outgoing: Outgoing, message_id: str) -> Confirmation:
        try:
            confirm = await self._outlets[outgoing.exchange].basic_publish(
                outgoing.body,
                exchange=outgoing.exchange,
                routing_key=outgoing.routing_key,
                properties=ChannelProperties(outgoing.properties, message_id, self._max_properties),
                mandatory=True,
                wait=False,
            )
        except MalformedProperties as error:
            return Refused(MalformedProperties.code, str(error))
        except PublishError as error:
            return Refused(Unroutable.code, f"returned by the broker: {return_reason(error)}")
        except DeliveryError:
            self._outlets.note_refusal(outgoing.exchange)
            return Refused(PublishRefused.code, "the broker answered with a nack")
        except ChannelAccessRefused as error:
            self._refuse_access(ACCESS_REFUSED, str(error))
            reason = str(error)
        except (AMQPChannelError, ChannelInvalidStateError) as error:
            return Unknown(explain_closing(error), again=True)
        except CHANNEL_ERRORS as error:
            reason = f"a publish was cut off: {explain_closing(error)}"
        else:
            if isinstance(confirm, commands.Basic.Ack):
                return CONFIRMED
            reason = f"unexpected answer to a publish: {confirm!r}"
        self._end(reason)
        return Unknown(reason)

    async def _acknowledge(self, acks: Iterable[tuple[int, bool]]) -> None:
        for tag, multiple in acks:
            if self._ended is None:
                try:
                    await self._consumer.basic_ack(tag, multiple=multiple, wait=False)
                except CHANNEL_ERRORS as error:
                    self._end(f"cannot acknowledge: {explain_closing(error)}")


def _is_suspect(properties: commands.Basic.Properties) -> bool:
    """Whether the message has come back so often that it or a neighbour may be what ended the sessions."""
    count = (properties.headers or {}).get(_COUNT_HEADER)
    return isinstance(count, int) and count >= _SUSPECT_COUNT


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


class ChannelProperties(commands.Basic.Properties):
    """Properties encoded by our own codec: pamqp's narrows doubles and refuses byte strings in headers.

    Raises:
        MalformedProperties: they cannot be encoded, or do not fit one frame, as AMQP requires.
    """

    def __init__(self, properties: Properties | EncodedProperties, message_id: str, max_bytes: int) -> None:
        super().__init__(message_id=message_id)
        if isinstance(properties, EncodedProperties):
            self._encoded = properties.raw
        else:
            self._encoded = encode_properties(replace(properties, message_id=message_id, delivery_mode=2))
        if len(self._encoded) > max_bytes:
            raise MalformedProperties(
                f"properties and headers of {len(self._encoded)} bytes do not fit the {max_bytes} bytes that"
                " one frame has for them, and AMQP cannot split them; shorten the headers"
            )

    def marshal(self) -> bytes:
        """Return the flags and values as a content header carries them."""
        return self._encoded
