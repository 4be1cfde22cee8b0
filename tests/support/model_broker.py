"""A broker for the model of the pipeline: nothing happens in it unless it is told so.

It checks what it is asked, and knows what became of each publish, which a worker may never learn.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from tests.support.memory_lane import MemoryDelivery, Stored
from worker.amqp.lane import (
    CONFIRMED,
    Confirmation,
    EncodedProperties,
    Outgoing,
    Properties,
    Refused,
    Unknown,
)
from worker.amqp.wire import decode_lane_properties
from worker.errors import BrokerUnavailable
from worker.planning import make_dispatch_id

PROCESSORS: Final = ("alpha", "beta")
RETURNS: Final = "payments.return"
SET_ASIDE: Final = "in.crashed"
DEAD: Final = "dead"


@dataclass(eq=False, slots=True)
class Publish:
    """A publish on its way, for the delivery ``tag``: perhaps it is stored already, but nobody was told."""

    outgoing: Outgoing
    payment_id: str
    tag: int
    answer: "asyncio.Future[Confirmation]"
    stored: Stored | None = None

    @property
    def processor(self) -> str | None:
        """Where it dispatches to, if it is a dispatch."""
        return self.outgoing.exchange if self.outgoing.exchange in PROCESSORS else None


@dataclass(slots=True)
class ModelBroker:
    """What lies where, and which processors may have which payment; ``wrong`` lists broken promises.

    ``remembers``: the workers have a journal, so that they are held to more.
    """

    remembers: bool
    payments: dict[str, bytes] = field(default_factory=dict)
    queues: dict[str, deque[Stored]] = field(default_factory=lambda: {"in": deque(), "crashed": deque()})
    delayed: list[Stored] = field(default_factory=list)
    dead: list[Stored] = field(default_factory=list)
    inboxes: dict[str, list[Stored]] = field(default_factory=lambda: {name: [] for name in PROCESSORS})
    in_hand: dict[int, Stored] = field(default_factory=dict)
    confirmed: set[str] = field(default_factory=set)
    """Payments whose dispatch was confirmed."""
    forgotten: set[str] = field(default_factory=set)
    """Payments that nobody can keep with their processor, since only a journal would know it."""
    wrong: list[str] = field(default_factory=list)
    _open: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Publishes by payment and processor that were not definitely refused."""
    _sent: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _unheard: set[int] = field(default_factory=set)
    """What is stored, by its id, without anyone having been told."""

    def demand(self, holds: bool, otherwise: str) -> None:
        """Note a promise that does not hold."""
        if not holds:
            self.wrong.append(otherwise)

    def accept(self, payment_id: str, body: bytes) -> None:
        """Take a payment from a producer, for the first time or again."""
        self.payments[payment_id] = body
        self.queues["in"].append(
            Stored(body, Properties(content_type="application/json"), "payments", "card.eur")
        )

    def may_have(self, payment_id: str) -> set[str]:
        """Return the processors that were sent a payment and have not refused it."""
        return {name for name in PROCESSORS if self._open[payment_id, name]}

    def copies(self, body: bytes) -> Iterator[Stored]:
        """Return every message with this body that still has an end before it."""
        for place in (*self.queues.values(), self.delayed, self.in_hand.values()):
            yield from (one for one in place if one.body == body)

    def begin(self, publish: Publish) -> None:
        """Check a publish: a dispatch goes nowhere but where an earlier one may be, and is the same."""
        outgoing, payment_id, processor = publish.outgoing, publish.payment_id, publish.processor
        body = self.payments[payment_id]
        if processor is None:
            self.demand(outgoing.body == body, f"{payment_id} goes to {outgoing.exchange} with another body")
            return
        self.demand(outgoing.body.endswith(body[1:]), f"{payment_id} is dispatched with other members")
        dispatch_id = orjson.loads(outgoing.body)["dispatch_id"]
        self.demand(dispatch_id == make_dispatch_id(payment_id, processor), f"{payment_id} has another id")
        others = self.may_have(payment_id) - {processor}
        if payment_id not in self.forgotten:
            self.demand(not others, f"{payment_id} goes to {processor}, and {others} may have it")
        known = self._sent.setdefault((payment_id, processor), outgoing.body)
        self.demand(known == outgoing.body, f"{payment_id} goes to {processor} again with other bytes")
        self._open[payment_id, processor] += 1

    def store(self, publish: Publish) -> None:
        """Take responsibility for a publish, and tell nobody."""
        if publish.stored is not None:
            return
        outgoing = publish.outgoing
        properties = outgoing.properties
        if isinstance(properties, EncodedProperties):
            properties = decode_lane_properties(properties.raw)
        stored = publish.stored = Stored(outgoing.body, properties, outgoing.exchange, outgoing.routing_key)
        self._unheard.add(id(stored))
        if publish.processor is not None:
            self.inboxes[publish.processor].append(stored)
        elif outgoing.exchange == DEAD:
            self.dead.append(stored)
        elif outgoing.exchange == RETURNS:
            self.demand(outgoing.routing_key == SET_ASIDE, f"{RETURNS} has no {outgoing.routing_key}")
            self.queues["crashed"].append(stored)
        else:
            self.delayed.append(stored)

    def confirm(self, publish: Publish) -> None:
        """Take responsibility for a publish, and let it be known."""
        self.store(publish)
        self._unheard.discard(id(publish.stored))
        if publish.processor is not None:
            self.confirmed.add(publish.payment_id)

    def refuse(self, publish: Publish) -> None:
        """Refuse a publish for good: the processor does not have the payment by this one."""
        if publish.processor is not None:
            key = publish.payment_id, publish.processor
            self._open[key] -= 1
            if not self._open[key]:
                del self._sent[key]

    def give(self, queue: str) -> Stored:
        """Take the next message out of a queue: it is in someone's hands."""
        stored = self.queues[queue].popleft()
        self.in_hand[id(stored)] = stored
        self._unheard.discard(id(stored))
        return stored

    def take_back(self, queue: str, stored: Stored, first_candidate: str) -> None:
        """Put what was not acknowledged at the head of its queue."""
        del self.in_hand[id(stored)]
        payment_id = self.payment_id(stored)
        elsewhere = self.may_have(payment_id) - {first_candidate}
        if not self.remembers and (elsewhere or any(self.copies(stored.body))):
            self.forgotten.add(payment_id)
        stored.come_back()
        self.queues[queue].appendleft(stored)

    def payment_id(self, stored: Stored) -> str:
        """Return whose message it is, readable or not."""
        return next(payment_id for payment_id, body in self.payments.items() if body == stored.body)

    def check_settled(self, stored: Stored) -> None:
        """See that a message lies somewhere else, as a publish that was confirmed or a copy of it."""
        places = [*self.dead, *self.copies(stored.body)]
        elsewhere = any(
            one.body == stored.body and one is not stored and id(one) not in self._unheard for one in places
        )
        payment_id = self.payment_id(stored)
        kept = elsewhere or payment_id in self.confirmed
        self.demand(kept, f"{payment_id} is settled before anything was confirmed that replaces it")

    def end_delays(self) -> None:
        """Bring every delayed payment back to its queue of work."""
        for one in self.delayed:
            self.queues[one.routing_key].append(Stored(one.body, one.properties, RETURNS, one.routing_key))
        self.delayed.clear()

    def lost(self) -> set[str]:
        """Return the payments that are nowhere."""
        dead = {one.body for one in self.dead}
        return {
            payment_id
            for payment_id, body in self.payments.items()
            if body not in dead and not any(self.copies(body)) and not self._is_dispatched(payment_id)
        }

    def _is_dispatched(self, payment_id: str) -> bool:
        found = (one for inbox in self.inboxes.values() for one in inbox)
        return any(orjson.loads(one.body)["payment_id"] == payment_id for one in found)


class ModelLane:
    """A session's lane: deliveries, answers and acknowledgements pass only when they are told to."""

    def __init__(self, broker: ModelBroker, queue: str, prefetch: int) -> None:
        self.broker, self.queue, self.prefetch = broker, queue, prefetch
        self.publishes: list[Publish] = []
        self.unacked: dict[int, Stored] = {}
        self.ended: str | None = None
        self._dead = False
        self._arrived: deque[MemoryDelivery] = deque()
        self._acks: list[int] = []
        self._replaced: set[int] = set()
        self._settled: set[int] = set()
        self._stopped = False
        self._wake = asyncio.Event()
        self._tags = 0

    def deliver(self, count: int) -> None:
        """Hand deliveries over, as many as prefetch allows."""
        if self.ended is not None or self._stopped:
            return
        room = self.prefetch - len(self.unacked)
        for _ in range(min(count, room, len(self.broker.queues[self.queue]))):
            self._tags += 1
            stored = self.unacked[self._tags] = self.broker.give(self.queue)
            self._arrived.append(MemoryDelivery(self._tags, stored))
        self._wake.set()

    def confirm(self, publish: Publish) -> None:
        """Store a publish and say so."""
        self.broker.confirm(publish)
        self._replaced.add(publish.tag)
        self._answer(publish, CONFIRMED)

    def refuse(self, publish: Publish, code: str) -> None:
        """Refuse a publish, unless it is stored: then it is too late."""
        if publish.stored is not None:
            self.confirm(publish)
            return
        self.broker.refuse(publish)
        self._answer(publish, Refused(code, "the model wants it so"))

    def lose_channel(self, exchange: str) -> None:
        """End the channel of an exchange: what is on its way there may have arrived or not."""
        for publish in [one for one in self.publishes if one.outgoing.exchange == exchange]:
            self._answer(publish, Unknown("its channel ended", again=True))

    def _answer(self, publish: Publish, confirmation: Confirmation) -> None:
        self.publishes.remove(publish)
        publish.answer.set_result(confirmation)

    def read_acks(self) -> None:
        """Let the acknowledgements arrive that were written so far."""
        for tag in self._acks if self.ended is None else ():
            del self.broker.in_hand[id(self.unacked.pop(tag))]
        self._acks.clear()

    def end(self, reason: str) -> None:
        """Lose the connection: what was not acknowledged is delivered again."""
        if self.ended is not None:
            return
        self.ended = reason
        for publish in self.publishes:
            publish.answer.set_result(Unknown(reason))
        self._give_all_back()

    def die(self) -> None:
        """Lose the process: nobody is told anything, and nothing it still asks for is done."""
        self._dead = True
        if self.ended is None:
            self.ended = "the process is dead"
            self._give_all_back()

    def _give_all_back(self) -> None:
        self.publishes.clear()
        for tag in sorted(self.unacked, reverse=True):
            self.broker.take_back(self.queue, self.unacked[tag], PROCESSORS[0])
        self.unacked.clear()
        self._wake.set()

    async def take(self, max_deliveries: int) -> Sequence[MemoryDelivery]:
        """See ``Lane.take``."""
        while True:
            if self.ended is not None:
                await self._unless_dead()
                raise BrokerUnavailable(self.ended)
            if self._arrived:
                return [self._arrived.popleft() for _ in range(min(max_deliveries, len(self._arrived)))]
            if self._stopped:
                return []
            self._wake.clear()
            await self._wake.wait()

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Confirmation]:
        """See ``Lane.send``."""
        await self._unless_dead()
        if self.ended is not None:
            return [Unknown(self.ended)] * len(batch)
        sent = [self._publish(outgoing) for outgoing in batch]
        return [await publish.answer for publish in sent]

    def _publish(self, outgoing: Outgoing) -> Publish:
        tag = self._origin_of(outgoing)
        payment_id = self.broker.payment_id(self.unacked[tag])
        publish = Publish(outgoing, payment_id, tag, asyncio.get_running_loop().create_future())
        self.broker.begin(publish)
        self.publishes.append(publish)
        return publish

    def _origin_of(self, outgoing: Outgoing) -> int:
        """Return the tag of the delivery that a publish is the next step of."""
        for tag, stored in self.unacked.items():
            if tag not in self._settled and outgoing.body.endswith(stored.body[1:]):
                return tag
        raise AssertionError(f"a publish belongs to no delivery in hand: {outgoing}")

    async def settle(self, tags: Iterable[int], *, at_once: bool = False) -> None:
        """See ``Lane.settle``."""
        await self._unless_dead()
        for tag in tags:
            self.broker.demand(tag not in self._settled, f"delivery {tag} is settled twice")
            self._settled.add(tag)
            if self.ended is None:
                if tag not in self._replaced:
                    self.broker.check_settled(self.unacked[tag])
                self._acks.append(tag)

    async def stop_intake(self) -> None:
        """See ``Lane.stop_intake``."""
        self._stopped = True
        self._wake.set()

    async def close(self) -> None:
        """See ``Lane.close``."""
        self.read_acks()
        self.end("the lane is closed")

    async def _unless_dead(self) -> None:
        if self._dead:
            await asyncio.get_running_loop().create_future()
