"""Does a claim wait longer when the journal is full? And what do claim and record cost?

An empty journal and one with many payments take turns at the same batches, so that what disturbs the machine
disturbs both. Payment ids at random are the worst case: each new one lands on another page of the index.

Usage: python -m benchmarks.journal [--quick] [--rows N] [--folder DIR]
"""

import argparse
import asyncio
import json
import secrets
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import fsync_ms, machine, results_folder
from worker.journal.address import SqliteFile
from worker.journal.opening import open_journal, prepare_journal
from worker.journal.protocol import Ending, Intent, Journal
from worker.journal.sqlite.index import index_tail
from worker.journal.sqlite.journal import SqliteJournal
from worker.journal.states import State

BATCH = 200
BODY = b"{" + b"x" * 448 + b"}"
FILL = (
    "INSERT INTO owners (name) VALUES ('filled')",
    "INSERT INTO ways (currency, scale, rules_version, candidate) VALUES ('EUR', 2, 'v1', 1)",
    "INSERT INTO bodies (payments, bytes) VALUES (1, x'')",
    """
    INSERT INTO payments (payment_id, fingerprint, attempt, redrives, gross, net, fees, trace_id, dispatch_id,
        way, batch, start, length, state, owner, lease_until, created, claimed, changed)
    WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :rows)
    SELECT 'pay-' || {identity}, randomblob(16), 1, 0, 1234, 1200, 34, hex(randomblob(16)),
        hex(randomblob(16)), 1, 1, 0, 0, 1, 1, n, n, n, n FROM counted
    """,
    "INSERT INTO ids SELECT payment_id, id FROM payments ORDER BY payment_id",
    "UPDATE indexed SET upto = :rows",
    """
    INSERT INTO history
        (happening, payment, attempt, trace_id, owner, began, ended, way, gross, net, fees, dispatch_id)
    SELECT 0, id, 1, trace_id, 1, created, changed, 1, gross, net, fees, dispatch_id FROM payments
    """,
)
"""As so many dispatches would have left it, the bodies apart: nothing reads old ones."""


def random_ids() -> Iterator[str]:
    """Payment ids in no order."""
    while True:
        yield f"pay-{secrets.token_hex(12)}"


def rising_ids() -> Iterator[str]:
    """Payment ids that begin with the time, as UUIDv7 and ULID do."""
    while True:
        yield f"pay-z{time.time_ns():020d}"


IDS: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "at random": ("lower(hex(randomblob(12)))", random_ids),
    "in order of time": ("printf('%024d', n)", rising_ids),
}


@dataclass(slots=True)
class Measured:
    """One journal's batches: milliseconds that claim and record took, CPU microseconds a payment.

    ``index_us`` are those of putting the payments' ids into the index, which happens later.
    """

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


def fill(path: Path, rows: int, identity: str) -> None:
    """Put dispatched payments into a journal file, faster than a worker could."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-1000000")
        connection.execute("BEGIN")
        for statement in FILL:
            connection.execute(statement.replace("{identity}", identity), {"rows": rows})
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


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


async def measure(folder: Path, name: str, rows: int, batches: int) -> tuple[Measured, Measured]:
    """Let an empty and a full journal take turns."""
    identity, ids = IDS[name]
    journals = []
    for payments in (0, rows):
        path = folder / f"{payments}.db"
        prepare_journal(SqliteFile(path))
        if payments:
            fill(path, payments, identity)
        journal = await open_journal(SqliteFile(path), "benchmark", 60.0)
        if journal is None:
            raise RuntimeError("there is no journal to measure")
        journals.append((journal, Measured(name, payments)))
    made = ids()
    await has_sieve(journals[1][0], made)
    for number in range(batches + 5):
        for journal, measured in journals:
            await one_batch(journal, made, measured if number >= 5 else Measured("warming up", 0))
    for journal, measured in journals:
        await journal.close()
        measured.index_us = index_later(folder / f"{measured.rows}.db", (batches + 5) * BATCH)
    return journals[0][1], journals[1][1]


async def has_sieve(journal: Journal, ids: Iterator[str]) -> None:
    """Let a large journal's worker run until it has its sieve, for a minute or so."""
    until = time.monotonic() + 180
    while isinstance(journal, SqliteJournal) and journal.wants_sieve and time.monotonic() < until:
        await one_batch(journal, ids, Measured("warming up", 0))
        await asyncio.sleep(0.5)


def index_later(path: Path, payments: int) -> float:
    """Put the batches' ids into the index; CPU microseconds a payment."""
    cpu = time.process_time()
    index_tail(path, "benchmark", threading.Lock(), threading.Event())
    return 1e6 * (time.process_time() - cpu) / payments


def lines_of(pairs: list[tuple[Measured, Measured]]) -> Iterator[str]:
    """The table's lines."""
    yield "| payment ids | payments in it | claim, median | claim, 95 % | record | CPU | indexed later |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for pair in pairs:
        for measured in pair:
            found = measured.figures
            yield (
                f"| {measured.ids} | {measured.rows:,} | {found['claim_ms']:.2f} ms"
                f" | {found['claim_p95_ms']:.2f} ms | {found['record_ms']:.2f} ms"
                f" | {found['cpu_us']:.1f} us | {found['index_us']:.1f} us |"
            )
        empty, full = (measured.figures["claim_ms"] for measured in pair)
        yield f"| | full / empty | {full / empty:.2f} | | | | |"


def main(arguments: list[str]) -> None:
    """Run it and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few payments and batches; no results are kept")
    parser.add_argument("--rows", type=int, help="payments in the full journal, default 10 million")
    parser.add_argument(
        "--folder", type=Path, help="where the journals are put; 5 GB for 10 million payments"
    )
    options = parser.parse_args(arguments)
    rows = options.rows or (100_000 if options.quick else 10_000_000)
    pairs, fsync = [], 0.0
    for name in IDS:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            fsync = fsync_ms(Path(folder))
            pairs.append(asyncio.run(measure(Path(folder), name, rows, 30 if options.quick else 200)))
    lines = [
        "## The journal, empty and full",
        "",
        f"{machine()}; fsync of the journal's disk {fsync:.2f} ms.",
        f"SQLite, batches of {BATCH} new payments with {len(BODY)} bytes each, one batch at a time:",
        "claim, then record. Both journals take turns. CPU time is a payment's, for claim and record;",
        "indexing its id comes on top, later and off the claim's way. The full journal has its sieve,",
        "a bitmap of all ids that it makes in its first minute.",
        "`python -m benchmarks.journal`",
        "",
        *lines_of(pairs),
    ]
    text = "\n".join(lines) + "\n"
    target = results_folder(options.quick) / "journal"
    target.with_suffix(".md").write_text(text)
    found = [{**asdict(measured), **measured.figures} for pair in pairs for measured in pair]
    target.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
