"""What can be done to dead letters: send them back to the queue of work, or drop them.

The order is what keeps every letter: a letter leaves the queue last, after what replaces it is confirmed and
its audit line is written. Killed in between, it is still there, and at most also where it went.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, assert_never

from worker.amqp.lane import Confirmed, Refused, Unknown
from worker.dead_letters.audit import Audit, Lines
from worker.dead_letters.exported import to_exported
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.walk import Browser, Report
from worker.envelope import Envelopes
from worker.errors import BrokerUnavailable, MalformedProperties, PublishRefused

DISPATCHED: Final = "dispatched meanwhile, or about to be"
DIED_SINCE: Final = "died after this command began"
UNWRITABLE: Final = "its headers fit no message"


class DispatchRecord(Protocol):
    """Who remembers what was dispatched."""

    async def already_dispatched(self, payment_ids: Collection[str]) -> Collection[str]:
        """Return those payments of which a dispatch was confirmed, or may have been sent."""


class NoRecord:
    """Remembers nothing: without a journal nobody can say."""

    async def already_dispatched(self, payment_ids: Collection[str]) -> Collection[str]:
        """Return none."""
        del payment_ids
        return ()


@dataclass(frozen=True, slots=True)
class Redrive:
    """Sends letters back through ``exchange``; ``began`` is when the command did."""

    envelopes: Envelopes
    exchange: str
    record: DispatchRecord
    max_redrives: int
    audit: Audit | None
    began: datetime
    now: Callable[[], datetime]

    async def reasons_to_stay(self, letters: Sequence[DeadLetter]) -> Sequence[str | None]:
        """See ``Action``: not what was dispatched, not more often than allowed, not what died again."""
        ids = {letter.payment_id for letter in letters if letter.payment_id is not None}
        known = await self.record.already_dispatched(ids) if ids else ()
        return [self._reason(letter, known) for letter in letters]

    def _reason(self, letter: DeadLetter, known: Collection[str]) -> str | None:
        if letter.payment_id in known:
            return DISPATCHED
        if letter.arrival.redrives >= self.max_redrives:
            return f"redriven {self.max_redrives} times already"
        if letter.dead_at is not None and letter.dead_at > self.began:
            return DIED_SINCE
        return None

    async def act(self, lane: Browser, letters: Sequence[DeadLetter], report: Report) -> None:
        """See ``Action``. One that the broker refuses ends it: the next would be refused as well.

        Raises:
            PublishRefused: the queue of work is full, or nothing takes what is published.
            BrokerUnavailable: the outcome of some is unknown; they stay, and may have been sent too.
        """
        now = self.now()
        confirmations = await lane.send(
            [self.envelopes.redriven(self.exchange, letter, now) for letter in letters]
        )
        done: list[DeadLetter] = []
        refused: Refused | None = None
        unknown: list[str] = []
        for letter, confirmation in zip(letters, confirmations, strict=True):
            match confirmation:
                case Confirmed():
                    done.append(letter)
                case Refused() if confirmation.code == MalformedProperties.code:
                    report.leave(letter, UNWRITABLE)
                case Refused():
                    refused = confirmation
                case Unknown():
                    unknown.append(confirmation.reason)
                case _:
                    assert_never(confirmation)
        await _remove(lane, done, report, self.audit, now)
        if unknown:
            raise BrokerUnavailable(
                f"{unknown[0]}; {len(unknown):,} dead letters stay, although the queue of work may have them"
                " as well"
            )
        if refused is not None:
            raise PublishRefused(
                f"{self.envelopes.return_to} takes nothing more: {refused.reason}; the rest stay where they"
                " are: let the workers catch up, or see `payment-worker topology verify`, then run this again"
            )


@dataclass(frozen=True, slots=True)
class Drop:
    """Takes letters from the queue for good, once ``export`` has them."""

    export: Lines | None
    audit: Audit | None
    now: Callable[[], datetime]

    async def reasons_to_stay(self, letters: Sequence[DeadLetter]) -> Sequence[str | None]:
        """See ``Action``: none stays."""
        return [None] * len(letters)

    async def act(self, lane: Browser, letters: Sequence[DeadLetter], report: Report) -> None:
        """See ``Action``. Raises ConfigurationError when a file cannot be written; those letters stay."""
        if self.export is not None:
            self.export.write(map(to_exported, letters))
        await _remove(lane, letters, report, self.audit, self.now())


async def _remove(
    lane: Browser, letters: Sequence[DeadLetter], report: Report, audit: Audit | None, now: datetime
) -> None:
    if audit is not None:
        audit.write(letters, now)
    await lane.remove([letter.delivery for letter in letters])
    for letter in letters:
        report.done.add(letter)
