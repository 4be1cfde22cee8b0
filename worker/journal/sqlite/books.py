"""The read side of a journal file."""

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

import orjson

from worker.journal.books import DISPATCH_ID, Dimension, Kept, Page, Standing, Total
from worker.journal.entries import Entry
from worker.journal.sqlite.connection import check_version, connect, speaking_of
from worker.journal.sqlite.index import Index
from worker.journal.sqlite.pages import (
    STANDING_COLUMNS,
    STANDING_TABLES,
    read_dispatched,
    read_pages,
    read_strays,
    standing_of,
)
from worker.journal.sqlite.reading import ENTRIES, entry_of, read_blobs
from worker.journal.sqlite.schema import STATES
from worker.journal.sqlite.totals import read_totals
from worker.journal.states import State
from worker.money import Carry

_STANDING: Final = f"""
    SELECT {STANDING_COLUMNS},
        CASE WHEN p.dispatch_id IS NOT NULL THEN substr(b.bytes, p.start + 1, p.length) END
    {STANDING_TABLES} LEFT JOIN bodies AS b ON b.id = p.batch
"""
_NEIGHBOURS: Final = """
    SELECT * FROM (SELECT payment_id FROM ids WHERE payment_id < ?1 ORDER BY payment_id DESC LIMIT ?2)
    UNION SELECT * FROM (SELECT payment_id FROM ids WHERE payment_id > ?1 ORDER BY payment_id LIMIT ?2)
    UNION SELECT payment_id FROM payments WHERE id > (SELECT upto FROM indexed)
"""
_STATES: Final = "SELECT payment_id, state FROM payments WHERE id IN (SELECT value FROM json_each(?))"
_STANDINGS: Final = f"""
    SELECT {STANDING_COLUMNS} {STANDING_TABLES} WHERE p.id IN (SELECT value FROM json_each(?))
"""
_PROCESSORS: Final = "SELECT DISTINCT processor FROM ways WHERE processor IS NOT NULL"
_HISTORY: Final = f"""
    {ENTRIES} WHERE h.payment = :row UNION ALL {ENTRIES} WHERE h.payment_id = :id ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class SqliteBooks:
    """Reads a journal file."""

    path: Path
    connection: sqlite3.Connection
    _index: Index = field(default_factory=Index)

    @classmethod
    def open(cls, path: Path) -> "SqliteBooks":
        """Open a journal file for reading.

        Raises:
            JournalUnavailable, JournalMismatch, JournalCorrupt: it cannot be read.
        """
        connection = connect(path, read_only=True)
        check_version(connection, path)
        return cls(path, connection)

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """See ``Books``."""
        with speaking_of(self.path):
            self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.rollback()

    def find(self, name: str) -> Standing | None:
        """See ``Books``."""
        with speaking_of(self.path):
            execute = self.connection.execute
            found = execute(f"{_STANDING} WHERE p.id = ?", (self._rows([name]).get(name),)).fetchone()
            if found is None and DISPATCH_ID.fullmatch(name):
                found = execute(f"{_STANDING} WHERE p.dispatch_id = ?", (name,)).fetchone()
            if found is None and DISPATCH_ID.fullmatch(name):
                by_history = "p.id = (SELECT payment FROM history WHERE dispatch_id = ?)"
                found = execute(f"{_STANDING} WHERE {by_history}", (name,)).fetchone()
        return None if found is None else standing_of(found[:-1], found[-1])

    def neighbours(self, name: str, count: int) -> Sequence[str]:
        """See ``Books``."""
        with speaking_of(self.path):
            found = sorted(each for (each,) in self.connection.execute(_NEIGHBOURS, (name, count)))
        before, after = bisect_left(found, name), bisect_right(found, name)
        return found[max(0, before - count) : before] + found[after : after + count]

    def states(self, payment_ids: Collection[str]) -> Mapping[str, State]:
        """See ``Books``."""
        with speaking_of(self.path):
            found = self.connection.execute(_STATES, (self._row_list(payment_ids),)).fetchall()
        return {payment_id: STATES[state] for payment_id, state in found}

    def standings(self, payment_ids: Collection[str]) -> Mapping[str, Standing]:
        """See ``Books``."""
        with speaking_of(self.path):
            found = self.connection.execute(_STANDINGS, (self._row_list(payment_ids),)).fetchall()
        return {row[0]: standing_of(row, None) for row in found}

    def dispatched_to(
        self, processor: str, since: int | None = None, until: int | None = None
    ) -> Iterator[Standing]:
        """See ``Books``."""
        return read_dispatched(self.path, self.connection, processor, since, until)

    def processors(self) -> Collection[str]:
        """See ``Books``."""
        with speaking_of(self.path):
            found = self.connection.execute(_PROCESSORS).fetchall()
        return {name for (name,) in found}

    def history(self, payment_id: str) -> Sequence[Entry]:
        """See ``Books``."""
        with speaking_of(self.path):
            asked = {"id": payment_id, "row": self._rows([payment_id]).get(payment_id)}
            found = self.connection.execute(_HISTORY, asked).fetchall()
            blobs = read_blobs(self.connection, {row[-3] for row in found if row[-3] is not None})
        return [entry_of(row, blobs) for row in found]

    def pages(self, *, bodies: bool = False) -> Iterator[Page]:
        """See ``Books``."""
        return read_pages(self.path, self.connection, bodies=bodies)

    def size(self) -> int:
        """See ``Books``."""
        with speaking_of(self.path):
            return int(self.connection.execute("SELECT count(*) FROM payments").fetchone()[0])

    def strays(self) -> Iterator[Entry]:
        """See ``Books``."""
        return read_strays(self.path, self.connection)

    def last_number(self) -> int:
        """See ``Books``."""
        with speaking_of(self.path):
            return int(self.connection.execute("SELECT ifnull(max(id), 0) FROM history").fetchone()[0])

    def totals(
        self, by: Sequence[Dimension], since: int | None = None, until: int | None = None
    ) -> Iterator[Total]:
        """See ``Books``."""
        return read_totals(self.path, self.connection, by, since, until)

    def remainders(self) -> Mapping[str, Kept]:
        """See ``Books``."""
        with speaking_of(self.path):
            found = self.connection.execute("SELECT key, remainder, pruned FROM carries").fetchall()
        return {key: Kept(Carry.parse(text), Fraction(pruned)) for key, text, pruned in found}

    def _rows(self, payment_ids: Collection[str]) -> dict[str, int]:
        self._index.begin(self.connection)
        return self._index.find(self.connection, payment_ids)

    def _row_list(self, payment_ids: Collection[str]) -> str:
        return orjson.dumps(list(self._rows(payment_ids).values())).decode()

    def close(self) -> None:
        """See ``Books``."""
        self.connection.close()
