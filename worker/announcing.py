"""Publishes the journal's events, one batch after another, for as long as a lane lives."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from worker.amqp.lane import Confirmed, Lane, Outgoing, Properties, Refused, Unknown
from worker.envelope import APP_ID
from worker.errors import JournalUnavailable, Unroutable
from worker.journal.outbox import Due, Event, Outbox
from worker.telemetry.logs import Log

BATCH: Final = 200
PAUSE_SECONDS: Final = 0.2
"""Between two looks when there is nothing to publish, or not by this publisher."""
HELD_BACK_SECONDS: Final = 2.0
"""After a refusal, or while the journal cannot be read."""


@dataclass(slots=True)
class Announcer:
    """Publishes to the exchange of events; what no queue is bound for counts as told: nobody listens.

    A batch is published until all of it is taken. After a refusal the next one is smaller, so that a queue
    with little room takes what it can.
    """

    outbox: Outbox
    lane: Lane
    exchange: str
    now: Callable[[], datetime]
    log: Log
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _limit: int = BATCH

    async def run(self) -> None:
        """Publish until ``stop`` is set or the lane ends; then the events are another publisher's."""
        try:
            while not self.stop.is_set():
                pause = await self._round()
                if pause:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self.stop.wait()
        finally:
            with contextlib.suppress(JournalUnavailable):
                self.outbox.close()

    async def _round(self) -> float:
        """Publish what is due; return how long to pause."""
        try:
            due = await asyncio.to_thread(self.outbox.due, self.now(), self._limit)
            if due is None:
                return PAUSE_SECONDS
            if not await self._publish(due):
                self._limit = max(1, len(due.events) // 4)
                return HELD_BACK_SECONDS
            self._limit = min(BATCH, 2 * self._limit)
            await asyncio.to_thread(self.outbox.done, due.position)
        except JournalUnavailable as error:
            self.log.warning("events held back", code=error.code, reason=str(error))
            return HELD_BACK_SECONDS
        return 0.0

    async def _publish(self, due: Due) -> bool:
        """Publish a batch; True when every event is told. Else all are due again, under the same ids."""
        outcomes = await self.lane.send([self._outgoing(event) for event in due.events])
        for outcome in outcomes:
            match outcome:
                case Confirmed():
                    pass
                case Refused():
                    if outcome.code != Unroutable.code:
                        self.log.warning("events held back", code=outcome.code, reason=outcome.reason)
                        return False
                case Unknown():
                    self.stop.set()
                    return False
        return True

    def _outgoing(self, event: Event) -> Outgoing:
        properties = Properties(
            content_type="application/json",
            message_id=event.event_id,
            correlation_id=event.payment_id,
            timestamp=int(self.now().timestamp()),
            type=event.type,
            app_id=APP_ID,
        )
        return Outgoing(self.exchange, event.type, event.body, properties)
