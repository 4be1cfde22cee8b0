"""New databases for tests, each with a journal's tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import psycopg

from worker.journal.postgresql.upkeep import migrate
from worker.local_postgresql import LocalPostgresql

_TEMPLATE = "with_journal"


@dataclass(slots=True)
class Databases:
    """Makes databases of one server; the tables are made once and copied."""

    server: LocalPostgresql
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _template: bool = False

    @contextmanager
    def new(self, *, empty: bool = False) -> Iterator[str]:
        """Yield a new database's URL; afterwards it is gone."""
        if not self._template and not empty:
            migrate(self.server.create_database(_TEMPLATE))
            self._template = True
        name = f"test_{next(self._numbers)}"
        yield self.server.create_database(name, "template1" if empty else _TEMPLATE)
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
