"""Publishing from the command line: bodies to one exchange, each confirmed, many in flight."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiormq.abc import AbstractConnection
from aiormq.exceptions import (
    AMQPError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    DeliveryError,
    PublishError,
)
from pamqp import commands

from worker.amqp.connection import open_channel, return_reason
from worker.errors import BrokerUnavailable, TopologyMismatch

WINDOW = 500


@dataclass(frozen=True, slots=True)
class Message:
    """One body with its routing key. ``number`` is its place in the source, counted from 1."""

    number: int
    routing_key: str
    body: bytes


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
    failures: list[Failure] = []
    confirmed = 0

    async def publish(message: Message) -> bool:
        properties = commands.Basic.Properties(
            content_type="application/json", delivery_mode=2, message_id=f"{identity}-{next(ids)}"
        )
        try:
            await channel.basic_publish(
                message.body, exchange=exchange, routing_key=message.routing_key, properties=properties,
                mandatory=True, wait=False,
            )  # fmt: skip
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
