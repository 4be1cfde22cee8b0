"""From an address to a journal, or to its read side."""

from contextlib import closing
from pathlib import Path
from typing import assert_never

from worker.errors import InvalidSettings, JournalMissing
from worker.journal.address import Address, InMemory, NoJournal, Postgresql, SqliteFile
from worker.journal.books import Books
from worker.journal.outbox import Outbox
from worker.journal.protocol import Journal
from worker.journal.upkeep import Upkeep


def prepare_journal(address: Address) -> bool:
    """Check that a journal can be used, or make its tables where there are none yet; True when it is new.

    Raises:
        JournalUnavailable: it cannot be reached.
        JournalMismatch: its tables are missing or of another version, and what to do.
    """
    match address:
        case NoJournal() | InMemory():
            return False
        case SqliteFile(pure):
            from worker.journal.sqlite.connection import check_version, connect
            from worker.journal.sqlite.upkeep import migrate

            path = Path(pure)
            if not path.exists():
                migrate(path)
                return True
            with closing(connect(path)) as connection:
                check_version(connection, path)
            return False
        case Postgresql(url):
            from worker.journal.postgresql.upkeep import prepare

            return prepare(url)
        case _:
            assert_never(address)


def open_outbox(address: Address, owner: str) -> Outbox | None:
    """Return a journal's events for one publisher, or None where there are none to be had."""
    match address:
        case NoJournal() | InMemory():
            return None
        case SqliteFile(path):
            from worker.journal.sqlite.outbox import SqliteOutbox

            return SqliteOutbox(Path(path), owner)
        case Postgresql(url):
            from worker.journal.postgresql.outbox import PostgresqlOutbox

            return PostgresqlOutbox(url, owner)
        case _:
            assert_never(address)


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
        case Postgresql(url):
            from worker.journal.postgresql.journal import PostgresqlJournal

            return await PostgresqlJournal.open(url, owner, lease_seconds)
        case _:
            assert_never(address)


def open_upkeep(address: Address) -> Upkeep:
    """Open an operator's way to a journal.

    Raises:
        InvalidSettings: there is none to look after.
    """
    match address:
        case NoJournal() | InMemory():
            raise InvalidSettings(
                "there is no journal to look after: --journal or PAYMENT_WORKER_JOURNAL names none that lasts"
            )
        case SqliteFile(path):
            from worker.journal.sqlite.upkeep import SqliteUpkeep

            return SqliteUpkeep(Path(path))
        case Postgresql(url):
            from worker.journal.postgresql.upkeep import PostgresqlUpkeep

            return PostgresqlUpkeep(url)
        case _:
            assert_never(address)


def open_books(address: Address, shown: str) -> Books:
    """Open a journal for reading, beside the workers that write it; ``shown`` is its address for people.

    Raises:
        JournalMissing: there is none.
        JournalUnavailable, JournalMismatch, JournalCorrupt: there is one, and it cannot be read.
    """
    match address:
        case NoJournal():
            raise JournalMissing("no journal is kept (journal is none): nothing is remembered of any payment")
        case InMemory():
            raise JournalMissing("a journal in memory can be read by its own process alone")
        case SqliteFile(path):
            from worker.journal.sqlite.books import SqliteBooks

            if not Path(path).exists():
                raise JournalMissing(
                    f"there is no journal at {shown}; workers make it when they start, in the folder where"
                    " they start unless it is named from the root: --journal sqlite:////var/lib/payments.db,"
                    " or PAYMENT_WORKER_JOURNAL"
                )
            return SqliteBooks.open(Path(path))
        case Postgresql(url):
            from worker.journal.postgresql.books import PostgresqlBooks

            return PostgresqlBooks.open(url)
        case _:
            assert_never(address)
