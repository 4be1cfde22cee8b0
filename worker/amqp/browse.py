"""Looking through a queue: a lane whose deliveries go back, in their order, unless they are removed.

AMQP selects no messages, so whoever looks for some takes all and keeps the others unacknowledged until the
end. A consumer's prefetch bounds what lies in memory here; once its window is full of deliveries that are
kept, another channel with a window of its own goes on behind it. The broker holds the rest.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiormq.channel import Channel

from worker.amqp.connection import Broker, explain_closing, open_channel, underlay
from worker.amqp.declaring import check_browsing, depth, look_at
from worker.amqp.paired import CHANNEL_ERRORS
from worker.amqp.tap import TappedConnection
from worker.amqp.tapped import TapLane
from worker.amqp.wire import Delivery, Event, encode_ack
from worker.errors import BrokerUnavailable

FIRST_WINDOW: Final = 64
LARGEST_WINDOW: Final = 1000
WINDOW_BYTES: Final = 32 * 1024 * 1024
"""What a window of bodies as large as the largest seen so far may take."""

PUT_BACK_SECONDS: Final = 30.0
BACK_TRIES: Final = 200
BACK_POLL_SECONDS: Final = 0.005


class BrowseLane(TapLane):
    """A lane that looks through a queue. Open it with ``browsing``.

    ``found`` is how many messages waited in the queue when it was opened, and ``others`` how many consumers
    it had.
    """

    def __init__(
        self, consuming: TappedConnection, publishing: TappedConnection, confirm_timeout: float
    ) -> None:
        super().__init__(consuming, publishing, confirm_timeout)
        self.found = self.others = 0
        self._windows: list[tuple[Channel, str]] = []  # with their consumers' tags, oldest first
        self._queue = ""
        self._window = FIRST_WINDOW
        self._room = 0  # deliveries that the broker may hand over before anything is removed
        self._kept: Counter[int] = Counter()  # by the channel's number
        self._largest_body = 1

    async def _begin(self, queue: str, prefetch: int) -> None:
        self._queue, self._window = queue, prefetch
        connection = underlay(self._consuming)
        self.found, self.others = await look_at(connection, queue)
        await check_browsing(connection, queue)
        await self._open_window(self._consumer)

    async def _open_window(self, channel: Channel) -> None:
        self._room += self._window
        await channel.basic_qos(prefetch_count=self._window)
        self._windows.append((channel, await self._consume(channel, self._queue)))

    async def _widen(self) -> None:
        """Let the broker hand over more, on a channel of its own: a consumer's prefetch cannot grow."""
        self._window = min(LARGEST_WINDOW, max(1, WINDOW_BYTES // self._largest_body))
        try:
            connection = underlay(self._consuming)
            channel = await open_channel(connection, publisher_confirms=False)
            self._watch(channel.closing, "consuming channel")
            channel.on_consumer_cancel_callbacks.add(
                lambda _: self._end(f"the broker cancelled the consumer of {self._queue}")
            )
            frame_max = connection.connection_tune.frame_max
            self._consuming_tap.divert(channel.number, frame_max, self._on_deliveries)
            await self._open_window(channel)
        except (*CHANNEL_ERRORS, RuntimeError) as error:
            self._end(f"cannot look further into {self._queue}: {explain_closing(error)}")

    def _on_deliveries(self, events: list[Event]) -> None:
        for event in events:
            if type(event) is Delivery:
                self._arrived.append(event)
                self._room -= 1
                self._kept[event.channel] += 1
                self._largest_body = max(self._largest_body, len(event.body))
        self._wake.set()

    async def take(self, max_deliveries: int) -> Sequence[Delivery]:
        """See ``Lane.take``. What was taken before and is not removed by now is kept for the end."""
        if not self._arrived and self._ended is None and 2 * self._room < self._window:
            await self._widen()
        return await super().take(max_deliveries)

    async def remove(self, deliveries: Iterable[Delivery]) -> None:
        """Acknowledge deliveries, each at most once: they leave the queue for good."""
        if self._ended is not None:
            return
        frames: list[bytes] = []
        for delivery in deliveries:
            frames.append(encode_ack(delivery.channel, delivery.tag))
            self._kept[delivery.channel] -= 1
        self._room += len(frames)
        self._consuming_tap.write(b"".join(frames))

    async def is_empty(self) -> bool:
        """Whether no message waits in the queue; those in a consumer's hands do not count."""
        try:
            return not await depth(underlay(self._consuming), self._queue)
        except (*CHANNEL_ERRORS, RuntimeError) as error:
            raise BrokerUnavailable(f"cannot look at {self._queue}: {explain_closing(error)}") from error

    async def close(self) -> None:
        """Put back what was not removed, the oldest first, and end the lane."""
        if self._ended is None:
            with contextlib.suppress(*CHANNEL_ERRORS, RuntimeError, TimeoutError):
                async with asyncio.timeout(PUT_BACK_SECONDS):
                    await self._put_back()
        await self._shut("the lane is closed")

    async def _put_back(self) -> None:
        """Give the queue one window after another, and wait until it has each: else they may change places.

        So who looks next finds everything.
        """
        connection = underlay(self._consuming)
        for channel, consumer in self._windows:  # all of them first: what goes back must not come again
            await channel.basic_cancel(consumer)
        self._end("the lane is closed")
        waiting, tries = await depth(connection, self._queue), BACK_TRIES
        for channel, _ in self._windows:
            waiting += self._kept[channel.number]
            await channel.close()
            while tries and await depth(connection, self._queue) < waiting:
                await asyncio.sleep(BACK_POLL_SECONDS)
                tries -= 1  # spent when another consumer takes what goes back


@asynccontextmanager
async def browsing(
    broker: Broker, name: str, queue: str, confirm_timeout: float = 30.0
) -> AsyncIterator[BrowseLane]:
    """Open a lane through a queue for the block, and put back what it did not remove.

    Raises:
        TopologyMismatch: there is no such queue, or looking would make the broker drop messages.
        BrokerUnavailable, AccessRefused: as ``connect``.
    """
    lane = await BrowseLane.open(broker, name, queue, FIRST_WINDOW, confirm_timeout)
    try:
        yield lane
    finally:
        closing = asyncio.ensure_future(lane.close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise
