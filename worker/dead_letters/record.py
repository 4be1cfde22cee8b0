"""Who remembers what was dispatched: the journal, which is asked before a dead letter goes back."""

import sys
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from worker.dead_letters.actions import DispatchRecord, NoRecord
from worker.errors import JournalMissing
from worker.journal.address import Address, NoJournal
from worker.journal.books import Books
from worker.journal.opening import open_books
from worker.journal.states import State

_OUT_THERE = frozenset({State.DISPATCHED, State.CLAIMED})
"""Claimed: a worker is about to send it, or has and died before it could say so."""


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """Answers from a journal."""

    books: Books

    async def already_dispatched(self, payment_ids: Collection[str]) -> Collection[str]:
        """See ``DispatchRecord``. Raises JournalUnavailable and JournalCorrupt as the books do."""
        return {one for one, state in self.books.states(payment_ids).items() if state in _OUT_THERE}


@contextmanager
def opened_record(address: Address, shown: str) -> Iterator[DispatchRecord]:
    """Open the record for the block; where there is none, say on stderr what that means.

    Raises:
        JournalUnavailable, JournalMismatch, JournalCorrupt: there is one, and it cannot be read.
    """
    try:
        books = open_books(address, shown)
    except JournalMissing:
        sys.stderr.write(
            "no journal: nobody knows whether a payment was dispatched meanwhile\n"
            if isinstance(address, NoJournal)
            else f"no journal at {shown}: the workers will notice, and not this command, that a payment was"
            " dispatched meanwhile; --journal names another\n"
        )
        yield NoRecord()
        return
    with closing(books):
        yield JournalRecord(books)
