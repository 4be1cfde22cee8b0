"""The disk of a journal, or of its PostgreSQL server, fills up while workers work, and is freed again."""

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import JOURNALS
from tests.support.bench import Bench
from worker.local_postgresql import LocalPostgresql

SIZES = {"sqlite": "16m", "postgresql": "192m"}
"""A server's folder has some 40 MB from the beginning, and its write-ahead log as much again."""
SERVER = {"min_wal_size": "32MB", "max_wal_size": "32MB"}
MEBIBYTE = bytes(1 << 20)
both_journals = pytest.mark.parametrize("kept_in", JOURNALS)


@pytest.fixture
def disk(kept_in: str) -> Iterator[Path]:
    """A small file system of its own, which a server that is another user reaches."""
    with tempfile.TemporaryDirectory(prefix="payment-worker-disk-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZES[kept_in]},mode=0755", "tmpfs", str(place)],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if mounted.returncode:
            pytest.skip(f"a small file system needs the right to mount one: {mounted.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def server(disk: Path, kept_in: str) -> Iterator[LocalPostgresql | None]:
    """A PostgreSQL server on that disk, where the journal is kept in one."""
    if kept_in == "sqlite":
        yield None
        return
    with LocalPostgresql(SERVER, place=disk) as started:
        yield started


@pytest.fixture
def journal(disk: Path, server: LocalPostgresql | None, prefix: str) -> str:
    """A journal on that disk."""
    return f"sqlite:///{disk / 'journal.db'}" if server is None else server.create_database(prefix)


@pytest.fixture
def make_room(disk: Path, server: LocalPostgresql | None) -> Callable[[], None]:
    """Free the disk. A server whose log found no room ends; whatever watches over it starts it again."""

    def make() -> None:
        (disk / "filler").unlink()
        if server is not None:
            server.start()

    return make


def fill(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for chunk in (MEBIBYTE, bytes(1)):
            with contextlib.suppress(OSError):
                while True:
                    file.write(chunk)
    assert os.statvfs(disk).f_bavail == 0


@both_journals
async def test_a_full_disk_loses_nothing(bench: Bench, disk: Path, make_room: Callable[[], None]) -> None:
    """Nothing is sent or acknowledged meanwhile, it says so without spinning, and goes on afterwards."""
    worker = bench.start()
    await bench.publish(50)
    await bench.arrives(50)
    await asyncio.to_thread(fill, disk)
    before = len(worker.log)
    await bench.publish(300)
    await asyncio.sleep(3)
    await bench.collect()
    assert worker.exit_code is None
    said = worker.log[before:]
    assert "free space on its disk, nothing is acknowledged meanwhile" in said
    assert said.count("journal_unavailable") < 40, "it asks again and again"
    missing = len(bench.ledger.missing(bench.load.sent))
    assert missing > 200, "payments whose intents are on no disk were sent"
    await asyncio.to_thread(make_room)
    await bench.drained(repeats=False)


@both_journals
async def test_a_worker_that_dies_on_a_full_disk_loses_nothing(
    bench: Bench, disk: Path, make_room: Callable[[], None]
) -> None:
    """What it held comes again; the next one finds a whole journal, once there is room."""
    worker = bench.start()
    await bench.publish(50)
    await bench.arrives(50)
    await asyncio.to_thread(fill, disk)
    await bench.publish(100)
    await asyncio.sleep(1)
    worker.kill()
    assert await worker.ended() == -9
    await bench.safe()
    await asyncio.to_thread(make_room)
    await bench.drained()
