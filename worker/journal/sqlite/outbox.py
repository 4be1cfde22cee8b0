"""A journal file's events."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from worker.journal.entries import Happening
from worker.journal.outbox import PUBLISHED, Due, event_of
from worker.journal.sqlite.connection import SHORT_SECONDS, SameFile, check_version, connect, speaking_of
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


@dataclass(slots=True)
class SqliteOutbox:
    """See ``Outbox``; ``owner`` is this publisher's own name, its hold on the events ends after the lease.

    It opens the file when it is first asked.
    """

    path: Path
    owner: str
    lease_seconds: float = 30.0
    _connection: sqlite3.Connection | None = None
    _file: SameFile = field(init=False)
    _journal_id: bytes = b""

    def __post_init__(self) -> None:
        self._file = SameFile(self.path)

    def due(self, now: datetime, limit: int) -> Due | None:
        """See ``Outbox``."""
        at = milliseconds(now)
        with speaking_of(self.path):
            connection = self._connected()
            execute = connection.execute
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
            blobs = read_blobs(connection, {row[-3] for row in found if row[-3] is not None})
        events = [event_of(entry_of(row, blobs), self._journal_id) for row in found]
        return Due(events, str(found[-1][0]))

    def done(self, position: str) -> bool:
        """See ``Outbox``."""
        with speaking_of(self.path):
            moved = self._connected().execute(
                "UPDATE outbox SET position = ? WHERE name = 'events' AND owner = ? AND position < ?",
                (int(position), self.owner, int(position)),
            )
        return moved.rowcount == 1

    def close(self) -> None:
        """See ``Outbox``."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with closing(connection), speaking_of(self.path):
                connection.execute("UPDATE outbox SET lease_until = 0 WHERE owner = ?", (self.owner,))

    def _connected(self) -> sqlite3.Connection:
        self._file.check()
        if self._connection is None:
            connection = connect(self.path, busy_seconds=SHORT_SECONDS)
            try:
                check_version(connection, self.path)
                # a position lost with the power repeats events
                connection.execute("PRAGMA synchronous=NORMAL")
                self._journal_id = read_secret(connection, "journal_id")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection
