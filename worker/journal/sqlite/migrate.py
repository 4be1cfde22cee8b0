"""Bringing a journal file's tables to this program's version."""

import sqlite3
from pathlib import Path

from worker.journal.sqlite.connection import connect, speaking_of, version_of
from worker.journal.sqlite.schema import APPLICATION_ID, MIGRATIONS, VERSION


def migrate(path: Path) -> tuple[int, int]:
    """Bring a file, new or not, to this program's version; return the version before and after.

    Two that do so at once do not collide: one waits for the other, and then has nothing to do.

    Raises:
        JournalUnavailable, JournalMismatch, JournalCorrupt: as ``connect`` does.
    """
    connection = connect(path)
    try:
        with speaking_of(path):
            connection.execute("BEGIN IMMEDIATE")
            before = version_of(connection)
            for step in range(before, VERSION):
                _run(connection, MIGRATIONS[step])
            connection.execute(f"PRAGMA user_version={max(before, VERSION)}")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute("COMMIT")
        return before, max(before, VERSION)
    finally:
        connection.close()


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run a script's statements within the transaction, which ``executescript`` would commit."""
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)
