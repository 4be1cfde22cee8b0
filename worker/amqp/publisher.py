"""Publishing for producers: messages to one exchange, each confirmed, a bounded number in flight."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from aiormq.abc import AbstractConnection
from aiormq.channel import Channel
from aiormq.exceptions import (
    AMQPError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    DeliveryError,
    PublishError,
)

from worker.amqp.connection import explain_closing, frame_max, is_stopped_by, open_channel, return_reason
from worker.amqp.lane import EncodedProperties, Properties
from worker.amqp.standard import ChannelProperties
from worker.amqp.wire.frames import CONTENT_FIELDS_BYTES, FRAME_OVERHEAD_BYTES
from worker.errors import BrokerUnavailable, MalformedProperties, TopologyMismatch, WorkerError

WINDOW: Final = 500
"""Messages in flight, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Message:
    """One body with its routing key. ``numbers`` are the places of its payments in the source, from 1.

    Without ``properties`` it is JSON. A message id of its own is unique; without one it gets one. Messages of
    one ``line`` go out one after another, each once the one before it is confirmed.
    """

    numbers: tuple[int, ...]
    routing_key: str
    body: bytes
    properties: Properties | EncodedProperties = field(
        default_factory=lambda: Properties(content_type="application/json")
    )
    line: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that the broker has not confirmed. ``unknown``: nobody knows whether it has taken it."""

    message: Message
    reason: str
    unknown: bool = False


@dataclass(slots=True)
class Publisher:
    """Publishes to one exchange over one channel, persistent and mandatory. Make it with ``open``.

    All ``publish`` calls together have at most ``window`` messages in flight. Once the channel has ended,
    ``ended`` says why, and nothing more is sent.
    """

    exchange: str
    confirm_timeout_seconds: float
    _channel: Channel
    _max_bytes: int
    _slots: asyncio.Semaphore
    ended: WorkerError | None = None
    _identity: str = field(default_factory=lambda: secrets.token_hex(8))
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @classmethod
    async def open(
        cls,
        connection: AbstractConnection,
        exchange: str,
        *,
        window: int = WINDOW,
        confirm_timeout_seconds: float = 30.0,
    ) -> Self:
        """Open a channel on the connection."""
        max_bytes = frame_max(connection) - FRAME_OVERHEAD_BYTES - CONTENT_FIELDS_BYTES
        channel = await open_channel(connection)
        return cls(exchange, confirm_timeout_seconds, channel, max_bytes, asyncio.Semaphore(window))

    async def publish(
        self, messages: Iterable[Message], on_confirmed: Callable[[Message], None]
    ) -> list[Failure]:
        """Publish all and return those that are not confirmed; ``on_confirmed`` learns the others.

        Where the channel ends, no more messages are taken, and those in flight are returned as ``unknown``.
        Where ``messages`` itself raises, those taken before are waited for first.
        """
        failures: list[Failure] = []
        last_of: dict[str, asyncio.Task[bool]] = {}
        running: set[asyncio.Task[bool]] = set()

        async def in_turn(message: Message, before: asyncio.Task[bool] | None) -> bool:
            failure = await self._send_behind(message, before)
            if failure is not None:
                failures.append(failure)
                return False
            on_confirmed(message)
            if message.line is not None and last_of[message.line] is asyncio.current_task():
                del last_of[message.line]
            return True

        def done(task: asyncio.Task[bool]) -> None:
            running.discard(task)
            self._slots.release()  # not by the task: one that is cancelled before it begins runs no code

        try:
            for message in messages:
                await self._slots.acquire()
                if self.ended is not None:
                    self._slots.release()
                    failures.append(Failure(message, f"not sent: {self.ended}"))
                    break
                before = None if message.line is None else last_of.get(message.line)
                task = asyncio.create_task(in_turn(message, before))
                if message.line is not None:
                    last_of[message.line] = task
                running.add(task)
                task.add_done_callback(done)
            await asyncio.gather(*running)
        except Exception:
            await asyncio.gather(*running, return_exceptions=True)
            raise
        finally:
            for task in running:
                task.cancel()
        return sorted(failures, key=lambda failure: failure.message.numbers)

    async def _send_behind(self, message: Message, before: asyncio.Task[bool] | None) -> Failure | None:
        if before is None or await before:
            return await self._send(message)
        return Failure(message, f"not sent: one before it of {message.line} is not confirmed")

    async def _send(self, message: Message) -> Failure | None:
        if self.ended is not None:
            return Failure(message, f"not sent: {self.ended}")
        message_id = message.properties.message_id or f"{self._identity}-{next(self._ids)}"
        try:
            await self._channel.basic_publish(
                message.body, exchange=self.exchange, routing_key=message.routing_key,
                properties=ChannelProperties(message.properties, message_id, self._max_bytes),
                mandatory=True, wait=False, timeout=self.confirm_timeout_seconds,
            )  # fmt: skip
        except (MalformedProperties, DeliveryError) as error:
            return Failure(message, _why(error))
        except TimeoutError:
            seconds = self.confirm_timeout_seconds
            return Failure(message, f"no confirm within {seconds:g} s: it may have arrived", unknown=True)
        except (AMQPError, ChannelInvalidStateError, OSError, asyncio.CancelledError) as error:
            if is_stopped_by(error):
                raise
            self.ended = self.ended or self._explain(error)
            return Failure(message, f"{self.ended}; it may have arrived", unknown=True)
        return None

    def _explain(self, error: BaseException) -> WorkerError:
        closing = self._channel.closing
        if closing.done() and not closing.cancelled():  # the cause; what waits only learns that it is closed
            error = closing.exception() or error
        if isinstance(error, ChannelNotFoundEntity):
            return TopologyMismatch(
                f"the broker has no exchange {self.exchange}; `payment-worker topology declare` creates it,"
                " or check --prefix"
            )
        return BrokerUnavailable(f"the connection ended: {explain_closing(error)}")

    async def close(self) -> None:
        """End the channel; nothing is sent any more."""
        await self._channel.close()


def _why(refusal: MalformedProperties | DeliveryError) -> str:
    match refusal:
        case PublishError():
            return f"returned by the broker: {return_reason(refusal)}"
        case DeliveryError():
            return "refused by the broker: a queue is full"
        case _:
            return str(refusal)


async def publish_all(
    connection: AbstractConnection,
    exchange: str,
    messages: Iterable[Message],
    on_confirmed: Callable[[int], None],
) -> list[Failure]:
    """Publish all messages for a command; return those refused.

    ``on_confirmed`` learns how many more payments were confirmed.

    Raises:
        TopologyMismatch: there is no such exchange.
        BrokerUnavailable: the connection ended; it says how many payments were confirmed until then.
    """
    publisher = await Publisher.open(connection, exchange)
    confirmed = 0

    def count(message: Message) -> None:
        nonlocal confirmed
        confirmed += len(message.numbers)
        on_confirmed(len(message.numbers))

    failures = await publisher.publish(messages, count)
    match publisher.ended:
        case None:
            await publisher.close()
            return failures
        case BrokerUnavailable() as ended:
            raise BrokerUnavailable(
                f"{ended}; {confirmed:,} payments were confirmed until then, and those in flight may or may"
                " not have arrived"
            )
        case ended:
            raise ended
