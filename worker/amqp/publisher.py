"""Publishing from the command line: bodies to one exchange, each confirmed, many in flight."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiormq.abc import AbstractConnection
from aiormq.exceptions import (
    AMQPError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    DeliveryError,
    PublishError,
)

from worker.amqp.connection import frame_max, open_channel, return_reason
from worker.amqp.lane import EncodedProperties, Properties
from worker.amqp.standard import ChannelProperties
from worker.amqp.wire.frames import CONTENT_FIELDS_BYTES, FRAME_OVERHEAD_BYTES
from worker.errors import BrokerUnavailable, MalformedProperties, TopologyMismatch

WINDOW = 500


@dataclass(frozen=True, slots=True)
class Message:
    """One body with its routing key. ``number`` is its place in the source, counted from 1.

    Without ``properties`` it is JSON. A message id of its own is unique; without one it gets one.
    """

    number: int
    routing_key: str
    body: bytes
    properties: Properties | EncodedProperties = field(
        default_factory=lambda: Properties(content_type="application/json")
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that the broker has not taken."""

    number: int
    reason: str


async def publish_all(
    connection: AbstractConnection,
    exchange: str,
    messages: Iterable[Message],
    on_confirmed: Callable[[int], None],
) -> list[Failure]:
    """Publish all, persistent and mandatory, up to ``WINDOW`` in flight; return those refused.

    ``on_confirmed`` learns how many more were confirmed.

    Raises:
        TopologyMismatch: there is no such exchange.
        BrokerUnavailable: the connection ended; it says how many were confirmed until then.
    """
    channel = await open_channel(connection)
    identity, ids = secrets.token_hex(8), itertools.count(1)
    max_bytes = frame_max(connection) - FRAME_OVERHEAD_BYTES - CONTENT_FIELDS_BYTES
    failures: list[Failure] = []
    confirmed = 0

    async def publish(message: Message) -> bool:
        message_id = message.properties.message_id or f"{identity}-{next(ids)}"
        try:
            await channel.basic_publish(
                message.body, exchange=exchange, routing_key=message.routing_key,
                properties=ChannelProperties(message.properties, message_id, max_bytes),
                mandatory=True, wait=False,
            )  # fmt: skip
        except MalformedProperties as error:
            failures.append(Failure(message.number, str(error)))
        except PublishError as error:
            failures.append(Failure(message.number, f"returned by the broker: {return_reason(error)}"))
        except DeliveryError:
            failures.append(Failure(message.number, "refused by the broker: a queue is full"))
        else:
            return True
        return False

    source = iter(messages)
    try:
        while window := list(itertools.islice(source, WINDOW)):
            done = sum(await asyncio.gather(*(publish(message) for message in window)))
            confirmed += done
            on_confirmed(done)
    except ChannelNotFoundEntity:
        raise TopologyMismatch(
            f"the broker has no exchange {exchange}; `payment-worker topology declare` creates it,"
            " or check --prefix"
        ) from None
    except (AMQPError, ChannelInvalidStateError, OSError) as error:
        raise BrokerUnavailable(
            f"the connection ended after {confirmed:,} confirmed messages: {error};"
            " those in flight may or may not have arrived"
        ) from error
    await channel.close()
    return failures
