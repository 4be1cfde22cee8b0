"""The read side of a journal in PostgreSQL."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from worker.journal.books import DISPATCH_ID, Dimension, Kept, Page, Standing, Total
from worker.journal.entries import Entry
from worker.journal.postgresql.connection import check_version, connect_for_people, speaking_of
from worker.journal.postgresql.pages import (
    ENTRIES,
    STANDING_COLUMNS,
    STANDING_TABLES,
    entry_of,
    read_blobs,
    read_dispatched,
    read_pages,
    read_strays,
    standing_of,
)
from worker.journal.postgresql.totals import read_totals
from worker.journal.states import State
from worker.money import Carry

if TYPE_CHECKING:
    from psycopg import Connection

_STANDING: Final = f"SELECT p.batch, p.start, p.length, {STANDING_COLUMNS} {STANDING_TABLES}"
_BY_NAME: Final = (
    f"{_STANDING} WHERE p.payment_id = %s",
    f"{_STANDING} WHERE p.dispatch_id = %s",
    f"{_STANDING} WHERE p.id = (SELECT payment FROM history WHERE dispatch_id = %s LIMIT 1)",
)
_NEIGHBOURS: Final = """
    (SELECT payment_id FROM payments WHERE payment_id < %(name)s ORDER BY payment_id DESC LIMIT %(count)s)
    UNION ALL
    (SELECT payment_id FROM payments WHERE payment_id > %(name)s ORDER BY payment_id LIMIT %(count)s)
"""
_STANDINGS: Final = f"SELECT {STANDING_COLUMNS} {STANDING_TABLES} WHERE p.payment_id = ANY(%(names)s)"
_HISTORY: Final = f"""
    {ENTRIES} WHERE h.payment = (SELECT id FROM payments WHERE payment_id = %(name)s)
    UNION ALL {ENTRIES} WHERE h.payment IS NULL AND h.payment_id = %(name)s ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class PostgresqlBooks:
    """See ``Books``."""

    url: str = field(repr=False)
    connection: "Connection[Any]"

    @classmethod
    def open(cls, url: str) -> "PostgresqlBooks":
        """Open a journal for reading.

        Raises:
            JournalUnavailable, JournalMismatch, JournalCorrupt: it cannot be read.
        """
        connection = connect_for_people(url, read_only=True)
        try:
            check_version(connection, url)
        except BaseException:
            connection.close()
            raise
        return cls(url, connection)

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """See ``Books``."""
        with speaking_of(self.url):
            self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            self.connection.execute("SELECT 1")  # the moment
        try:
            yield
        finally:
            with speaking_of(self.url):
                self.connection.rollback()

    def find(self, name: str) -> Standing | None:
        """See ``Books``."""
        with speaking_of(self.url):
            for statement in _BY_NAME if DISPATCH_ID.fullmatch(name) else _BY_NAME[:1]:
                found = self.connection.execute(statement, (name,)).fetchone()
                if found is not None:
                    batch, start, length, *row = found
                    blob = read_blobs(self.connection, {batch}).get(batch, b"") if length else b""
                    return standing_of(row, blob[start : start + length] or None)
        return None

    def neighbours(self, name: str, count: int) -> Sequence[str]:
        """See ``Books``."""
        return sorted(payment_id for (payment_id,) in self._fetch(_NEIGHBOURS, name=name, count=count))

    def states(self, payment_ids: Collection[str]) -> Mapping[str, State]:
        """See ``Books``."""
        found = self._fetch(
            "SELECT payment_id, state FROM payments WHERE payment_id = ANY(%(names)s)",
            names=list(payment_ids),
        )
        return {payment_id: State(state) for payment_id, state in found}

    def standings(self, payment_ids: Collection[str]) -> Mapping[str, Standing]:
        """See ``Books``."""
        return {row[0]: standing_of(row, None) for row in self._fetch(_STANDINGS, names=list(payment_ids))}

    def dispatched_to(
        self, processor: str, since: int | None = None, until: int | None = None
    ) -> Iterator[Standing]:
        """See ``Books``."""
        return read_dispatched(self.url, self.connection, processor, since, until)

    def processors(self) -> Collection[str]:
        """See ``Books``."""
        found = self._fetch("SELECT DISTINCT processor FROM ways WHERE processor IS NOT NULL")
        return {name for (name,) in found}

    def history(self, payment_id: str) -> Sequence[Entry]:
        """See ``Books``."""
        found = self._fetch(_HISTORY, name=payment_id)
        with speaking_of(self.url):
            blobs = read_blobs(self.connection, {row[-3] for row in found if row[-3] is not None})
        return [entry_of(row, blobs) for row in found]

    def pages(self, *, bodies: bool = False) -> Iterator[Page]:
        """See ``Books``."""
        return read_pages(self.url, self.connection, bodies=bodies)

    def size(self) -> int:
        """See ``Books``."""
        return int(self._fetch("SELECT count(*) FROM payments")[0][0])

    def strays(self) -> Iterator[Entry]:
        """See ``Books``."""
        return read_strays(self.url, self.connection)

    def last_number(self) -> int:
        """See ``Books``."""
        return int(self._fetch("SELECT coalesce(max(id), 0) FROM history")[0][0])

    def totals(
        self, by: Sequence[Dimension], since: int | None = None, until: int | None = None
    ) -> Iterator[Total]:
        """See ``Books``."""
        return read_totals(self.url, self.connection, by, since, until)

    def remainders(self) -> Mapping[str, Kept]:
        """See ``Books``."""
        found = self._fetch("SELECT key, remainder, pruned FROM carries WHERE remainder IS NOT NULL")
        return {key: Kept(Carry.parse(text), Fraction(pruned)) for key, text, pruned in found}

    def close(self) -> None:
        """See ``Books``."""
        self.connection.close()

    def _fetch(self, statement: str, **values: object) -> Sequence[tuple[Any, ...]]:
        with speaking_of(self.url):
            return self.connection.execute(statement, values).fetchall()
