"""The SQLite journal's file: its version, its neighbours, and what happens when the disk has no room."""

import asyncio
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.journals import dispatched, intent, later
from worker.errors import JournalCorrupt, JournalMismatch, JournalUnavailable
from worker.journal.protocol import NEW, Done, New
from worker.journal.sqlite import connection as connections
from worker.journal.sqlite.books import SqliteBooks
from worker.journal.sqlite.journal import SqliteJournal
from worker.journal.sqlite.schema import VERSION
from worker.journal.sqlite.upkeep import migrate
from worker.journal.states import State


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "journal.db")
    return tmp_path / "journal.db"


def test_a_new_file_has_to_be_migrated(tmp_path: Path) -> None:
    """A worker does not make tables by itself: it says what to run."""
    with pytest.raises(JournalMismatch, match="there is no journal"):
        SqliteJournal.open(tmp_path / "journal.db", "a")
    (tmp_path / "journal.db").touch()
    with pytest.raises(
        JournalMismatch, match=f"version 0 of .* needs {VERSION}; run: payment-worker journal migrate"
    ):
        SqliteJournal.open(tmp_path / "journal.db", "a")


def test_no_commit_carries_much_over_to_the_file(path: Path) -> None:
    """Payments wait while the write-ahead log is carried over: it is done before the log is long."""

    async def claim() -> int:
        journal = SqliteJournal.open(path, "a")
        for batch in range(60):
            await journal.claim([intent(f"pay-{batch}-{n}", body=b"x" * 2000) for n in range(100)], later(0))
        size = path.with_name(f"{path.name}-wal").stat().st_size
        await journal.close()
        return size

    written = 60 * 100 * 2000
    assert asyncio.run(claim()) < written / 2


def test_migrating_twice_changes_nothing(path: Path) -> None:
    """The second time there is nothing to do."""
    assert migrate(path) == (VERSION, VERSION)


def test_migrating_at_once(tmp_path: Path) -> None:
    """Of several that start together, one makes the tables and the others find them."""
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(migrate, [tmp_path / "journal.db"] * 8))
    assert sorted(outcomes) == [(0, VERSION)] + [(VERSION, VERSION)] * 7


def test_a_newer_file_is_refused(path: Path) -> None:
    """An older program does not write into tables that it does not know."""
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={VERSION + 1}")
    connection.close()
    with pytest.raises(JournalMismatch, match="run a newer payment-worker"):
        SqliteJournal.open(path, "a")
    with pytest.raises(JournalMismatch, match=f"knows {VERSION} at most; run a newer payment-worker"):
        migrate(path)


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    """Tables of somebody else are left alone."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (id)")
    connection.close()
    with pytest.raises(JournalMismatch, match="another program"):
        migrate(path)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Says so, instead of writing into it."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to have been one: " * 100)
    with pytest.raises(JournalCorrupt, match="not a database"):
        migrate(path)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """The text says where a journal may be."""
    with pytest.raises(JournalUnavailable, match="folder must exist"):
        migrate(tmp_path / "missing" / "journal.db")


async def test_closing_twice(path: Path) -> None:
    """The second time does nothing; what comes after is refused."""
    journal = SqliteJournal.open(path, "a")
    await journal.close()
    await journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.claim([intent()], later(0))


async def test_what_was_asked_before_closing_is_done(path: Path) -> None:
    """Requests that wait when the journal is closed are still answered."""
    journal = SqliteJournal.open(path, "a")
    asked = [asyncio.ensure_future(journal.claim([intent(f"pay-{n}")], later(0))) for n in range(40)]
    await asyncio.sleep(0)
    await journal.close()
    assert await asyncio.gather(*asked) == [[NEW]] * 40


async def test_a_cancelled_request_harms_nobody(path: Path) -> None:
    """Its transaction goes on, and the others hear theirs."""
    journal = SqliteJournal.open(path, "a")
    cancelled = asyncio.ensure_future(journal.claim([intent("pay-1")], later(0)))
    kept = asyncio.ensure_future(journal.claim([intent("pay-2")], later(0)))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await kept == [NEW]
    await journal.close()


@contextmanager
def no_room() -> Iterator[None]:
    """Every file ends where it ends: more cannot be written, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk(path: Path) -> None:
    """Nothing is claimed or recorded, and it says so; once there is room, all goes on."""
    journal = SqliteJournal.open(path, "a")
    first = [intent(f"first-{n}") for n in range(100)]
    await journal.claim(first, later(0))
    with no_room():
        with pytest.raises(JournalUnavailable, match=r"journal\.db"):
            await journal.claim([intent(f"second-{n}") for n in range(1000)], later(1))
        with pytest.raises(JournalUnavailable):
            await journal.record([dispatched(each) for each in first], later(1))
    await journal.record([dispatched(each) for each in first], later(2))
    assert await journal.claim([intent("second-1")], later(3)) == [NEW]
    await journal.close()
    books = SqliteBooks.open(path)
    standing = books.find("first-99")
    assert standing is not None
    assert standing.state is State.DISPATCHED
    assert books.find("second-2") is None
    books.close()


