"""What must exist on the broker: exchanges, quorum queues and bindings, declared or only verified.

Names and kinds are those of docs/topology.md. Every queue is a quorum queue that rejects publishes rather
than drop messages, and dead-letters at least once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import (
    AMQPConnectionError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from worker.errors import AccessRefused, Crashed, TopologyMismatch

KEEP_FOR_EVER: Final = 2**31 - 1
"""A limit that is never reached: without one, brokers from 4.0 on drop a message after 20 requeues."""

HASH: Final = "x-consistent-hash"
"""The kind of exchange that RabbitMQ's own plugin rabbitmq_consistent_hash_exchange brings."""

ORDER_KEY: Final = "order-key"
"""The header that a payment's shard is chosen by where payments have an order."""

INBOX: Final = ".inbox"

_OWN_OBJECT: Final = "delete it when it is empty, or choose another --prefix"
_SHARED_INBOX: Final = (
    "a processor's inbox has no prefix in its name and gives dispatches back to the workers of one prefix, so"
    " that another --prefix cannot help: delete it when it is empty, if no worker of another prefix uses it;"
    " otherwise run these workers on a virtual host of their own, or give the processors other exchanges in"
    " their rules"
)

BROWSED: Final = {"x-delivery-limit": KEEP_FOR_EVER}
"""Arguments of queues that people look through."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange; ``bindings`` are (exchange, routing key)."""

    name: str
    kind: str = "topic"
    arguments: dict[str, Any] = field(default_factory=dict)
    bindings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue; ``bindings`` are (exchange, routing key)."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    bindings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the worker's own objects under one prefix.

    With ``shards`` the work is spread over so many queues, and ``retired`` ones more are only emptied.
    ``ordered``: payments of one order key are in one shard, and a shard has one active consumer.
    """

    prefix: str
    shards: int = 0
    retired: int = 0
    ordered: bool = False

    @property
    def exchange(self) -> str:
        """Where producers publish, routing key ``<type>.<currency>``."""
        return self.prefix

    @property
    def incoming(self) -> str:
        """The queue of work."""
        return f"{self.prefix}.incoming"

    def shard(self, number: int) -> str:
        """The queue of one shard, counted from 0."""
        return f"{self.incoming}.{number}"

    @property
    def work(self) -> tuple[str, ...]:
        """Every queue that payments are taken from, those of shards first."""
        return (*map(self.shard, range(self.shards + self.retired)), self.incoming)

    @property
    def sharding(self) -> str:
        """The exchange that chooses a payment's shard.

        Its name says by what, since RabbitMQ takes no offence at an exchange that hashes by something else.
        """
        return f"{self.prefix}.{'ordered' if self.ordered else 'spread'}"

    @property
    def back(self) -> str:
        """The routing key that takes a payment through ``returns`` to the queue where it belongs."""
        return self.sharding if self.shards else self.incoming

    @property
    def dead(self) -> str:
        """The dead-letter exchange, and its queue of the same name."""
        return f"{self.prefix}.dead"

    @property
    def crashed(self) -> str:
        """The queue of what may crash its worker, handled one at a time."""
        return f"{self.prefix}.crashed"

    @property
    def returned(self) -> str:
        """The queue of dispatches that processors give back."""
        return f"{self.prefix}.returned"

    @property
    def returns(self) -> str:
        """The exchange through which payments come to the queue that their routing key names."""
        return f"{self.prefix}.return"

    @property
    def events(self) -> str:
        """The exchange where others are told what happens to payments."""
        return f"{self.prefix}.events"

    def aside(self, queue: str) -> str:
        """The routing key that takes a message of ``queue`` to ``crashed`` and tells there what it is."""
        return f"{queue}.crashed"

    def delay(self, seconds: float) -> str:
        """The delay exchange, and its queue of the same name, for one step."""
        return f"{self.prefix}.delay.{format_step(seconds)}"


def format_step(seconds: float) -> str:
    """Return a step's short name: ``1s``, ``2m``, ``1h``, ``250ms``."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything one worker needs on the broker, and what must not be there.

    ``unbound`` are bindings of other numbers of shards; ``beyond`` is the queue of one shard more.
    """

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    unbound: tuple[Exchange | Queue, ...] = ()
    beyond: str | None = None


def build_topology(
    names: Names,
    delay_steps: Iterable[float],
    processor_exchanges: Iterable[str],
    delivery_limit: int,
) -> Topology:
    """Return what must exist for these settings and these processors' exchanges."""
    processors = sorted(set(processor_exchanges))
    steps = tuple(delay_steps)
    exchanges = [
        Exchange(names.exchange),
        Exchange(names.returns, "direct"),
        Exchange(names.dead),
        Exchange(names.events),
    ]
    exchanges += [Exchange(names.delay(step)) for step in steps]
    exchanges += [Exchange(name) for name in processors]
    if names.shards:
        exchanges.append(
            Exchange(
                names.sharding,
                HASH,
                {"hash-header": ORDER_KEY} if names.ordered else {"hash-property": "message_id"},
                ((names.exchange, "#"), (names.returns, names.sharding)),
            )
        )
    came = (*names.work, names.returned)
    queues = [
        _queue(
            names.crashed,
            {
                "x-single-active-consumer": True,
                "x-delivery-limit": delivery_limit,
                **_dead_lettering(names.dead, Crashed.code),
            },
            (names.returns, names.crashed),
            *((names.returns, names.aside(queue)) for queue in came),
        ),
        _queue(names.dead, BROWSED, (names.dead, "#")),
    ]
    queues += [
        _queue(
            queue,
            {
                "x-delivery-limit": delivery_limit,
                **_dead_lettering(names.returns, names.aside(queue)),
                **({"x-single-active-consumer": True} if names.ordered and queue in names.work[:-1] else {}),
            },
            (names.returns, queue),
            *_brings_work(names, queue),
        )
        for queue in came
    ]
    queues += [
        _queue(
            names.delay(step),
            {"x-message-ttl": round(step * 1000), **_dead_lettering(names.returns, None)},
            (names.delay(step), "#"),
        )
        for step in steps
    ]
    gives_back = {**BROWSED, **_dead_lettering(names.returns, names.returned)}
    queues += [_queue(f"{name}{INBOX}", gives_back, (name, "#")) for name in processors]
    beyond = names.shard(names.shards + names.retired)
    return Topology(tuple(exchanges), tuple(queues), tuple(_unbound(names)), beyond)


