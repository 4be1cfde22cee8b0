"""The index of payment ids that a journal file brings up to date behind its workers' backs."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Lock

import pytest

from tests.support.journals import dispatched, intent, later
from worker.errors import JournalCorrupt
from worker.journal.protocol import NEW, Done
from worker.journal.sqlite import index
from worker.journal.sqlite.connection import connect
from worker.journal.sqlite.index import index_tail
from worker.journal.sqlite.journal import SqliteJournal
from worker.journal.sqlite.upkeep import migrate


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A journal with 20 dispatched payments, none of them indexed."""
    path = tmp_path / "journal.db"
    migrate(path)
    journal = SqliteJournal.open(path, "a")
    batch = [intent(f"pay-{number}") for number in range(20)]
    await journal.claim(batch, later(0))
    await journal.record([dispatched(each) for each in batch], later(1))
    await journal.close()
    return path


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path)) as connection:
        yield connection


def indexed(connection: sqlite3.Connection) -> tuple[int, int]:
    """Up to which row all are indexed, and how many ids there are."""
    (found,) = connection.execute("SELECT upto, (SELECT count(*) FROM ids) FROM indexed").fetchall()
    return (found[0], found[1])


async def known(path: Path) -> list[bool]:
    """For each of the payments: whether a worker that has just started knows it."""
    journal = SqliteJournal.open(path, "b")
    answers = await journal.claim([intent(f"pay-{number}") for number in range(20)], later(2))
    await journal.close()
    return [isinstance(answer, Done) for answer in answers]


async def test_payments_are_known_before_and_after(path: Path, connection: sqlite3.Connection) -> None:
    """A worker that starts knows what is not indexed yet, and what is."""
    assert indexed(connection) == (0, 0)
    assert await known(path) == [True] * 20
    index_tail(path, "a", Lock(), Event())
    assert indexed(connection) == (20, 20)
    assert await known(path) == [True] * 20


async def test_stopping_halfway(
    path: Path, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is half done counts for nothing, and is done again another time."""
    monkeypatch.setattr(index, "SLICE_ROWS", 3)
    stop = Event()
    stop.set()
    index_tail(path, "a", Lock(), stop)
    assert indexed(connection) == (0, 3)
    assert await known(path) == [True] * 20
    index_tail(path, "a", Lock(), Event())
    assert indexed(connection) == (20, 20)


def test_one_process_at_a_time(path: Path, connection: sqlite3.Connection) -> None:
    """While another process is indexing there is nothing to do, unless it is silent for a minute."""
    connection.execute("UPDATE indexed SET owner = 'other', lease_until = 1e12")
    index_tail(path, "a", Lock(), Event())
    assert indexed(connection) == (0, 0)
    connection.execute("UPDATE indexed SET lease_until = 1")
    index_tail(path, "a", Lock(), Event())
    assert indexed(connection) == (20, 20)


async def test_a_payment_that_is_there_twice(path: Path, connection: sqlite3.Connection) -> None:
    """Somebody has written into the file: it is found when it is indexed, and nothing goes on."""
    columns = ", ".join(
        name for _, name, *_ in connection.execute("PRAGMA table_info(payments)") if name != "id"
    )
    connection.execute(f"INSERT INTO payments ({columns}) SELECT {columns} FROM payments WHERE id = 7")  # noqa: S608
    with pytest.raises(JournalCorrupt, match="pay-6 is in the journal twice"):
        index_tail(path, "a", Lock(), Event())
    connection.execute("UPDATE indexed SET lease_until = 0")
    journal = SqliteJournal.open(path, "b")
    assert await journal.claim([intent("pay-99")], later(3)) == [NEW]
    journal._indexing._run()
    with pytest.raises(JournalCorrupt, match="pay-6"):
        await journal.claim([intent("pay-100")], later(4))
    await journal.close()
