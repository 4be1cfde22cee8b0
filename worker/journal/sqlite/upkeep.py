"""What operators do with a journal file."""

import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Final

import orjson

from worker.journal.sqlite.connection import check_version, connect, speaking_of, version_of
from worker.journal.sqlite.index import index_tail
from worker.journal.sqlite.schema import APPLICATION_ID, MIGRATIONS, STATES, VERSION
from worker.journal.states import State
from worker.journal.times import milliseconds, moment
from worker.journal.upkeep import Pruned, Status

SLICE_PAYMENTS: Final = 500
"""Payments of one transaction of pruning, which workers may have to wait for."""


def migrate(path: Path) -> tuple[int, int]:
    """Bring a file, new or not, to this program's version; return the version before and after.

    Raises:
        JournalUnavailable, JournalCorrupt: as ``connect`` does.
        JournalMismatch: likewise, or its tables are newer than this program's.
    """
    connection = connect(path, new=True)
    try:
        with speaking_of(path):
            connection.execute("BEGIN IMMEDIATE")
            before = version_of(connection)
            if before > VERSION:
                check_version(connection, path)
            for step in range(before, VERSION):
                _run(connection, MIGRATIONS[step])
            connection.execute(f"PRAGMA user_version={VERSION}")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute("COMMIT")
        return before, VERSION
    finally:
        connection.close()


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run a script's statements within the transaction, which ``executescript`` would commit."""
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)


@dataclass(frozen=True, slots=True)
class SqliteUpkeep:
    """See ``Upkeep``."""

    path: Path

    def status(self) -> Status:
        """See ``Upkeep``."""
        connection = connect(self.path, read_only=True)
        try:
            with speaking_of(self.path):
                return _status(connection)
        finally:
            connection.close()

    def migrate(self) -> tuple[int, int]:
        """See ``Upkeep``."""
        return migrate(self.path)

    def prune(self, before: datetime, *, dead_letters: bool) -> Iterator[Pruned]:
        """See ``Upkeep``."""
        states = [State.DISPATCHED, *((State.DEAD_LETTERED, State.HELD) if dead_letters else ())]
        connection = connect(self.path)
        try:
            check_version(connection, self.path)
            index_tail(self.path, "prune", threading.Lock(), threading.Event())
            pruning = _Pruning(connection, milliseconds(before), [STATES.index(state) for state in states])
            at = 0
            while True:
                began = time.monotonic()
                with speaking_of(self.path):
                    at, pruned = pruning.slice(at)
                    if not pruned.looked_at and dead_letters:
                        pruning.strays()
                if not pruned.looked_at:
                    return
                yield pruned
                if pruned.payments:  # a waiting worker tries again only every so often: leave it some room
                    time.sleep(max(0.02, time.monotonic() - began))
        finally:
            connection.close()

    def close(self) -> None:
        """See ``Upkeep``."""


def _status(connection: sqlite3.Connection) -> Status:
    def number(statement: str) -> int:
        return int(connection.execute(statement).fetchone()[0])

    version, page = version_of(connection), number("PRAGMA page_size")
    used, free = number("PRAGMA page_count") * page, number("PRAGMA freelist_count") * page
    if version != VERSION:
        return Status(version, VERSION, used - free, free)
    payments, oldest = connection.execute(
        "SELECT count(*), (SELECT created FROM payments ORDER BY id LIMIT 1) FROM payments"
    ).fetchone()
    unpublished = connection.execute(
        "SELECT (SELECT count(*) FROM history WHERE id > position) FROM outbox WHERE owner <> ''"
    ).fetchone()
    return Status(
        version, VERSION, used - free, free, payments, None if oldest is None else moment(oldest),
        unpublished[0] if unpublished else None,
    )  # fmt: skip


