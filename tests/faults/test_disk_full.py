"""The disk of a SQLite journal fills up while workers work, and is freed again."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bench import Bench

DISK = "16m"
MEBIBYTE = bytes(1 << 20)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a small file system needs the right to mount one: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def journal(disk: Path) -> str:
    """A journal on that disk."""
    return f"sqlite:///{disk / 'journal.db'}"


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for chunk in (MEBIBYTE, bytes(1)):
            with contextlib.suppress(OSError):
                while True:
                    file.write(chunk)
    assert os.statvfs(disk).f_bavail == 0
    return filler


async def test_a_full_disk_loses_nothing(bench: Bench, disk: Path) -> None:
    """Nothing is sent or acknowledged meanwhile, it says so without spinning, and goes on afterwards."""
    worker = bench.start()
    await bench.publish(50)
    await bench.arrives(50)
    filler = fill(disk)
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
    filler.unlink()
    await bench.drained(repeats=False)


async def test_a_worker_that_dies_on_a_full_disk_loses_nothing(bench: Bench, disk: Path) -> None:
    """What it held comes again; the next one finds a whole journal, once there is room."""
    worker = bench.start()
    await bench.publish(50)
    await bench.arrives(50)
    filler = fill(disk)
    await bench.publish(100)
    await asyncio.sleep(1)
    worker.kill()
    assert await worker.ended() == -9
    await bench.safe()
    filler.unlink()
    await bench.drained()
