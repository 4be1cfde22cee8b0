"""Does a claim wait longer when the journal is full? And what do claim and record cost?

An empty journal and one with many payments take turns at the same batches, so that what disturbs the machine
disturbs both. Payment ids at random are the worst case: each new one lands on another page of the index.

Usage: python -m benchmarks.journal [--quick] [--rows N] [--backend NAME] [--folder DIR]
"""

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.filled_journals import fill_postgresql, fill_sqlite
from benchmarks.harness import fsync_ms, machine, results_folder
from worker.journal.address import Address, Postgresql, SqliteFile
from worker.journal.opening import open_journal, prepare_journal
from worker.journal.protocol import Ending, Intent, Journal
from worker.journal.sqlite.index import index_tail
from worker.journal.sqlite.journal import SqliteJournal
from worker.journal.states import State
from worker.local_postgresql import LocalPostgresql

BATCH: Final = 200
WARM_UP: Final = 5
"""Batches that are not counted."""
BODY: Final = b"{" + b"x" * 448 + b"}"


def random_ids() -> Iterator[str]:
    """Payment ids in no order."""
    while True:
        yield f"pay-{secrets.token_hex(12)}"


def rising_ids() -> Iterator[str]:
    """Payment ids that begin with the time, as UUIDv7 and ULID do."""
    while True:
        yield f"pay-z{time.time_ns():020d}"


IDS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "at random": random_ids,
    "in order of time": rising_ids,
}
SERVER: Final = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min"}
"""Of the private PostgreSQL server: as for a machine of its own, where the defaults suit a laptop."""


@dataclass(slots=True)
class Measured:
    """One journal's batches: milliseconds that claim and record took, CPU microseconds a payment.

    ``index_us`` are those of putting the payments' ids into SQLite's index, which happens later.
    """

    backend: str
    ids: str
    rows: int
    claim_ms: list[float] = field(default_factory=list)
    record_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    index_us: float = 0.0

    @property
    def figures(self) -> dict[str, float]:
        """Medians, and the 95th percentile of the claims."""
        return {
            "claim_ms": statistics.median(self.claim_ms),
            "claim_p95_ms": statistics.quantiles(self.claim_ms, n=20)[-1],
            "record_ms": statistics.median(self.record_ms),
            "cpu_us": statistics.median(self.cpu_us),
            "index_us": self.index_us,
        }


async def one_batch(journal: Journal, ids: Iterator[str], into: Measured) -> None:
    """Claim and record one batch of new payments."""
    now = datetime.now(UTC)
    batch = [
        Intent(
            next(ids), secrets.token_bytes(16), 1, 0, "EUR", 2, 1234, 1200, 34, "rule", "v1",
            secrets.token_hex(16), 1, "alpha", "processor.alpha", "card.eur", secrets.token_hex(16), BODY,
        )
        for _ in range(BATCH)
    ]  # fmt: skip
    endings = [Ending(State.DISPATCHED, each.payment_id, each.dispatch_id) for each in batch]
    cpu, began = time.process_time(), time.perf_counter()
    await journal.claim(batch, now)
    claimed = time.perf_counter()
    await journal.record(endings, now)
    into.record_ms.append(1e3 * (time.perf_counter() - claimed))
    into.claim_ms.append(1e3 * (claimed - began))
    into.cpu_us.append(1e6 * (time.process_time() - cpu) / BATCH)


async def take_turns(
    places: Sequence[Address], results: Sequence[Measured], ids: Iterator[str], batches: int
) -> None:
    """Let an empty and a full journal take turns."""
    journals = [await open_journal(place, "benchmark", 60.0) for place in places]
    pairs = [(journal, into) for journal, into in zip(journals, results, strict=True) if journal is not None]
    for journal, _ in pairs:
        await has_sieve(journal, ids)
    for number in range(batches + WARM_UP):
        for journal, measured in pairs:
            await one_batch(journal, ids, measured if number >= WARM_UP else Measured("", "warming up", 0))
    for journal, _ in pairs:
        await journal.close()


def measure_sqlite(folder: Path, name: str, rows: int, batches: int) -> Sequence[Measured]:
    """An empty and a full journal in SQLite."""
    results = [Measured("SQLite", name, payments) for payments in (0, rows)]
    places = [SqliteFile(folder / f"{measured.rows}.db") for measured in results]
    for place in places:
        prepare_journal(place)
    fill_sqlite(folder / places[1].path, rows, name)
    asyncio.run(take_turns(places, results, IDS[name](), batches))
    for place, measured in zip(places, results, strict=True):
        measured.index_us = index_later(folder / place.path, (batches + WARM_UP) * BATCH)
    return results


