"""A connection to a journal file, and SQLite's errors in the worker's words."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.errors import JournalCorrupt, JournalMismatch, JournalUnavailable
from worker.journal.sqlite.schema import APPLICATION_ID, VERSION

BUSY_SECONDS: Final = 10.0
"""How long a transaction waits for those of other processes."""
SHORT_SECONDS: Final = 1.0
"""How long those wait who come back anyway: a worker that is told to stop must not wait for them."""

_LOOK_SECONDS: Final = 0.2
_SWITCH_SECONDS: Final = 0.01
_CHECKPOINT_BYTES: Final = 4 * 1024 * 1024
"""Of write-ahead log, which the commit that reaches it carries over to the file while payments wait.

The more of it, the longer that commit takes, and no more is done in the same time. Another thread could do it
beside the commits, but SQLite up to 3.51.2 may then damage the file (sqlite.org/wal.html, the WAL-reset bug).
"""
_PAGE_BYTES: Final = 4096
_OLDEST: Final = (3, 37, 0)
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def connect(
    path: Path, *, read_only: bool = False, new: bool = False, busy_seconds: float | None = None
) -> sqlite3.Connection:
    """Open a journal file as it is; with ``new``, also one that is not there yet.

    Its statements wait for other processes for ``busy_seconds``, or else ``BUSY_SECONDS``.

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
    busy_seconds = BUSY_SECONDS if busy_seconds is None else busy_seconds
    with speaking_of(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc' if new else 'rw'}", uri=True,
            timeout=busy_seconds, isolation_level=None, cached_statements=64, check_same_thread=False,
        )  # fmt: skip
        try:
            _prepare(connection, path, busy_seconds, read_only=read_only)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection, path: Path, busy_seconds: float, *, read_only: bool) -> None:
    # in this order: one that is being migrated has no tables yet, or both tables and number
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID and tables:
        raise JournalMismatch(f"{path} is a SQLite file of another program; name a new file for the journal")
    if not read_only:
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        _write_ahead(connection, busy_seconds)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_BYTES // _PAGE_BYTES}")
        connection.execute(f"PRAGMA journal_size_limit={4 * _CHECKPOINT_BYTES}")
    connection.execute("PRAGMA cache_size=-32768")
    connection.execute("PRAGMA temp_store=MEMORY")


def _write_ahead(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Switch a file to its write-ahead log; SQLite itself does not wait for others that do so at once."""
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(_SWITCH_SECONDS)
        else:
            return


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether another process was in the way."""
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def look_often(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Let a connection's statements wait for other processes for moments only."""
    connection.execute(f"PRAGMA busy_timeout={round(1000 * _LOOK_SECONDS)}")
    return connection


def begin(connection: sqlite3.Connection, awaited: Callable[[], bool]) -> None:
    """Begin to write as soon as other processes let, within ``BUSY_SECONDS``, as long as it is ``awaited``.

    For a connection that looks often.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or not awaited() or time.monotonic() > deadline:
                raise
        else:
            return


@dataclass(slots=True)
class SameFile:
    """Sees to it that a path leads to the file that it led to at first.

    SQLite notices neither a file that is deleted under it nor one that takes its place: it writes on into
    what nobody will ever read.
    """

    path: Path
    _first: tuple[int, int] | None = None

    def check(self) -> None:
        """Look at the file; the first look tells which one it is.

        Raises:
            JournalUnavailable: it is gone, and may come back.
            JournalMismatch: another one is in its place.
        """
        try:
            found = self.path.stat()
        except OSError as error:
            raise JournalUnavailable(
                f"the journal {self.path} is gone ({error.strerror}); put the file back where it was, nothing"
                " is acknowledged meanwhile; workers that are started anew begin an empty one"
            ) from error
        if self._first is None:
            self._first = found.st_dev, found.st_ino
        elif self._first != (found.st_dev, found.st_ino):
            raise JournalMismatch(
                f"another file has taken the place of the journal {self.path} while it was in use;"
                " start the workers anew if they are to go on with this one"
            )


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
    sqlite3.SQLITE_BUSY: "; another process holds it, nothing is acknowledged meanwhile",
}
