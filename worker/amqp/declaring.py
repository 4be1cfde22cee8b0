"""The topology on the broker: declared, or only verified; and looks at single queues."""

from typing import Final

from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import (
    AMQPConnectionError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from worker.amqp.topology import BROWSED, HASH, INBOX, KEEP_FOR_EVER, Exchange, Queue, Topology, quorum_queue
from worker.errors import AccessRefused, TopologyMismatch

_OWN_OBJECT: Final = "delete it when it is empty, or choose another --prefix"
_SHARED_INBOX: Final = (
    "a processor's inbox has no prefix in its name and gives dispatches back to the workers of one prefix, so"
    " that another --prefix cannot help: delete it when it is empty, if no worker of another prefix uses it;"
    " otherwise run these workers on a virtual host of their own, or give the processors other exchanges in"
    " their rules"
)


async def declare(connection: AbstractConnection, topology: Topology) -> None:
    """Create what is missing; what exists must be the same.

    New bindings are there before old ones go, so that no payment is returned to its producer: one may be in
    two queues.

    Raises:
        TopologyMismatch: an object exists with other properties, or there are more shards.
        AccessRefused: the user may not configure it.
    """
    await _check_shards(connection, topology)
    channel = await connection.channel()
    for exchange in topology.exchanges:
        with _explained(exchange.name, "exchange"):
            await channel.exchange_declare(
                exchange.name, exchange_type=exchange.kind, durable=True, arguments=exchange.arguments
            )
            for source, key in exchange.bindings:
                await channel.exchange_bind(exchange.name, source, key)
    for queue in topology.queues:
        with _explained(queue.name, "queue"):
            await channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
            for source, key in queue.bindings:
                await channel.queue_bind(queue.name, source, key)
    await channel.close()
    for other in topology.unbound:
        await _unbind(connection, other)


async def _unbind(connection: AbstractConnection, other: Exchange | Queue) -> None:
    channel = await connection.channel()
    unbind = channel.queue_unbind if isinstance(other, Queue) else channel.exchange_unbind
    try:
        for source, key in other.bindings:
            await unbind(other.name, source, key)
    except ChannelNotFoundEntity:
        return  # where one of the two is not there, there is no binding
    await channel.close()


async def _check_shards(connection: AbstractConnection, topology: Topology) -> None:
    """Refuse to leave payments in a shard that nobody would take them from."""
    beyond = topology.beyond
    if beyond is None:
        return
    try:
        exists = await _exists(connection, Queue(beyond))
    except AccessRefused:
        return  # who may not look has operators who know
    if exists:
        raise TopologyMismatch(
            f"the broker has a queue {beyond}, of a time with more shards, that nobody would take payments"
            " from: let PAYMENT_WORKER_RETIRED_SHARDS count it until it is empty, then delete it"
            " (docs/scaling.md)"
        )


async def verify(connection: AbstractConnection, topology: Topology) -> None:
    """Check that every exchange and queue exists, without creating any.

    A broker tells a client neither a queue's arguments nor its bindings; those are its operators' to keep.

    Raises:
        TopologyMismatch: naming every object that is missing, or there are more shards.
        AccessRefused: the user may not look at them.
    """
    await _check_shards(connection, topology)
    missing = [f"exchange {e.name}" for e in topology.exchanges if not await _exists(connection, e)]
    missing += [f"queue {q.name}" for q in topology.queues if not await _exists(connection, q)]
    if missing:
        raise TopologyMismatch(
            f"the broker has no {', no '.join(missing)}; create them with `payment-worker topology declare`,"
            " or let their operators do so"
        )


async def depth(connection: AbstractConnection, queue: str) -> int:
    """Return how many messages wait in a queue; raises as ``look_at``."""
    return (await look_at(connection, queue))[0]


async def look_at(connection: AbstractConnection, queue: str) -> tuple[int, int]:
    """Return how many messages wait in a queue, without those in a consumer's hands, and its consumers.

    Raises:
        TopologyMismatch: there is no such queue.
        AccessRefused: the user may not look at it.
    """
    channel = await connection.channel()
    try:
        with _explained(queue, "queue"):
            declared = await channel.queue_declare(queue, passive=True)
    except ChannelNotFoundEntity:
        raise TopologyMismatch(
            f"the broker has no queue {queue}; `payment-worker topology declare` creates it,"
            " or check --prefix"
        ) from None
    await channel.close()
    return declared.message_count or 0, declared.consumer_count or 0


async def check_browsing(connection: AbstractConnection, queue: str) -> None:
    """Refuse a queue whose messages the broker drops once they were looked at too often.

    Its arguments are compared by declaring it as it is. Where the user may not do that, or where others
    differ, its operators are trusted to have set the limit of docs/topology.md.

    Raises:
        TopologyMismatch: its delivery limit is another than ours.
    """
    channel = await connection.channel()
    try:
        await channel.queue_declare(queue, durable=True, arguments=quorum_queue(queue, BROWSED).arguments)
    except ChannelAccessRefused:
        return
    except ChannelPreconditionFailed as error:
        if "x-delivery-limit" not in str(error):
            return
        raise TopologyMismatch(
            f"the queue {queue} has not the x-delivery-limit of {KEEP_FOR_EVER} that it needs, and looking at"
            f" a message counts as a delivery: the broker would drop it after some looks ({error});"
            " empty the queue and declare it anew, see docs/topology.md"
        ) from error
    await channel.close()


async def _exists(connection: AbstractConnection, wanted: Exchange | Queue) -> bool:
    channel: AbstractChannel = await connection.channel()
    try:
        with _explained(wanted.name, "queue" if isinstance(wanted, Queue) else "exchange"):
            if isinstance(wanted, Queue):
                await channel.queue_declare(wanted.name, passive=True)
            else:
                await channel.exchange_declare(wanted.name, passive=True)
    except ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


def _lacks_kind(error: Exception) -> bool:
    """Whether the plugin is missing: RabbitMQ closes the connection for it, and from 4.0 on the channel."""
    return f"exchange type '{HASH}'" in str(error)


class _explained:  # noqa: N801 - reads as the statement it is
    """Turn the broker's channel errors about one object into errors for people."""

    def __init__(self, name: str, kind: str) -> None:
        self._name, self._kind = name, kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (AMQPConnectionError, ChannelPreconditionFailed)) and _lacks_kind(error):
            raise TopologyMismatch(
                f"the broker cannot have the {self._kind} {self._name}, which several shards need: {error};"
                " `rabbitmq-plugins enable rabbitmq_consistent_hash_exchange` on each node, a plugin that"
                " RabbitMQ itself brings, or use one shard without an order"
            ) from error
        if isinstance(error, ChannelPreconditionFailed):
            raise TopologyMismatch(
                f"the {self._kind} {self._name} exists but differs from what the worker needs: {error};"
                f" {_SHARED_INBOX if self._name.endswith(INBOX) else _OWN_OBJECT}"
            ) from error
        if isinstance(error, ChannelAccessRefused):
            raise AccessRefused(
                f"the broker refuses access to the {self._kind} {self._name}: {error}"
            ) from error