def measure_postgresql(name: str, rows: int, batches: int) -> Sequence[Measured]:
    """An empty and a full journal in two databases of one PostgreSQL server."""
    results = [Measured("PostgreSQL", name, payments) for payments in (0, rows)]
    with LocalPostgresql(SERVER) as server:
        places = [Postgresql(server.create_database(database)) for database in ("empty", "full")]
        for place in places:
            prepare_journal(place)
        fill_postgresql(server, places[1].url, rows, name)
        asyncio.run(take_turns(places, results, IDS[name](), batches))
    return results


async def has_sieve(journal: Journal, ids: Iterator[str]) -> None:
    """Let a large journal's worker run until it has its sieve, for a minute or so."""
    until = time.monotonic() + 180
    while isinstance(journal, SqliteJournal) and journal.wants_sieve and time.monotonic() < until:
        await one_batch(journal, ids, Measured("", "warming up", 0))
        await asyncio.sleep(0.5)


def index_later(path: Path, payments: int) -> float:
    """Put the batches' ids into the index; CPU microseconds a payment."""
    cpu = time.process_time()
    index_tail(path, "benchmark", threading.Lock(), threading.Event())
    return 1e6 * (time.process_time() - cpu) / payments


def lines_of(pairs: Sequence[Sequence[Measured]]) -> Iterator[str]:
    """The table's lines."""
    names = "payment ids | payments in it | claim, median | claim, 95 % | record | CPU | indexed later"
    yield f"| journal | {names} |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for pair in pairs:
        for measured in pair:
            found = measured.figures
            later = f"{found['index_us']:.1f} us" if measured.index_us else ""
            yield (
                f"| {measured.backend} | {measured.ids} | {measured.rows:,} | {found['claim_ms']:.2f} ms"
                f" | {found['claim_p95_ms']:.2f} ms | {found['record_ms']:.2f} ms"
                f" | {found['cpu_us']:.1f} us | {later} |"
            )
        empty, full = (measured.figures["claim_ms"] for measured in pair)
        yield f"| | | full / empty | {full / empty:.2f} | | | | |"


def main(arguments: list[str]) -> None:
    """Run it and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few payments and batches; no results are kept")
    parser.add_argument("--rows", type=int, help="payments in the full journal, default 10 million")
    parser.add_argument(
        "--folder", type=Path, help="where the journals are put; 5 GB for 10 million payments"
    )
    parser.add_argument(
        "--backend", choices=("sqlite", "postgresql"), help="only this one; no results are kept"
    )
    options = parser.parse_args(arguments)
    rows = options.rows or (100_000 if options.quick else 10_000_000)
    batches = 30 if options.quick else 200
    pairs, fsync = [], 0.0
    for name in IDS:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            fsync = fsync_ms(Path(folder))
            if options.backend != "postgresql":
                pairs.append(measure_sqlite(Path(folder), name, rows, batches))
        if options.backend != "sqlite":
            pairs.append(measure_postgresql(name, rows, batches))
    pairs.sort(key=lambda pair: pair[0].backend, reverse=True)
    lines = [
        "## The journal, empty and full",
        "",
        f"{machine()}; fsync of the journal's disk {fsync:.2f} ms.",
        f"Batches of {BATCH} new payments with {len(BODY)} bytes each, one batch at a time: claim, then",
        "record. Both journals take turns. CPU time is a payment's in the worker, for claim and record. In",
        "SQLite indexing its id comes on top, later and off the claim's way, and the full journal has its",
        "sieve, a bitmap of all ids that it makes in its first minute. PostgreSQL's server has",
        f"{', '.join(f'`{setting} = {value}`' for setting, value in SERVER.items())}.",
        "`python -m benchmarks.journal`",
        "",
        *lines_of(pairs),
    ]
    text = "\n".join(lines) + "\n"
    target = results_folder(options.quick or bool(options.backend)) / "journal"
    target.with_suffix(".md").write_text(text)
    found = [{**asdict(measured), **measured.figures} for pair in pairs for measured in pair]
    target.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