def _brings_work(names: Names, queue: str) -> tuple[tuple[str, str], ...]:
    """Return the bindings through which new payments come; a consistent-hash binding's key is its weight."""
    if queue in map(names.shard, range(names.shards)):
        return ((names.sharding, "1"),)
    return ((names.exchange, "#"),) if queue == names.incoming and not names.shards else ()


def _unbound(names: Names) -> Iterator[Exchange | Queue]:
    """Yield the bindings that other numbers of shards have and this one has not."""
    other = replace(names, ordered=not names.ordered)
    for number in range(names.shards, names.shards + names.retired):
        yield Queue(names.shard(number), bindings=((names.sharding, "1"),))
    if names.shards:
        yield Queue(names.incoming, bindings=((names.exchange, "#"),))
        yield Exchange(other.sharding, HASH, bindings=((names.exchange, "#"),))
    elif names.retired:
        for either in (names, other):
            yield Exchange(either.sharding, HASH, bindings=((names.exchange, "#"),))


def _queue(name: str, arguments: dict[str, Any], *bindings: tuple[str, str]) -> Queue:
    return Queue(name, {"x-queue-type": "quorum", "x-overflow": "reject-publish", **arguments}, bindings)


def _dead_lettering(exchange: str, routing_key: str | None) -> dict[str, Any]:
    key = {} if routing_key is None else {"x-dead-letter-routing-key": routing_key}
    return {"x-dead-letter-strategy": "at-least-once", "x-dead-letter-exchange": exchange, **key}


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
        await channel.queue_declare(queue, durable=True, arguments=_queue(queue, BROWSED).arguments)
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


class _explained:  # noqa: N801 - reads as the statement it is
    """Turn the broker's channel errors about one object into errors for people."""

    def __init__(self, name: str, kind: str) -> None:
        self._name, self._kind = name, kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, AMQPConnectionError) and HASH in str(error):
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
