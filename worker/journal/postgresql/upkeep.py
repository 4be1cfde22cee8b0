"""What operators do with a journal in PostgreSQL."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from worker.journal.postgresql.connection import check_version, connect_for_people, speaking_of, version_of
from worker.journal.postgresql.partitions import Retirement, changing_tables, make_partitions
from worker.journal.postgresql.schema import MIGRATIONS, SCHEMA, VERSION
from worker.journal.states import State
from worker.journal.times import milliseconds, moment
from worker.journal.upkeep import Pruned, Status

if TYPE_CHECKING:
    from psycopg import Connection

SLICE_PAYMENTS: Final = 500
"""Payments of one transaction of pruning, which workers may have to wait for."""

_VERSIONS: Final = "CREATE TABLE versions (version integer PRIMARY KEY, at timestamptz NOT NULL)"


def prepare(url: str) -> bool:
    """Check that the tables can be used, or make them where there are none of ours; True when they are new.

    Raises:
        JournalUnavailable, JournalMismatch: they cannot.
    """
    with closing(connect_for_people(url)) as connection, speaking_of(url):
        if not version_of(connection):
            return migrate(url)[0] == 0
        check_version(connection, url)
        with changing_tables(connection):
            make_partitions(connection, datetime.now(UTC))
        return False


def migrate(url: str) -> tuple[int, int]:
    """Bring a database, with tables of ours or without, to this program's version; return before and after.

    Raises:
        JournalUnavailable, JournalMismatch: it cannot be.
    """
    with closing(connect_for_people(url)) as connection, speaking_of(url), changing_tables(connection):
        before = version_of(connection)
        if before > VERSION:
            check_version(connection, url)
        with connection.transaction():
            if not before:
                connection.execute(f"CREATE SCHEMA {SCHEMA}")
                connection.execute(_VERSIONS)
            for step in range(before, VERSION):
                connection.execute(MIGRATIONS[step])
                connection.execute("INSERT INTO versions VALUES (%s, now())", (step + 1,))
        make_partitions(connection, datetime.now(UTC))
        return before, VERSION


@dataclass(frozen=True, slots=True)
class PostgresqlUpkeep:
    """See ``Upkeep``."""

    url: str = field(repr=False)

    def status(self) -> Status:
        """See ``Upkeep``."""
        with closing(connect_for_people(self.url, read_only=True)) as connection, speaking_of(self.url):
            return _status(connection)

    def migrate(self) -> tuple[int, int]:
        """See ``Upkeep``."""
        return migrate(self.url)

    def prune(self, before: datetime, *, dead_letters: bool) -> Iterator[Pruned]:
        """See ``Upkeep``."""
        states = [State.DISPATCHED, *((State.DEAD_LETTERED, State.HELD) if dead_letters else ())]
        with closing(connect_for_people(self.url)) as connection:
            check_version(connection, self.url)
            pruning = _Pruning(connection, milliseconds(before), [state.value for state in states])
            at = 0
            while True:
                with speaking_of(self.url):
                    at, pruned = pruning.slice(at)
                if not pruned.looked_at:
                    break
                yield pruned
            with speaking_of(self.url), changing_tables(connection):
                Retirement(connection, pruning.before, pruning.told(), dead_letters).run()
                make_partitions(connection, datetime.now(UTC))

    def close(self) -> None:
        """See ``Upkeep``."""


def _status(connection: "Connection[Any]") -> Status:
    def number(statement: str) -> int | None:
        found = connection.execute(statement).fetchone()
        return found[0] if found else None

    version = version_of(connection)
    used = number(
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
        f" WHERE relnamespace = to_regnamespace('{SCHEMA}') AND relkind IN ('r', 'S')"
    )
    if version != VERSION:
        return Status(version, VERSION, used or 0, None)
    oldest = number("SELECT created FROM payments ORDER BY id LIMIT 1")
    return Status(
        version, VERSION, used or 0, None, number("SELECT count(*) FROM payments"),
        None if oldest is None else moment(oldest), number(_UNPUBLISHED),
    )  # fmt: skip


_UNPUBLISHED: Final = """
    SELECT (SELECT count(*) FROM history WHERE id > position) FROM outbox
    WHERE name = 'events' AND owner <> ''
"""
_TOLD: Final = "SELECT position FROM outbox WHERE name = 'events' AND owner <> ''"
_PRUNABLE: Final = "created < %(before)s AND changed < %(before)s AND state = ANY(%(states)s::state[])"
_LOOK: Final = f"SELECT id, {_PRUNABLE} FROM payments WHERE id > %(at)s ORDER BY id LIMIT %(slice)s"
_UNTOLD: Final = "SELECT payment FROM history WHERE payment BETWEEN %s AND %s AND id > %s"
_LOCK_KEYS: Final = """
    SELECT key FROM carries WHERE key IN (SELECT key FROM carried WHERE payment = ANY(%(rows)s))
    ORDER BY key FOR UPDATE
"""
_PRUNE: Final = f"DELETE FROM payments WHERE id = ANY(%(rows)s) AND {_PRUNABLE} RETURNING id"
_UNCARRY: Final = "DELETE FROM carried WHERE payment = ANY(%s) RETURNING key, before, after"


@dataclass(frozen=True, slots=True)
class _Pruning:
    """Goes through the payments from the oldest on."""

    connection: "Connection[Any]"
    before: int
    states: Sequence[str]

    def told(self) -> int:
        """Return the number of the last entry that need not be published any more."""
        found = self.connection.execute(_TOLD).fetchone()
        return int(found[0]) if found else 2**63 - 1

    def slice(self, at: int) -> tuple[int, Pruned]:
        """Prune among the payments after row ``at``; return the last one looked at, and what was done."""
        asked: dict[str, object] = {"before": self.before, "states": self.states}
        found = self.connection.execute(_LOOK, asked | {"at": at, "slice": SLICE_PAYMENTS}).fetchall()
        if not found:
            return at, Pruned(0, 0)
        last = found[-1][0]
        untold = set(self.connection.execute(_UNTOLD, (found[0][0], last, self.told())).fetchall())
        chosen = [row for row, prunable in found if prunable and (row,) not in untold]
        gone: list[Any] = []
        if chosen:
            with self.connection.transaction():
                self.connection.execute(_LOCK_KEYS, {"rows": chosen})
                gone = self.connection.execute(_PRUNE, asked | {"rows": chosen}).fetchall()
                self._settle_carries([row for (row,) in gone])
        return last, Pruned(len(gone), len(found))

    def _settle_carries(self, rows: Sequence[int]) -> None:
        """Keep by how much pruned payments have changed each remainder, so that the books still add up."""
        changes: defaultdict[str, Fraction] = defaultdict(Fraction)
        for key, before, after in self.connection.execute(_UNCARRY, (rows,)).fetchall():
            changes[key] += Fraction(after) - Fraction(before)
        for key, change in changes.items():
            found = self.connection.execute("SELECT pruned FROM carries WHERE key = %s", (key,)).fetchone()
            pruned = Fraction(found[0] if found else 0) + change
            self.connection.execute("UPDATE carries SET pruned = %s WHERE key = %s", (str(pruned), key))
