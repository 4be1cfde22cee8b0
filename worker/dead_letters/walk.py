"""Going through the dead letters, from the oldest on: choose, act on a few at a time, keep count."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from worker.amqp.lane import Confirmation, Outgoing
from worker.amqp.wire import Delivery
from worker.dead_letters.letter import DeadLetter, read_letter
from worker.dead_letters.select import Selection
from worker.dead_letters.totals import Totals
from worker.errors import BrokerUnavailable

BATCH: Final = 100
IDLE_SECONDS: Final = 2.0
IDLE_TRIES: Final = 15
FINISH_SECONDS: Final = 10.0


class Browser(Protocol):
    """What this needs of ``worker.amqp.browse.BrowseLane``."""

    @property
    def found(self) -> int:
        """How many messages waited at the beginning."""

    async def take(self, max_deliveries: int) -> Sequence[Delivery]:
        """See ``Lane.take``."""

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Confirmation]:
        """See ``Lane.send``."""

    async def remove(self, deliveries: Iterable[Delivery]) -> None:
        """Take deliveries from the queue for good."""

    async def is_empty(self) -> bool:
        """Whether no message waits in the queue."""


async def chosen(
    lane: Browser, selection: Selection, seen: Callable[[Sequence[DeadLetter]], None]
) -> AsyncGenerator[list[DeadLetter], None]:
    """Yield those letters of each batch that pass the filters; ``seen`` learns of all of them before.

    It looks at as many as waited at the beginning. What another consumer took or holds meanwhile is missing.

    Raises:
        BrokerUnavailable: the lane ended, or the broker hands nothing over although messages wait.
    """
    count, tries = lane.found, 0
    while count:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                batch = await lane.take(min(BATCH, count))
        except TimeoutError:
            if await lane.is_empty():
                return
            tries += 1
            if tries == IDLE_TRIES:
                raise BrokerUnavailable(
                    f"the broker has handed nothing over for {IDLE_SECONDS * IDLE_TRIES:g} s, although"
                    " messages wait; is its memory or disk full?"
                ) from None
            continue
        tries = 0
        count -= len(batch)
        letters = [read_letter(delivery) for delivery in batch]
        seen(letters)
        yield [letter for letter in letters if selection.takes(letter)]


@dataclass(slots=True)
class Report:
    """What was done, or would be, and what stays although it was chosen, by reason."""

    done: Totals = field(default_factory=Totals)
    left: dict[str, Totals] = field(default_factory=dict)

    def leave(self, letter: DeadLetter, reason: str) -> None:
        """Count a letter that stays."""
        self.left.setdefault(reason, Totals()).add(letter)


class Action(Protocol):
    """What can be done to chosen letters."""

    async def reasons_to_stay(self, letters: Sequence[DeadLetter]) -> Sequence[str | None]:
        """Return for each letter why it must stay, or None."""

    async def act(self, lane: Browser, letters: Sequence[DeadLetter], report: Report) -> None:
        """Do it and count what is done in the report; raise when nothing more should be done."""


@dataclass(slots=True)
class Pace:
    """At most ``rate`` letters a second, None for as many as can be; ``clock`` in seconds."""

    rate: float | None
    clock: Callable[[], float]
    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep
    _free_at: float = 0.0

    def parts(self, letters: Sequence[DeadLetter]) -> list[Sequence[DeadLetter]]:
        """Cut letters into parts of at most a quarter of a second's."""
        size = len(letters) if self.rate is None else max(1, int(self.rate / 4))
        return [letters[start : start + size] for start in range(0, len(letters), max(1, size))]

    async def wait(self, letters: int) -> None:
        """Wait until so many may go."""
        if self.rate is not None:
            now = self.clock()
            await self.sleep(max(0.0, self._free_at - now))
            self._free_at = max(self._free_at, now) + letters / self.rate


@dataclass(slots=True)
class Round:
    """One action on all chosen letters; a dry run asks for no act.

    Letters that stay are held for ``hold_seconds`` at most, since the broker takes a consumer for lost that
    holds one too long.
    """

    selection: Selection
    action: Action
    pace: Pace
    dry_run: bool
    seen: Callable[[Sequence[DeadLetter]], None]
    hold_seconds: float
    report: Report = field(default_factory=Report)

    async def go_through(self, lane: Browser) -> bool:
        """Go through the queue once; False when letters were held too long, so that it needs another go.

        Cancelled, it finishes what is in flight: nothing is left between its publish and its removal.

        Raises:
            WorkerError: as the action does; the report has what was done until then.
        """
        self.report.left.clear()
        give_back_at = self.pace.clock() + self.hold_seconds
        async for letters in chosen(lane, self.selection, self.seen):
            going: list[DeadLetter] = []
            for letter, reason in zip(letters, await self.action.reasons_to_stay(letters), strict=True):
                if reason is None:
                    going.append(letter)
                else:
                    self.report.leave(letter, reason)
            if self.dry_run:
                for letter in going:
                    self.report.done.add(letter)
                continue
            for part in self.pace.parts(going):
                await self.pace.wait(len(part))
                await to_its_end(self.action.act(lane, part, self.report))
                if self.pace.clock() > give_back_at:
                    return False
        return True


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await ``work``; when cancelled meanwhile, let it end first, for at most ``FINISH_SECONDS``."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=FINISH_SECONDS)
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # the cancellation says enough
        raise
