"""Traffic for one contestant: a producer that keeps a schedule, and a consumer on the far queues.

Both are one process on the worker's own tap, which costs a few microseconds a message: what they take of the
machine they take from the contestant. A message's number stands in its payment id.
"""

import asyncio
import itertools
import os
import time
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from yarl import URL

from benchmarks.harness import Message, as_json
from benchmarks.open_loop.ticks import open_ticks
from worker.amqp.connection import Broker, connect, open_channel, underlay
from worker.amqp.tap import TappedConnection
from worker.amqp.wire import Confirm, Delivery, Event, PublishRoute

TICK_SECONDS: Final = 0.001
"""The schedule's grain, or where it is longer the time between two messages.

What falls due within one tick is due at its start, all at once: a producer that woke up for each message
would take too much of the machine."""
MARK: Final = b'"payment_id":"loop-'
_DIGITS: Final = 10
_BLANK: Final = b"loop-" + _DIGITS * b"0"
_SILENCE_SECONDS: Final = 60.0
_SLOWEST_SECONDS: Final = 10.0
_NEVER: Final = 0.0

clock = time.perf_counter


class Numbered:
    """Messages of payments over and over, each time with the next number in the payment id, from 1 on.

    ``wrap`` makes a message of a payment as the contestant expects it; the id stands wherever it put it.
    """

    def __init__(self, payments: Sequence[bytes], wrap: Callable[[bytes], Message] = as_json) -> None:
        self._templates = [self._template(payment, wrap) for payment in payments]

    @staticmethod
    def _template(payment: bytes, wrap: Callable[[bytes], Message]) -> tuple[list[bytes], list[bytes]]:
        before, member, after = payment.partition(b'"payment_id":"')
        blank = before + member + _BLANK + after[after.index(b'"') :]
        body, properties = wrap(blank)
        return body.split(_BLANK), properties.marshal().split(_BLANK)

    def __getitem__(self, number: int) -> tuple[bytes, bytes]:
        """Return the message of this number: its body, and its properties as they go over the wire."""
        body, properties = self._templates[number % len(self._templates)]
        payment_id = b"loop-%010d" % number
        return payment_id.join(body), payment_id.join(properties)


