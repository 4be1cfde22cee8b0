"""The events of a journal in PostgreSQL.

Entries get their numbers before their transactions are committed, so a lower number may appear after a higher
one. Events are due only up to a number below which nothing can appear any more: one that had been given out
when certain transactions were writing history, once all of these are over.
"""

from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from worker.journal.outbox import PUBLISHED, Due, event_of
from worker.journal.postgresql.connection import (
    check_version,
    connect_for_people,
    read_secret,
    speaking_of,
)
from worker.journal.postgresql.pages import ENTRIES, entry_of, read_blobs
from worker.journal.times import milliseconds

if TYPE_CHECKING:
    from psycopg import Connection

_GIVEN_OUT: Final = "SELECT coalesce(pg_sequence_last_value('entries'), 0)"
_WRITING: Final = """
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND relation = 'history'::regclass AND mode = 'RowExclusiveLock' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_TAKE: Final = """
    UPDATE outbox SET owner = %(owner)s, lease_until = %(until)s
    WHERE name = 'events' AND (owner = %(owner)s OR lease_until <= %(now)s) RETURNING position
"""
_DUE: Final = f"""
    {ENTRIES} WHERE h.id > %(position)s AND h.id <= %(settled)s AND h.happening = ANY(%(told)s::happening[])
        AND NOT (h.payment IS NULL AND h.happening = 'dispatched')
    ORDER BY h.id LIMIT %(limit)s
"""
_DONE: Final = """
    UPDATE outbox SET position = %(position)s
    WHERE name = 'events' AND owner = %(owner)s AND position < %(position)s
"""


@dataclass(slots=True)
class PostgresqlOutbox:
    """See ``Outbox``; ``owner`` is this publisher's own name, its hold on the events ends after the lease.

    It connects when it is first asked, and again after its connection was lost.
    """

    url: str = field(repr=False)
    owner: str
    lease_seconds: float = 30.0
    _connection: "Connection[Any] | None" = None
    _journal_id: bytes = b""
    _settled: int = 0
    """The highest number below which no entry can appear any more."""
    _given_out: int = 0
    _writing: frozenset[str] = frozenset()
    """Those transactions that wrote history when numbers up to ``_given_out`` had been given out."""

    def due(self, now: datetime, limit: int) -> Due | None:
        """See ``Outbox``."""
        with speaking_of(self.url):
            execute = self._connected().execute
            self._settle()
            found = execute("SELECT position FROM outbox WHERE name = 'events'").fetchone()
            if found is None or self._settled <= found[0]:
                return None
            at = milliseconds(now)
            until = at + int(self.lease_seconds * 1000)
            taken = execute(_TAKE, {"owner": self.owner, "now": at, "until": until}).fetchone()
            if taken is None:
                return None
            asked = {"position": taken[0], "settled": self._settled, "told": _TOLD, "limit": limit}
            rows = execute(_DUE, asked).fetchall()
            if not rows:  # nothing that others are told
                self.done(str(self._settled))
                return None
            blobs = read_blobs(self._connected(), {row[-3] for row in rows if row[-3] is not None})
        return Due([event_of(entry_of(row, blobs), self._journal_id) for row in rows], str(rows[-1][0]))

    def done(self, position: str) -> bool:
        """See ``Outbox``."""
        with speaking_of(self.url):
            moved = self._connected().execute(_DONE, {"position": int(position), "owner": self.owner})
        return moved.rowcount == 1

    def close(self) -> None:
        """See ``Outbox``."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            with closing(connection), speaking_of(self.url):
                connection.execute("UPDATE outbox SET lease_until = 0 WHERE owner = %s", (self.owner,))

    def _connected(self) -> "Connection[Any]":
        if self._connection is None or self._connection.closed:
            connection = connect_for_people(self.url)
            try:
                check_version(connection, self.url)
                self._journal_id = read_secret(connection, "journal_id")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _settle(self) -> None:
        """Find out how far numbers are settled."""
        if not self._writing & self._writers():
            self._settled = max(self._settled, self._given_out)
            found = self._connected().execute(_GIVEN_OUT).fetchone()
            self._given_out = int(found[0]) if found else 0
            self._writing = self._writers()
            if not self._writing:
                self._settled = self._given_out

    def _writers(self) -> frozenset[str]:
        found = self._connected().execute(_WRITING).fetchall()
        return frozenset(transaction for (transaction,) in found)


_TOLD: Final = [happening.value for happening in PUBLISHED]
