"""The ledger of a fault test: where each payment has gone, and whether that keeps what is promised."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiormq.abc import AbstractChannel
from pamqp import commands

from tests.support.load import Sent
from tests.support.stage import Received
from worker.envelope import DISPATCH_COUNT

PROCESSORS: Final = ("alpha", "beta", "gamma")
_SHOWN: Final = 5


@dataclass(slots=True)
class Ledger:
    """Takes what has arrived at the processors and among the dead letters of one prefix."""

    prefix: str
    dispatched: dict[str, list[tuple[str, Received]]] = field(default_factory=lambda: defaultdict(list))
    """By payment id, the processor and the dispatch, in the order of the processors."""
    dead: dict[bytes, list[Received]] = field(default_factory=lambda: defaultdict(list))
    """By body."""
    _taken: set[tuple[str, bytes]] = field(default_factory=set)
    """Message ids and bodies of what was entered."""

    def inbox_of(self, processor: str) -> str:
        """The queue of a processor's connector."""
        return f"{self.prefix}.proc.{processor}.inbox"

    async def collect(self, channel: AbstractChannel, *, dead: bool = True) -> None:
        """Enter everything that has arrived since."""
        for processor in PROCESSORS:
            async for message in self._take_all(channel, self.inbox_of(processor)):
                for line in message.lines():
                    self.dispatched[line.json["payment_id"]].append((processor, line))
        if dead:
            async for message in self._take_all(channel, f"{self.prefix}.dead"):
                self.dead[message.body].append(message)

    async def _take_all(self, channel: AbstractChannel, queue: str) -> AsyncIterator[Received]:
        """Take everything that is in a queue.

        Each is acknowledged when it is entered: a call that is cut off loses nothing, and what comes again
        for an acknowledgement that did not arrive is entered once.
        """
        while True:
            message = await channel.basic_get(queue)
            got = message.delivery
            if not isinstance(got, commands.Basic.GetOk):
                return
            received = Received(message.body, str(message.routing_key), message.header.properties)
            mark = (str(received.properties.message_id), received.body)
            if not (got.redelivered and mark in self._taken):
                yield received
                self._taken.add(mark)
            await channel.basic_ack(got.delivery_tag or 0)

    def has(self, sent: Sent) -> bool:
        """Whether a payment has been found anywhere."""
        return bool(sent.payment_id in self.dispatched or sent.body in self.dead)

    def missing(self, load: Sequence[Sent]) -> list[Sent]:
        """The payments that the broker has taken from their producer and that were not found yet."""
        return [one for one in load if one.confirmed and not self.has(one)]

    @property
    def repeats(self) -> int:
        """How many dispatches and dead letters came for payments that had one already."""
        dispatched = sum(len(found) - 1 for found in self.dispatched.values())
        return dispatched + sum(len(found) - 1 for found in self.dead.values())

    def check(self, load: Sequence[Sent], *, repeats: bool = True, may_die: Collection[str] = ()) -> None:
        """Hold the books against the promises; every payment is expected to have arrived.

        Args:
            load: what was published.
            repeats: whether the fault may make the worker dispatch or dead-letter a payment again. A bad
                payment that was published again is dead-lettered again in any case: nobody remembers it.
            may_die: codes with which any payment may be dead-lettered, beside a bad one's own.
        """
        problems = [*self._strangers(load)]
        for one in load:
            problems += [f"{one.payment_id}: {text}" for text in self._problems(one, repeats, may_die)]
        more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        assert not problems, "\n".join(problems[:_SHOWN]) + more

    def _strangers(self, load: Sequence[Sent]) -> Iterator[str]:
        """What was never published."""
        for payment_id in self.dispatched.keys() - {one.payment_id for one in load}:
            yield f"{payment_id} was dispatched and never published"
        for body in self.dead.keys() - {one.body for one in load}:
            yield f"{body[:80]!r} was dead-lettered and never published"

    def _problems(self, one: Sent, repeats: bool, may_die: Collection[str]) -> Iterator[str]:
        """What is wrong with what became of one payment."""
        dispatches, dead = self.dispatched.get(one.payment_id, []), self.dead.get(one.body, [])
        found = len(dispatches) + len(dead)
        if one.confirmed and not found:
            yield "is neither dispatched nor dead-lettered"
        if dispatches and dead:
            yield f"is dispatched and dead-lettered: {_codes(dead)}"
        if not repeats and found > (one.published if one.code else 1):
            yield f"came {found} times, for {one.published} times that it was published"
        yield from _wrong_dispatches(one, dispatches)
        expected = {*may_die, one.code} - {None}
        if one.code and dispatches:
            yield f"is dispatched, though it is bad: {one.code}"
        if unexpected := _codes(dead) - expected:
            yield f"is dead-lettered for {unexpected}, expected {expected or 'a dispatch'}"


def _wrong_dispatches(one: Sent, dispatches: Sequence[tuple[str, Received]]) -> Iterator[str]:
    """Another processor, other bytes, another id, or not this payment."""
    processors = {processor for processor, _ in dispatches}
    if len(processors) > 1:
        yield f"is dispatched to {' and to '.join(sorted(processors))}"
    if not processors <= set(one.candidates) and one.code is None:
        yield f"is dispatched to {processors}, but may go to {one.candidates} only"
    for processor in processors:
        bodies = {message.body for name, message in dispatches if name == processor}
        ids = {
            message.headers["dispatch-id"]
            for name, message in dispatches
            if name == processor and DISPATCH_COUNT not in message.headers
        }
        if len(bodies) > 1 or len(ids) > 1:
            yield f"is repeated differently at {processor}: {sorted(ids)} {sorted(bodies)}"
        ids |= {json.loads(body)["dispatch_id"] for body in bodies}
        if len(ids) > 1:
            yield f"has other dispatch ids in its headers than in its body: {sorted(ids)}"
        if not all(body.endswith(one.body[1:]) for body in bodies):
            yield f"is not what {processor} received: {sorted(bodies)}"


def _codes(dead: Sequence[Received]) -> set[str]:
    return {message.letter.error_code for message in dead}