async def test_a_file_that_another_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for another process is bounded, and it is said who is waited for."""
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.05)
    journal = SqliteJournal.open(path, "a")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalUnavailable, match="another process"):
        await journal.claim([intent()], later(0))
    other.execute("ROLLBACK")
    other.close()
    assert await journal.claim([intent()], later(0)) == [NEW]
    await journal.close()


async def test_repeats_among_new_payments(path: Path) -> None:
    """Where some of a batch are known, the others are claimed all the same, again and again."""
    journal = SqliteJournal.open(path, "a")
    for start in (0, 50, 100, 150):
        batch = [intent(f"pay-{n}") for n in range(start, start + 100)]
        answers = await journal.claim(batch, later(0))
        fresh = [of for of, answer in zip(batch, answers, strict=True) if isinstance(answer, New)]
        assert [type(answer) for answer in answers] == ([Done] * 50 if start else [New] * 50) + [New] * 50
        await journal.record([dispatched(each) for each in fresh], later(1))
    await journal.close()


CLAIMER = """
import asyncio, sys
from pathlib import Path
from tests.support.journals import dispatched, intent, later
from worker.journal.protocol import New
from worker.journal.sqlite import index
from worker.journal.sqlite.journal import SqliteJournal

index.SHORTEST_TAIL, index.SLICE_ROWS = 100, 10

async def main():
    journal, new = SqliteJournal.open(Path(sys.argv[1]), sys.argv[2]), []
    for start in range(0, 2000, 100):
        batch = [intent(f"pay-{n}") for n in range(start, start + 100)]
        answers = await journal.claim(batch, later(0))
        mine = [each for each, answer in zip(batch, answers) if isinstance(answer, New)]
        await journal.record([dispatched(each) for each in mine], later(1))
        new += [each.payment_id for each in mine]
    await journal.close()
    print(*new)

asyncio.run(main())
"""


def test_processes_that_share_a_file(path: Path) -> None:
    """Four processes claim the same 2,000 payments: each payment is claimed by exactly one."""
    processes = [
        subprocess.Popen([sys.executable, "-c", CLAIMER, str(path), name], stdout=subprocess.PIPE, text=True)
        for name in "abcd"
    ]
    claimed = [
        payment_id for process in processes for payment_id in process.communicate(timeout=60)[0].split()
    ]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(claimed) == sorted(f"pay-{n}" for n in range(2000))


async def test_a_file_that_is_gone(path: Path) -> None:
    """Nothing is written into what nobody can read; once it is there again, all goes on."""
    journal = SqliteJournal.open(path, "a")
    assert await journal.claim([intent("pay-1")], later(0)) == [NEW]
    away = path.with_name("away.db")
    shutil.move(path, away)
    with pytest.raises(JournalUnavailable, match=r"journal\.db is gone"):
        await journal.claim([intent("pay-2")], later(0))
    shutil.move(away, path)
    assert await journal.claim([intent("pay-2")], later(0)) == [NEW]
    await journal.close()


async def test_a_file_in_the_place_of_another(path: Path) -> None:
    """What this process knows is of the old one, so it may not go on."""
    journal = SqliteJournal.open(path, "a")
    assert await journal.claim([intent("pay-1")], later(0)) == [NEW]
    other = path.with_name("other.db")
    migrate(other)
    other.rename(path)
    with pytest.raises(JournalMismatch, match="has taken the place of the journal"):
        await journal.claim([intent("pay-2")], later(0))
    await journal.close()


async def test_nobody_waits_for_a_file_that_another_holds(path: Path) -> None:
    """Who is cancelled keeps the journal from closing no longer than a look takes."""
    journal = SqliteJournal.open(path, "a")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = [asyncio.ensure_future(journal.claim([intent(f"pay-{n}")], later(0))) for n in range(40)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        await journal.close()
        assert other.in_transaction
    books = SqliteBooks.open(path)
    assert all(books.find(f"pay-{n}") is None for n in range(40))
    books.close()
