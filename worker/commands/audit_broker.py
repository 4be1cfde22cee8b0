"""The broker's side of the audit: depths before and after it, and which dead letters are missing."""

import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

import orjson
import uvloop

from worker.amqp.connection import connected
from worker.bookkeeping.audit import Audit, audit
from worker.bookkeeping.depths import MISSING_LETTERS, Comparison, Depths, compare, read_depths
from worker.bookkeeping.seen import Seen
from worker.commands.books_options import counting
from worker.commands.dead_letters_options import Looked, dead_letters_of, progress
from worker.dead_letters import Selection
from worker.dead_letters.walk import chosen
from worker.errors import InvalidSettings
from worker.journal.books import Books
from worker.journal.states import State
from worker.session import broker_of
from worker.settings import Settings
from worker.source import names_of

_DEAD: Final = (State.DEAD_LETTERED, State.HELD)


def audit_with_broker(
    books: Books, settings: Settings, dropped: Sequence[Path], *, quick: bool
) -> tuple[Audit, list[Comparison]]:
    """Audit a journal and hold it against the depths of the broker's queues, too.

    ``dropped`` are files that ``dead-letters drop --audit`` has written: what they name need not be there.

    Raises:
        BrokerUnavailable, AccessRefused, TopologyMismatch: the broker's queues cannot be looked at.
        InvalidSettings: a file of ``dropped`` cannot be read.
    """
    number, before = books.last_number(), uvloop.run(_depths(settings))
    with counting("payments") as count:
        found = audit(books, quick=quick, progress=count)
    after, moved = uvloop.run(_depths(settings)), books.last_number() - number
    comparisons = list(compare(found, before, after, moved, settings.max_batch_lines))
    for place, comparison in enumerate(comparisons):
        if comparison.problem == MISSING_LETTERS:
            missing = 0
            for payment_id in _missing_letters(books, settings, dropped):
                missing += 1
                found.misfit(payment_id, "is dead, but its letter is not among the dead letters any more")
            if not missing:
                comparisons[place] = comparison._replace(problem=None)
        elif comparison.problem is not None:
            found.misfit(f"({comparison.place.replace('_', ' ')})", comparison.problem)
    return found, comparisons


async def _depths(settings: Settings) -> Depths:
    async with connected(broker_of(settings), "payment-worker audit") as connection:
        return await read_depths(connection, names_of(settings), settings.every_delay)


def _missing_letters(books: Books, settings: Settings, dropped: Sequence[Path]) -> Iterator[str]:
    """Yield payments that were dead before now and whose letters are neither in the queue nor dropped."""
    began = time.time_ns() // 1_000_000
    with Seen() as seen:
        for path in dropped:
            seen.add(list(_dropped(path)))
        looked = Looked()
        with progress(looked):
            uvloop.run(_see_letters(settings, looked, seen))
        for page in books.pages():
            standing = page.standing
            if standing.state in _DEAD and standing.changed < began and not seen.among([standing.payment_id]):
                yield standing.payment_id


async def _see_letters(settings: Settings, looked: Looked, seen: Seen) -> None:
    async with (
        dead_letters_of(settings, looked) as lane,
        aclosing(chosen(lane, Selection(), looked.see)) as walk,
    ):
        async for letters in walk:
            seen.add([letter.payment_id for letter in letters if letter.payment_id is not None])


def _dropped(path: Path) -> Iterator[str]:
    """Yield the payments that a file says were dropped."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    found = orjson.loads(line)
                    if found["action"] == "drop" and found["payment_id"] is not None:
                        yield str(found["payment_id"])
                except (ValueError, KeyError, TypeError):
                    raise InvalidSettings(
                        f"--dropped {path}: line {number} is none of `dead-letters drop --audit`"
                    ) from None
    except OSError as error:
        raise InvalidSettings(f"--dropped {path}: cannot be read: {error.strerror}") from None