class Traffic:
    """The producer and the consumer of one contestant. Make it with ``open_traffic``.

    ``arrived`` counts messages, each once; ``repeats`` counts those that had arrived before.
    """

    def __init__(self, messages: Numbered, first: int) -> None:
        self._messages, self._first = messages, first
        self._due, self._came = array("d"), array("d")
        self.arrived = self.repeats = self.confirmed = self.refused = 0
        self._changed = asyncio.Event()
        self._producing: TappedConnection
        self._route: PublishRoute

    @property
    def sent(self) -> int:
        """Messages published."""
        return len(self._due)

    def note_events(self, events: list[Event]) -> None:
        """Take what the broker says on either connection."""
        now = clock()
        for event in events:
            if type(event) is Delivery:
                self.note_arrival(event.body, now)
            elif type(event) is Confirm:
                self.confirmed = max(self.confirmed, event.tag)
                self.refused += not event.stored
        self._changed.set()

    def note_arrival(self, body: bytes, now: float) -> None:
        """Take the time of a message's first arrival."""
        at = body.find(MARK)
        if at < 0:
            return
        place = int(body[at + len(MARK) : at + len(MARK) + _DIGITS]) - self._first
        if place < 0 or self._came[place] != _NEVER:
            self.repeats += 1
        else:
            self._came[place] = now
            self.arrived += 1

    def note_sent(self, due: Sequence[float]) -> None:
        """Expect one more message for each time at which one is due."""
        self._due.extend(due)
        self._came.extend(itertools.repeat(_NEVER, len(due)))

    def latencies(self, start: int) -> list[float]:
        """Return the seconds from due to arrived of all messages from the given place on, all arrived."""
        return [came - due for came, due in zip(self._came[start:], self._due[start:], strict=True)]

    def send(self, due: Sequence[float]) -> None:
        """Publish one message for each time at which one is due."""
        start = self._first + len(self._due)
        self.note_sent(due)
        frames: list[bytes] = []
        for number in range(start, start + len(due)):
            body, properties = self._messages[number]
            frames += self._route.parts(properties, body)
        self._producing.tap.write(b"".join(frames))

    async def all_arrived(self) -> None:
        """Wait until everything sent has arrived.

        Raises:
            RuntimeError: nothing came for long, or the broker refused a message.
        """
        while self.arrived < len(self._due):
            await self._hear()
        if self.refused:
            raise RuntimeError(f"the broker refused {self.refused:,} messages")

    async def _hear(self) -> None:
        """Wait until the broker says something."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), _SILENCE_SECONDS)
        except TimeoutError:
            missing = len(self._due) - self.arrived
            raise RuntimeError(
                f"nothing came for {_SILENCE_SECONDS:g} s, and {missing:,} messages are missing"
            ) from None

    async def paced(self, rate: float, seconds: float, warm_up_seconds: float) -> list[float]:
        """Send ``rate`` messages a second by a schedule made in advance; return their latencies in seconds.

        Each counts from when its message was due, not from when it was sent: what holds the producer
        up, or the machine, is in it. Those of the warm-up, which comes first, are left out.
        """
        count, first = int(rate * (warm_up_seconds + seconds)), len(self._due)
        grain = max(TICK_SECONDS, 1 / rate)
        start = clock() + grain
        schedule = [start + grain * int(n / (rate * grain)) for n in range(count)]
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        ticks = open_ticks(grain)
        at = 0

        def on_tick() -> None:
            nonlocal at
            os.read(ticks, 8)
            now, end = clock(), at
            while end < count and schedule[end] <= now:
                end += 1
            if end > at:
                self.send(schedule[at:end])
                at = end
            if at == count:
                done.set()

        loop.add_reader(ticks, on_tick)
        try:
            await done.wait()
        finally:
            loop.remove_reader(ticks)
            os.close(ticks)
        await self.all_arrived()
        return self.latencies(first + int(rate * warm_up_seconds))

    async def saturated(self, seconds: float, warm_up_seconds: float, window: int) -> float:
        """Keep ``window`` messages under way; return how many a second arrived.

        What the first window does is warm-up: who takes a thousand at once lets nothing arrive for a while.
        """
        await self._keep_up(window, warm_up_seconds, self.arrived + window)
        began, before = clock(), self.arrived
        await self._keep_up(window, seconds, before + window // 2)
        rate = (self.arrived - before) / (clock() - began)
        await self.all_arrived()
        return rate

    async def _keep_up(self, window: int, seconds: float, least: int) -> None:
        """Keep the window for so long, and until ``least`` have arrived, unless that takes too long."""
        began = clock()
        while (passed := clock() - began) < seconds or (self.arrived < least and passed < _SLOWEST_SECONDS):
            self._top_up(window, clock())
            await self._hear()

    async def pour(self, count: int, window: int) -> None:
        """Send ``count`` messages, at most ``window`` under way, and wait until all have arrived."""
        end = self.sent + count
        while self.sent < end:
            self._top_up(min(window, end - self.arrived), clock())
            await self._hear()
        await self.all_arrived()

    def _top_up(self, window: int, now: float) -> None:
        if (room := window - (self.sent - self.arrived)) > 0:
            self.send([now] * room)

    async def open_producer(self, producing: TappedConnection, source: str) -> None:
        """Get ready to publish to the queue ``source``, confirmed."""
        self._producing = producing
        connection = underlay(producing)
        channel = await open_channel(connection)
        frame_max = connection.connection_tune.frame_max
        producing.tap.divert(channel.number, frame_max, self.note_events)
        self._route = PublishRoute(channel.number, "", source, frame_max=frame_max)

    async def consume(self, consuming: TappedConnection, targets: Sequence[str]) -> None:
        """Take from now on what arrives in the targets, without acknowledgements."""
        connection = underlay(consuming)
        channel = await open_channel(connection, publisher_confirms=False)
        consuming.tap.divert(channel.number, connection.connection_tune.frame_max, self.note_events)
        for target in targets:
            await channel.basic_consume(target, _never_called, no_ack=True)


@asynccontextmanager
async def open_traffic(
    url: str, source: str, targets: Sequence[str], messages: Numbered, first: int
) -> AsyncIterator[Traffic]:
    """Open connections for the block; ``first`` is the first message's number, one never used before."""
    broker = Broker(URL(url), heartbeat_seconds=30, connect_timeout_seconds=10)
    producing = await connect(broker, "benchmark produce", TappedConnection)
    consuming = await connect(broker, "benchmark consume", TappedConnection)
    try:
        traffic = Traffic(messages, first)
        await traffic.open_producer(producing, source)
        await traffic.consume(consuming, targets)
        yield traffic
    finally:
        await consuming.close()
        await producing.close()


async def _never_called(_message: object) -> None:
    """Stand where aiormq wants a callback: the tap takes the deliveries before aiormq sees them."""
