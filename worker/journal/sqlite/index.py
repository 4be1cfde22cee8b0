"""Which row a payment id has: an index that is brought up to date behind the workers' backs.

A payment id lands anywhere in an index of all ids, so that each new one would write a page of its own: with
many payments that costs more than all else. So the newest rows, the tail, are kept in the memory of every
process. Only once there are many of them are they sorted and put into the index, several to a page, slice by
slice. SQLite has one writer at a time: within a transaction, tail and index together know every row.
"""

import sqlite3
import threading
import time
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from worker.errors import JournalCorrupt, WorkerError
from worker.journal.sqlite.connection import SHORT_SECONDS, connect, speaking_of
from worker.journal.sqlite.sieve import Sieved

SHORTEST_TAIL: Final = 16_384
LONGEST_TAIL: Final = 262_144
"""Rows of a tail that are about to be indexed; up to 50 MB of memory a process."""
SLICE_ROWS: Final = 512
"""Rows of one transaction of indexing, which claims may have to wait for."""
_LEASE_SECONDS: Final = 60

_STATE: Final = "SELECT upto, ifnull((SELECT max(id) FROM payments), 0) FROM indexed"
_TAIL: Final = "SELECT payment_id, id FROM payments WHERE id > ?"
_INDEXED: Final = "SELECT payment_id, payment FROM ids WHERE payment_id IN (SELECT value FROM json_each(?))"


@dataclass(slots=True)
class Index:
    """One process's knowledge of rows: ``begin`` a transaction with it, and ``keep`` or ``undo`` it."""

    upto: int = 0
    """The last row that is in the index on disk; later ones are in the tail."""
    seen: int = 0
    tail: dict[str, int] = field(default_factory=dict)
    sieved: Sieved = field(default_factory=Sieved)
    _fresh: dict[str, int] = field(default_factory=dict)

    def begin(self, connection: sqlite3.Connection) -> None:
        """Learn what other processes have added since the last transaction."""
        upto, last = connection.execute(_STATE).fetchone()
        if upto > self.upto:
            if upto <= self.seen:
                self.sieved.add([payment_id for payment_id, row in self.tail.items() if row <= upto])
            else:  # others have added and indexed rows that this process never saw
                self.sieved.lose()
            self.tail = {payment_id: row for payment_id, row in self.tail.items() if row > upto}
            self.upto, self.seen = upto, max(self.seen, upto)
        if last > self.seen:
            self.tail.update(connection.execute(_TAIL, (self.seen,)))
            self.seen = last

    def find(self, connection: sqlite3.Connection, payment_ids: Collection[str]) -> dict[str, int]:
        """Return the rows of those payments that there are."""
        found: dict[str, int] = {}
        if self.upto and (asked := self.sieved.sift(payment_ids)):
            found.update(connection.execute(_INDEXED, (orjson.dumps(list(asked)).decode(),)))
        for known in (self.tail, self._fresh):
            found.update((payment_id, known[payment_id]) for payment_id in known.keys() & payment_ids)
        return found

    def add(self, payment_ids: Iterable[str], rows: range) -> None:
        """Take note of rows that the transaction adds."""
        self._fresh.update(zip(payment_ids, rows, strict=True))

    def keep(self) -> None:
        """The transaction is committed."""
        if self._fresh:
            self.seen = max(self._fresh.values())
            self.tail.update(self._fresh)
            self._fresh.clear()

    def undo(self) -> None:
        """The transaction is undone."""
        self._fresh.clear()

    @property
    def is_due(self) -> bool:
        """Whether the tail is long enough to be indexed."""
        return self.seen - self.upto >= min(max(SHORTEST_TAIL, self.upto // 32), LONGEST_TAIL)


@dataclass(slots=True)
class Indexing:
    """Indexes the tail in a thread of its own. ``turn`` is held by whoever of this process is writing."""

    path: Path
    owner: str
    turn: threading.Lock = field(default_factory=threading.Lock)
    _corrupt: JournalCorrupt | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _not_before: float = 0.0

    def start(self) -> None:
        """Begin, unless it is going on or was begun a moment ago."""
        now = time.monotonic()
        if now >= self._not_before and (self._thread is None or not self._thread.is_alive()):
            self._not_before = now + 1.0
            self._thread = threading.Thread(target=self._run, name="journal index", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raise what was found to be wrong with the journal while indexing: nothing may go on then."""
        if self._corrupt is not None:
            raise self._corrupt

    def stop(self) -> None:
        """End after the slice that is going on; what is left is for another time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            index_tail(self.path, self.owner, self.turn, self._stop)
        except JournalCorrupt as error:
            self._corrupt = error
        except WorkerError:  # claims meet the same trouble, and report it; the tail stays for another time
            return


def index_tail(path: Path, owner: str, turn: threading.Lock, stop: threading.Event) -> None:
    """Put the tail into the index, slice by slice, unless another process is doing so.

    Raises:
        JournalUnavailable, JournalMismatch: it cannot be done now.
        JournalCorrupt: a payment id has two rows.
    """
    with closing(connect(path, busy_seconds=SHORT_SECONDS)) as connection, speaking_of(path):
        connection.execute("PRAGMA synchronous=NORMAL")  # the next claim's commit takes it to the disk
        now = time.time()
        with turn:
            asked = {"owner": owner, "now": now, "until": now + _LEASE_SECONDS}
            taken = connection.execute(_TAKE, asked).fetchall()
        if not taken:
            return
        ((upto, last),) = taken
        connection.execute(_DUE, (upto, last))
        (count,) = connection.execute("SELECT count(*) FROM due").fetchone()
        for first in range(1, count + 1, SLICE_ROWS):
            began = time.monotonic()
            with turn:
                _index_slice(connection, first)
            if stop.wait(2 * (time.monotonic() - began)):
                last = upto
                break
        with turn:
            connection.execute(_GIVE, {"upto": last, "owner": owner})


def _index_slice(connection: sqlite3.Connection, first: int) -> None:
    place = {"first": first, "last": first + SLICE_ROWS - 1}
    connection.execute(_INDEX, place)
    twice = connection.execute(_TWICE, place).fetchone()
    if twice is not None:
        raise JournalCorrupt(f"payment {twice[0]} is in the journal twice, in rows {twice[1]} and {twice[2]}")


_TAKE: Final = """
    UPDATE indexed SET owner = :owner, lease_until = :until WHERE lease_until <= :now
    RETURNING upto, ifnull((SELECT max(id) FROM payments), 0)
"""
_GIVE: Final = "UPDATE indexed SET upto = :upto, owner = '', lease_until = 0 WHERE owner = :owner"
_DUE: Final = """
    CREATE TEMP TABLE due AS SELECT payment_id, id FROM payments WHERE id > ? AND id <= ? ORDER BY payment_id
"""
_INDEX: Final = """
    INSERT INTO ids SELECT payment_id, id FROM due WHERE due.rowid BETWEEN :first AND :last
    ON CONFLICT DO NOTHING
"""
_TWICE: Final = """
    SELECT payment_id, due.id, ids.payment FROM due JOIN ids USING (payment_id)
    WHERE due.rowid BETWEEN :first AND :last AND ids.payment <> due.id LIMIT 1
"""
