"""From an address to a journal, or to its read side."""

from pathlib import Path
from typing import assert_never

from worker.journal.address import Address, InMemory, NoJournal, Postgresql, SqliteFile
from worker.journal.protocol import Journal


async def open_journal(address: Address, owner: str, lease_seconds: float) -> Journal | None:
    """Open a worker's own way to a journal, or None where there is to be none.

    ``owner`` is a name that no other worker has, this process's successors included.

    Raises:
        JournalUnavailable: it cannot be reached.
        JournalMismatch: its tables are missing or of another version, and what to do.
    """
    match address:
        case NoJournal():
            return None
        case InMemory():
            from worker.journal.memory import MemoryJournal

            return MemoryJournal(owner, lease_seconds)
        case SqliteFile(path):
            from worker.journal.sqlite.journal import SqliteJournal

            return SqliteJournal.open(Path(path), owner, lease_seconds)
        case Postgresql():
            raise NotImplementedError
        case _:
            assert_never(address)
