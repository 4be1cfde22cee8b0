"""What must exist on the broker: exchanges, quorum queues and bindings. Pure; ``declaring`` makes it so.

Names and kinds are those of docs/topology.md. Every queue is a quorum queue that rejects publishes rather
than drop messages, and dead-letters at least once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from worker.errors import Crashed

KEEP_FOR_EVER: Final = 2**31 - 1
"""A limit that is never reached: without one, brokers from 4.0 on drop a message after 20 requeues."""

HASH: Final = "x-consistent-hash"
"""The kind of exchange that RabbitMQ's own plugin rabbitmq_consistent_hash_exchange brings."""

ORDER_KEY: Final = "order-key"
"""The header that a payment's shard is chosen by where payments have an order."""

INBOX: Final = ".inbox"
"""Behind a processor's exchange, the name of its queue."""

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
        quorum_queue(
            names.crashed,
            {
                "x-single-active-consumer": True,
                "x-delivery-limit": delivery_limit,
                **_dead_lettering(names.dead, Crashed.code),
            },
            (names.returns, names.crashed),
            *((names.returns, names.aside(queue)) for queue in came),
        ),
        quorum_queue(names.dead, BROWSED, (names.dead, "#")),
    ]
    queues += [
        quorum_queue(
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
        quorum_queue(
            names.delay(step),
            {"x-message-ttl": round(step * 1000), **_dead_lettering(names.returns, None)},
            (names.delay(step), "#"),
        )
        for step in steps
    ]
    gives_back = {**BROWSED, **_dead_lettering(names.returns, names.returned)}
    queues += [quorum_queue(f"{name}{INBOX}", gives_back, (name, "#")) for name in processors]
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


def quorum_queue(name: str, arguments: dict[str, Any], *bindings: tuple[str, str]) -> Queue:
    """Return a queue of the kind that all of ours are."""
    return Queue(name, {"x-queue-type": "quorum", "x-overflow": "reject-publish", **arguments}, bindings)


def _dead_lettering(exchange: str, routing_key: str | None) -> dict[str, Any]:
    key = {} if routing_key is None else {"x-dead-letter-routing-key": routing_key}
    return {"x-dead-letter-strategy": "at-least-once", "x-dead-letter-exchange": exchange, **key}
