"""Which payments a file was about, on disk: in a file of SQLite's own that nobody else sees."""

import sqlite3
from collections.abc import Sequence
from typing import Self

import orjson


class Seen:
    """A set of payment ids, however many."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("CREATE TABLE seen (payment_id TEXT PRIMARY KEY) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def among(self, payment_ids: Sequence[str]) -> set[str]:
        """Return those of these payments that were seen."""
        asked = (orjson.dumps(payment_ids).decode(),)
        found = self._connection.execute(
            "SELECT payment_id FROM seen WHERE payment_id IN (SELECT value FROM json_each(?))", asked
        )
        return {payment_id for (payment_id,) in found}

    def add(self, payment_ids: Sequence[str]) -> None:
        """Remember payments."""
        asked = (orjson.dumps(payment_ids).decode(),)
        self._connection.execute("INSERT OR IGNORE INTO seen SELECT value FROM json_each(?)", asked)