_LOOK: Final = """
    SELECT id, created < :before AND changed < :before AND state IN (SELECT value FROM json_each(:states))
        AND id < (SELECT max(id) FROM payments) AND id <= (SELECT upto FROM indexed)
        AND NOT EXISTS (SELECT 1 FROM history WHERE payment = payments.id AND id > :kept)
    FROM payments WHERE id > :at ORDER BY id LIMIT :slice
"""
"""The last payment and the last entry stay, since their successors' numbers follow theirs; and so do payments
that are not in the index, since processes have them in memory."""
_KEPT: Final = """
    SELECT min((SELECT ifnull(max(id), 1) - 1 FROM history),
        ifnull((SELECT position FROM outbox WHERE name = 'events' AND owner <> ''), 9223372036854775807))
"""
_PRUNE_STRAYS: Final = f"""
    DELETE FROM history WHERE payment_id IS NOT NULL AND ended < :before AND id <= ({_KEPT})
"""
_IN: Final = "IN (SELECT value FROM json_each(:rows))"
_REFERENCES: Final = f"""
    SELECT b.id, b.payments, count(*) FROM (
        SELECT id AS payment, batch FROM payments WHERE id {_IN}
        UNION SELECT payment, batch FROM history WHERE payment {_IN} AND batch IS NOT NULL
    ) AS freed JOIN bodies AS b ON b.id = freed.batch GROUP BY b.id
"""
_CARRIED: Final = f"SELECT key, before, after FROM carried WHERE payment {_IN}"
_PRUNE: Final = (
    f"DELETE FROM carried WHERE payment {_IN}",
    f"DELETE FROM history WHERE payment {_IN}",
    f"DELETE FROM ids WHERE payment_id IN (SELECT payment_id FROM payments WHERE id {_IN})",
    f"DELETE FROM payments WHERE id {_IN}",
)


@dataclass(frozen=True, slots=True)
class _Pruning:
    """Goes through the payments from the oldest on."""

    connection: sqlite3.Connection
    before: int
    states: Sequence[int]

    def slice(self, at: int) -> tuple[int, Pruned]:
        """Prune among the payments after row ``at``; return the last one looked at, and what was done."""
        execute = self.connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            (kept,) = execute(_KEPT).fetchone()
            asked = {
                "at": at, "before": self.before, "states": orjson.dumps(self.states).decode(), "kept": kept,
                "slice": SLICE_PAYMENTS,
            }  # fmt: skip
            found = execute(_LOOK, asked).fetchall()
            chosen = [row for row, prunable in found if prunable]
            if chosen:
                self._forget(chosen)
            execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                execute("ROLLBACK")
            raise
        last = found[-1][0] if found else at
        return last, Pruned(len(chosen), len(found))

    def strays(self) -> None:
        """Forget what deliveries without a claim came to."""
        self.connection.execute(_PRUNE_STRAYS, {"before": self.before})

    def _forget(self, chosen: Sequence[int]) -> None:
        execute = self.connection.execute
        rows = {"rows": orjson.dumps(chosen).decode()}
        references = execute(_REFERENCES, rows).fetchall()
        self._settle_carries(execute(_CARRIED, rows).fetchall())
        for statement in _PRUNE:
            execute(statement, rows)
        for batch, payments, freed in references:
            if freed >= payments:
                execute("DELETE FROM bodies WHERE id = ?", (batch,))
            else:
                execute("UPDATE bodies SET payments = ? WHERE id = ?", (payments - freed, batch))

    def _settle_carries(self, carried: Iterable[tuple[str, str, str]]) -> None:
        """Keep by how much pruned payments have changed each remainder, so that the books still add up."""
        changes: defaultdict[str, Fraction] = defaultdict(Fraction)
        for key, before, after in carried:
            changes[key] += Fraction(after) - Fraction(before)
        for key, change in changes.items():
            (pruned,) = self.connection.execute("SELECT pruned FROM carries WHERE key = ?", (key,)).fetchone()
            self.connection.execute(
                "UPDATE carries SET pruned = ? WHERE key = ?", (str(Fraction(pruned) + change), key)
            )
