"""A connection to a journal file, and SQLite's errors in the worker's words."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from worker.errors import JournalCorrupt, JournalMismatch, JournalUnavailable
from worker.journal.sqlite.schema import APPLICATION_ID, VERSION

BUSY_SECONDS: Final = 10.0
"""How long a transaction waits for those of other processes."""

_SWITCH_SECONDS: Final = 0.01
_CHECKPOINT_BYTES: Final = 16 * 1024 * 1024
_PAGE_BYTES: Final = 4096
_OLDEST: Final = (3, 37, 0)
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def connect(path: Path, *, read_only: bool = False, new: bool = False) -> sqlite3.Connection:
    """Open a journal file as it is; with ``new``, also one that is not there yet.

    Every commit is on disk when it returns (``synchronous=FULL``): were an intent undone by a power cut,
    another worker could choose another processor.

    Raises:
        JournalUnavailable: it cannot be opened.
        JournalMismatch: there is no such file, it is another program's, or this SQLite is too old.
        JournalCorrupt: the file is damaged, or no database.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise JournalMismatch(
            f"SQLite {sqlite3.sqlite_version} is too old for the journal; it needs"
            f" {'.'.join(map(str, _OLDEST))} or newer, which comes with the Python that uses it"
        )
    if path.is_dir():
        raise JournalMismatch(
            f"the journal {path} is a folder; name a file in it, such as {path / 'journal.db'}"
        )
    if not new and not path.exists():
        raise JournalMismatch(
            f"there is no journal {path}; if that is where it is to be, run: payment-worker journal migrate"
        )
    with speaking_of(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc' if new else 'rw'}", uri=True,
            timeout=BUSY_SECONDS, isolation_level=None, cached_statements=64, check_same_thread=False,
        )  # fmt: skip
        try:
            _prepare(connection, path, read_only=read_only)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    # in this order: one that is being migrated has no tables yet, or both tables and number
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID and tables:
        raise JournalMismatch(f"{path} is a SQLite file of another program; name a new file for the journal")
    if not read_only:
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_BYTES // _PAGE_BYTES}")
        connection.execute(f"PRAGMA journal_size_limit={4 * _CHECKPOINT_BYTES}")
    connection.execute("PRAGMA cache_size=-32768")
    connection.execute("PRAGMA temp_store=MEMORY")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch a file to its write-ahead log; SQLite itself does not wait for others that do so at once."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_SWITCH_SECONDS)
        else:
            return


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a file's tables, 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse tables of another version than this program's.

    Raises:
        JournalMismatch: with what to do.
    """
    version = version_of(connection)
    if version < VERSION:
        raise JournalMismatch(
            f"the journal {path} has version {version} of its tables, this program needs {VERSION};"
            " run: payment-worker journal migrate"
        )
    if version > VERSION:
        raise JournalMismatch(
            f"the journal {path} has version {version} of its tables, this program knows {VERSION} at most;"
            " run a newer payment-worker"
        )


@contextmanager
def speaking_of(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the worker's.

    Raises:
        JournalUnavailable: for now: locked, full, not to be read or written.
        JournalCorrupt: the file is damaged, or no database.
    """
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _DAMAGED:
            raise JournalCorrupt(f"the journal {path}: {error}; restore it from a backup") from error
        hint = _HINTS.get(code & 0xFF, "") if code is not None else ""
        raise JournalUnavailable(f"the journal {path}: {error}{hint}") from error


_HINTS: Final = {
    sqlite3.SQLITE_FULL: "; free space on its disk, nothing is acknowledged meanwhile",
    sqlite3.SQLITE_CANTOPEN: "; its folder must exist and be writable",
    sqlite3.SQLITE_READONLY: "; the file and its folder must be writable",
    sqlite3.SQLITE_BUSY: f": another process has held it for {BUSY_SECONDS:g} s",
}
