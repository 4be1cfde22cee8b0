"""A partition a day of what only grows: made ahead, and dropped once next to nothing of it is needed.

A row whose day has no partition goes into the default one: nothing ever fails for want of a partition.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg import Rollback
from psycopg.errors import CheckViolation, InsufficientPrivilege, LockNotAvailable

from worker.journal.postgresql.schema import DAILY
from worker.journal.times import milliseconds

if TYPE_CHECKING:
    from psycopg import Connection

DAYS_AHEAD: Final = 14
MOST_NEEDED: Final = 0.25
"""What is needed of a day is moved to the default partition once it is at most this much of it."""
SLICE_ENTRIES: Final = 5_000

_TABLES: Final = "hashtext('payment_journal.tables')"
_DAY_MILLISECONDS: Final = 86_400_000
_PATIENCE: Final = "SET LOCAL lock_timeout = '1s'"
"""While this waits for a table, workers wait behind it."""
_PARTITIONS: Final = """
    SELECT c.relname, (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''?(\\d+)''?\\)'))[1]::bigint
    FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid
    WHERE inhparent = %s::regclass AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT' ORDER BY c.relname
"""


@contextmanager
def changing_tables(connection: "Connection[Any]") -> Iterator[None]:
    """Let others who change tables wait for the end of the block.

    Not within a transaction: that would not see what those before it have made.
    """
    connection.execute(f"SELECT pg_advisory_lock({_TABLES})")
    try:
        yield
    finally:
        connection.execute(f"SELECT pg_advisory_unlock({_TABLES})")


def make_partitions(connection: "Connection[Any]", now: datetime) -> None:
    """Make the partitions of today and of days to come; others have to be kept from changing tables.

    Left for another time: days of which the default partition has rows already, and all of them where this
    user may not make tables or somebody holds these for long.
    """
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
    with suppress(LockNotAvailable, InsufficientPrivilege):
        for table in DAILY:
            known = {name for name, _ in connection.execute(_PARTITIONS, (table,)).fetchall()}
            with connection.transaction():
                connection.execute(_PATIENCE)
                for day in days:
                    if (name := f"{table}_{day:%Y%m%d}") not in known:
                        _make(connection, table, name, day)


def _make(connection: "Connection[Any]", table: str, name: str, day: datetime) -> None:
    begins, ends = milliseconds(day), milliseconds(day + timedelta(days=1))
    with suppress(CheckViolation), connection.transaction():
        connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
        bounds = f"FOR VALUES FROM ({begins}) TO ({ends})"
        connection.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} {bounds}")


@dataclass(frozen=True, slots=True)
class Retirement:
    """Takes away the history and the bodies of payments that are forgotten, from before a time.

    ``told`` is the number of the last entry that need not be published any more. ``strays``: entries of
    deliveries that held no claim go as well.
    """

    connection: "Connection[Any]"
    before: int
    told: int
    strays: bool

    def run(self) -> None:
        """Drop what days can be dropped, and clear the default partitions."""
        for name in self._days("history"):
            self._retire_history(name)
        for name in self._days("bodies"):
            self._retire_bodies(name)
        self._clear_history()
        needed = self._needed("bodies_rest")
        statement = "DELETE FROM bodies_rest WHERE made < %s AND id <> ALL(%s)"
        self.connection.execute(statement, (self.before, list(needed)))

    def _days(self, table: str) -> Iterator[str]:
        """Yield the partitions that ended a day before the time or earlier, as workers' clocks may differ."""
        for name, ends in self.connection.execute(_PARTITIONS, (table,)).fetchall():
            if ends <= self.before - _DAY_MILLISECONDS:
                yield name

    def _retire_history(self, name: str) -> None:
        entries, needed, last = self._fetch(
            f"SELECT count(*), count(*) FILTER (WHERE {self._is_needed}), max(id) FROM {name} AS h"
        )[0]
        if entries and (needed > MOST_NEEDED * entries or last > self.told):
            return
        with suppress(LockNotAvailable), self.connection.transaction():
            self._detach("history", name)
            self.connection.execute(
                f"INSERT INTO history_rest SELECT * FROM {name} AS h WHERE {self._is_needed}"
            )
            self.connection.execute(f"DROP TABLE {name}")

    def _clear_history(self) -> None:
        """Delete what is not needed of the default partition, a slice at a time."""
        first, last = self._fetch("SELECT min(id), max(id) FROM history_rest")[0]
        for at in range(first or 0, min(last or 0, self.told) + 1, SLICE_ENTRIES):
            self.connection.execute(
                f"DELETE FROM history_rest AS h WHERE id BETWEEN %s AND %s AND ended < %s"
                f" AND NOT ({self._is_needed})",
                (at, min(at + SLICE_ENTRIES - 1, self.told), self.before),
            )

    @property
    def _is_needed(self) -> str:
        stray = "false" if self.strays else "true"
        return (
            f"CASE WHEN h.payment IS NULL THEN {stray}"
            " ELSE EXISTS (SELECT FROM payments AS p WHERE p.id = h.payment) END"
        )

    def _retire_bodies(self, name: str) -> None:
        measure = f"SELECT count(*), coalesce(sum(octet_length(bytes)), 0) FROM {name}"
        measured = self._fetch(measure)
        needed = self._needed(name)
        if sum(length for places in needed.values() for _, length in places) > MOST_NEEDED * measured[0][1]:
            return
        with suppress(LockNotAvailable), self.connection.transaction():
            self._detach("bodies", name)
            if self._fetch(measure) != measured:
                raise Rollback
            for number, places in needed.items():
                made, blob = self._fetch(f"SELECT made, bytes FROM {name} WHERE id = %s", number)[0]
                self.connection.execute(
                    "INSERT INTO bodies_rest (id, made, bytes) VALUES (%s, %s, %b)",
                    (number, made, _thinned(blob, places)),
                )
            self.connection.execute(f"DROP TABLE {name}")

    def _needed(self, name: str) -> dict[int, set[tuple[int, int]]]:
        """Return which bodies of a partition payments still have: start and length by the batch's number."""
        found = self._fetch(
            f"""
            WITH kept AS (SELECT id, batch, start, length FROM payments WHERE created < %s),
            needed AS (
                SELECT batch, start, length FROM kept
                UNION SELECT h.batch, h.start, h.length FROM kept JOIN history AS h ON h.payment = kept.id
            )
            SELECT batch, start, length FROM needed WHERE batch IN (SELECT id FROM {name})
            """,
            self.before,
        )
        needed = defaultdict[int, set[tuple[int, int]]](set)
        for batch, start, length in found:
            needed[batch].add((start, length))
        return needed

    def _fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, values).fetchall()

    def _detach(self, table: str, name: str) -> None:
        self.connection.execute(_PATIENCE)
        self.connection.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")


def _thinned(blob: bytes, places: Iterable[tuple[int, int]]) -> bytes:
    """Return bodies with zeros, which take no room, in the place of those that are not needed."""
    thinned = bytearray(len(blob))
    for start, length in places:
        thinned[start : start + length] = blob[start : start + length]
    return bytes(thinned)
