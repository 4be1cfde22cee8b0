"""A journal file's events."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from worker.journal.entries import Happening
from worker.journal.outbox import PUBLISHED, Due, event_of
from worker.journal.sqlite.connection import check_version, connect, speaking_of
from worker.journal.sqlite.reading import ENTRIES, entry_of, read_blobs, read_secret
from worker.journal.sqlite.schema import HAPPENINGS
from worker.journal.times import milliseconds

_TAKE: Final = """
    UPDATE outbox SET owner = :owner, lease_until = :until
    WHERE name = 'events' AND (owner = :owner OR lease_until <= :now) RETURNING position
"""
_DUE: Final = f"""
    {ENTRIES} WHERE h.id > ? AND h.happening IN (SELECT value FROM json_each(?))
        AND NOT (h.payment IS NULL AND h.happening = ?)
    ORDER BY h.id LIMIT ?
"""
_TOLD: Final = orjson.dumps([HAPPENINGS.index(happening) for happening in PUBLISHED]).decode()


@dataclass(frozen=True, slots=True)
class SqliteOutbox:
    """See ``Outbox``; ``owner`` is this publisher's own name, its hold on the events ends after the lease."""

    path: Path
    owner: str
    lease_seconds: float
    connection: sqlite3.Connection
    journal_id: bytes

    @classmethod
    def open(cls, path: Path, owner: str, lease_seconds: float = 30.0) -> "SqliteOutbox":
        """Open a journal file for publishing its events.

        Raises:
            JournalUnavailable, JournalMismatch, JournalCorrupt: it cannot be used.
        """
        connection = connect(path)
        try:
            check_version(connection, path)
            connection.execute("PRAGMA synchronous=NORMAL")  # a position lost with the power repeats events
            return cls(path, owner, lease_seconds, connection, read_secret(connection, "journal_id"))
        except BaseException:
            connection.close()
            raise

    def due(self, now: datetime, limit: int) -> Due | None:
        """See ``Outbox``."""
        at = milliseconds(now)
        with speaking_of(self.path):
            execute = self.connection.execute
            position, last = execute(
                "SELECT position, ifnull((SELECT max(id) FROM history), 0) FROM outbox WHERE name = 'events'"
            ).fetchone()
            if last <= position:
                return None
            until = at + int(self.lease_seconds * 1000)
            taken = execute(_TAKE, {"owner": self.owner, "now": at, "until": until}).fetchall()
            if not taken:
                return None
            ((position,),) = taken
            stray_dispatch = HAPPENINGS.index(Happening.DISPATCHED)
            found = execute(_DUE, (position, _TOLD, stray_dispatch, limit)).fetchall()
            if not found:  # nothing that others are told
                self.done(str(last))
                return None
            blobs = read_blobs(self.connection, {row[-3] for row in found if row[-3] is not None})
        events = [event_of(entry_of(row, blobs), self.journal_id) for row in found]
        return Due(events, str(found[-1][0]))

    def done(self, position: str) -> bool:
        """See ``Outbox``."""
        with speaking_of(self.path):
            moved = self.connection.execute(
                "UPDATE outbox SET position = ? WHERE name = 'events' AND owner = ? AND position < ?",
                (int(position), self.owner, int(position)),
            )
        return moved.rowcount == 1

    def close(self) -> None:
        """See ``Outbox``."""
        with speaking_of(self.path):
            self.connection.execute("UPDATE outbox SET lease_until = 0 WHERE owner = ?", (self.owner,))
            self.connection.close()
