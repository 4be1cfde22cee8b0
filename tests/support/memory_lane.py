"""A broker and a lane in memory, for tests of the pipeline. It passes the conformance suite of real lanes."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from worker.amqp.lane import (
    CONFIRMED,
    Confirmation,
    EncodedProperties,
    Outgoing,
    Properties,
    Refused,
    Unknown,
)
from worker.amqp.watermark import Watermark
from worker.amqp.wire import decode_lane_properties, encode_properties
from worker.errors import BrokerUnavailable

LONGEST_PROPERTIES = 128 * 1024
"""More does not fit one frame, and AMQP cannot split properties."""


@dataclass
class Stored:
    """A message in a queue."""

    body: bytes
    properties: Properties
    exchange: str
    routing_key: str
    redelivered: bool = False

    def come_back(self) -> None:
        """Count one more delivery without an ack, as quorum queues do."""
        before = self.properties.headers
        count = before["x-delivery-count"] + 1 if self.redelivered else 1
        self.properties = replace(self.properties, headers={**before, "x-delivery-count": count})
        self.redelivered = True


@dataclass
class MemoryBroker:
    """Queues, and exchanges bound to one queue each, or by routing key; a bound queue may be full.

    ``fates`` gives the publishes to an exchange another outcome; an unknown one ends the lane, unless it says
    that the same publish may be sent again.
    """

    queues: dict[str, deque[Stored]] = field(default_factory=dict)
    bindings: dict[str, str | dict[str, str] | None] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    fates: dict[str, Confirmation] = field(default_factory=dict)

    def publish(self, outgoing: Outgoing) -> Confirmation:
        """Route one publish as a broker would."""
        properties = outgoing.properties
        if isinstance(properties, EncodedProperties):
            properties = decode_lane_properties(properties.raw)
        if len(encode_properties(properties)) > LONGEST_PROPERTIES:
            return Refused("malformed_properties", "too long")
        if outgoing.exchange in self.fates:
            return self.fates[outgoing.exchange]
        if outgoing.exchange not in self.bindings:
            return Refused("no_exchange", f"the broker has no exchange {outgoing.exchange}")
        queue = self.bindings[outgoing.exchange]
        if isinstance(queue, dict):
            queue = queue.get(outgoing.routing_key)
        if queue is None:
            return Refused("unroutable", "NO_ROUTE")
        if queue in self.full:
            return Refused("publish_refused", "nack")
        stored = Stored(outgoing.body, properties, outgoing.exchange, outgoing.routing_key)
        self.queues.setdefault(queue, deque()).append(stored)
        return CONFIRMED


@dataclass
class MemoryDelivery:
    """A delivery of the memory lane."""

    tag: int
    stored: Stored

    @property
    def body(self) -> bytes:
        return self.stored.body

    @property
    def exchange(self) -> str:
        return self.stored.exchange

    @property
    def routing_key(self) -> str:
        return self.stored.routing_key

    @property
    def redelivered(self) -> bool:
        return self.stored.redelivered

    @property
    def properties(self) -> Properties:
        return self.stored.properties


class MemoryLane:
    """A lane on a MemoryBroker."""

    def __init__(self, broker: MemoryBroker, queue: str, prefetch: int) -> None:
        self.broker, self.queue, self.prefetch = broker, queue, prefetch
        self.unacked: dict[int, Stored] = {}
        self.ended: str | None = None
        self.stopped = False
        self.sent: list[Outgoing] = []
        self._next_tag = 0
        self._watermark = Watermark(patience=max(1, prefetch // 4))

    def end(self, reason: str) -> None:
        """Break the lane as a lost connection does: unacked messages go back to their queue."""
        if self.ended is None:
            self.ended = reason
            for tag in sorted(self.unacked, reverse=True):
                self.unacked[tag].come_back()
                self.broker.queues[self.queue].appendleft(self.unacked[tag])
            self.unacked.clear()

    async def take(self, max_deliveries: int) -> Sequence[MemoryDelivery]:
        while True:
            if self.ended is not None:
                raise BrokerUnavailable(self.ended)
            waiting = self.broker.queues.setdefault(self.queue, deque())
            room = min(max_deliveries, self.prefetch - len(self.unacked), len(waiting))
            if room > 0 and not self.stopped:
                return [self._deliver(waiting.popleft()) for _ in range(room)]
            if self.stopped:
                return []
            await asyncio.sleep(0.001)

    def _deliver(self, stored: Stored) -> MemoryDelivery:
        self._next_tag += 1
        self.unacked[self._next_tag] = stored
        self._watermark.deliver(self._next_tag)
        return MemoryDelivery(self._next_tag, stored)

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Confirmation]:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.end("a send was cancelled")
            raise
        confirmations: list[Confirmation] = []
        for outgoing in batch:
            if self.ended is not None:
                confirmations.append(Unknown(self.ended))
                continue
            self.sent.append(outgoing)
            confirmation = self.broker.publish(outgoing)
            if isinstance(confirmation, Unknown) and not confirmation.again:
                self.end(confirmation.reason)
            confirmations.append(confirmation)
        return confirmations

    async def settle(self, tags: Iterable[int], *, at_once: bool = False) -> None:
        acks = self._watermark.settle(tags)
        for tag, multiple in [*acks, *self._watermark.flush()] if at_once else acks:
            if self.ended is None:
                for acked in [t for t in self.unacked if t == tag or (multiple and t <= tag)]:
                    del self.unacked[acked]

    async def stop_intake(self) -> None:
        self.stopped = True

    async def close(self) -> None:
        for tag, _ in self._watermark.flush():
            self.unacked.pop(tag, None)
        self.end("the lane is closed")
