"""The journal's SQLite file is deleted, replaced, made read-only, and locked by others while workers work."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import Scale
from tests.support.bench import Bench
from tests.support.load import CANDIDATES
from worker.journal.opening import prepare_journal
from worker.journal.sqlite.backup import back_up


@pytest.fixture
def file(bench: Bench) -> Path:
    """The journal's file."""
    return bench.folder / "journal.db"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the file for writing, as another process does, for the block."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def immutable(file: Path) -> Iterator[None]:
    """Let nobody, root included, write to the file and its log, for the block."""
    both = [str(file), f"{file}-wal"]
    made = subprocess.run(["chattr", "+i", *both], check=False, capture_output=True, text=True)
    try:
        if made.returncode:
            pytest.skip(f"a file that root cannot write needs chattr +i: {made.stderr.strip()}")
        yield
    finally:
        subprocess.run(["chattr", "-i", *both], check=False, capture_output=True)


def move(file: Path, there: Path) -> None:
    """Give the file another name."""
    file.rename(there)


def delete(file: Path) -> None:
    """Delete the file with its log."""
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


async def at_work(bench: Bench) -> None:
    """Let a worker have had payments."""
    bench.start()
    await bench.publish(50)
    await bench.arrives(50)


async def held_up(bench: Bench, reason: str) -> None:
    """Publish into the fault: it is said what is wrong, without spinning, and nothing is sent."""
    worker = bench.workers[-1]
    await bench.publish(300, *CANDIDATES)  # what cannot be read needs no claim to die
    await worker.says(lambda log: reason in log, "what is wrong with the journal")
    await asyncio.sleep(1)
    await bench.collect()
    assert worker.log.count("journal_unavailable") < 40, "it asks again and again"
    missing = len(bench.ledger.missing(bench.load.sent))
    assert missing >= 300, "payments whose intents are on no disk were sent"


async def test_a_file_that_is_moved_away_and_back(bench: Bench, file: Path) -> None:
    """SQLite would write on into the file that is gone: the worker waits until it is there again."""
    await at_work(bench)
    away = file.with_name("away.db")
    move(file, away)
    await held_up(bench, f"the journal {file} is gone")
    move(away, file)
    await bench.drained(repeats=False)


async def test_a_file_that_is_deleted_under_load(bench: Bench, file: Path) -> None:
    """Nothing goes on by a memory that nobody can read; with an empty one, repeats have the same ids."""
    worker = bench.start(drain_timeout=0.3)
    async with bench.load.streaming(per_second=300):
        await bench.arrives(50)
        delete(file)
        await worker.says(lambda log: "is gone" in log, "that its journal is gone")
    await bench.stop()
    await bench.safe()
    prepare_journal(bench.settings.journal_address)
    await bench.drained(audited=False)


async def test_a_file_that_another_takes_the_place_of(bench: Bench, file: Path) -> None:
    """A worker ends rather than mix two memories; the next one goes by the file that is there."""
    await at_work(bench)
    copy = file.with_name("copy.db")
    back_up(file, copy)
    worker = bench.workers[-1]
    async with bench.load.streaming(per_second=300):
        await bench.arrives(100)
        delete(file)
        move(copy, file)
        assert await worker.ended() == 2
    assert "another file has taken the place of the journal" in worker.log
    await bench.safe()
    await bench.drained(audited=False)


async def test_a_file_that_cannot_be_written(bench: Bench, file: Path) -> None:
    """Nothing is sent or acknowledged meanwhile; once it can be, all goes on."""
    await at_work(bench)
    with immutable(file):
        await held_up(bench, f"the journal {file}")
    await bench.drained(repeats=False)


async def test_a_file_that_another_process_locks(bench: Bench, file: Path, scale: Scale) -> None:
    """While somebody else writes, payments wait, and once it takes long it is said; then they go on."""
    await at_work(bench)
    worker = bench.workers[-1]
    with locked(file):
        await bench.publish(300, *CANDIDATES)  # what cannot be read needs no claim to die
        if scale(False, True):
            await worker.says(lambda log: "another process holds it" in log, "who is waited for")
        else:
            await asyncio.sleep(1)
        await bench.collect()
        assert len(bench.ledger.missing(bench.load.sent)) >= 300
    await bench.drained(repeats=False)


async def test_locks_that_come_and_go_under_load(bench: Bench, file: Path, scale: Scale) -> None:
    """Two workers and somebody who takes the file from them again and again: they only get slower."""
    async with bench.load.streaming(per_second=200):
        for _ in range(2):
            bench.start()
        await bench.arrives(50)
        for _ in range(scale(4, 60)):
            with locked(file):
                await asyncio.sleep(bench.chance.uniform(0, 0.5))
            await asyncio.sleep(bench.chance.uniform(0, 0.2))
    await bench.drained(repeats=False)


@pytest.mark.parametrize("events", ["off", "on"])
async def test_sigterm_while_another_process_locks_the_file(bench: Bench, file: Path, events: str) -> None:
    """It stops within its deadline, long before it would give up the file; the broker keeps the payments."""
    with bench.command(PAYMENT_WORKER_DRAIN_TIMEOUT="300ms", PAYMENT_WORKER_EVENTS=events) as worker:
        await asyncio.to_thread(worker.wait_for_sessions, 1)
        await bench.publish(50)
        await bench.arrives(50)
        with locked(file):
            await bench.publish(100)
            await asyncio.sleep(0.5)
            code, _ = await asyncio.to_thread(worker.terminate)
            assert code == 0, worker.log
        assert "not everything in flight was finished within 0.3 s" in worker.log
        assert "killed" not in worker.log
    await bench.safe()
    await bench.drained(repeats=False)


async def test_sigterm_before_a_file_that_another_process_has_to_itself(bench: Bench, file: Path) -> None:
    """A worker that waits for its journal when it starts can be told to stop."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        worker = bench.start(drain_timeout=0.3)
        await worker.says(lambda log: "no session" in log, "that it has no journal")
        assert "another process holds it" in worker.log
        worker.terminate()
        assert await worker.ended() == 0
    await bench.publish(50)
    await bench.drained(repeats=False)
