"""How many payments a second does one worker process move, beside relays that do no work at all?

Usage: python -m benchmarks.throughput [--quick]
"""

import argparse
import asyncio
import itertools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import aiormq

from benchmarks.harness import (
    Contestant,
    declare,
    fsync_ms,
    machine,
    results_folder,
    run_round,
    write_results,
)
from worker.generate import generate
from worker.local_broker import LocalBroker
from worker.local_postgresql import LocalPostgresql
from worker.rules_file import load_rules
from worker.session import prepare_topology
from worker.settings import load_settings

HERE = Path(__file__).parent
RULES = HERE.parent / "routing_rules"
PREFETCH = 1000


def build_c_relay(folder: Path) -> Path | None:
    """Compile the C relay where a compiler and librabbitmq are installed."""
    compiler = shutil.which("cc")
    target = folder / "relay"
    if compiler is None:
        return None
    built = subprocess.run(
        [compiler, "-O2", str(HERE / "relays/relay.c"), "-o", str(target), "-lrabbitmq"],
        capture_output=True,
        check=False,
    )
    return target if built.returncode == 0 else None


async def measure(
    broker: LocalBroker, postgresql: LocalPostgresql, c_relay: Path | None, count: int, rounds: int
) -> list[Contestant]:
    """Interleave the contestants' rounds; each of the worker's rounds has a new journal."""
    url = broker.url
    settings = load_settings(amqp_url=url, rules=(RULES,), prefetch=PREFETCH)
    table = load_rules(settings.rules)
    await prepare_topology(settings, table)
    connection = await aiormq.connect(url)
    await declare(connection, "bench.out", "bench.out")
    await declare(connection, "bench.in", "bench.in")
    relay_arguments = ["bench.in", "bench.out", str(count), str(PREFETCH)]
    python = [sys.executable]
    contestants = []
    if c_relay is not None:
        command = [str(c_relay), str(broker.port), *relay_arguments]
        contestants.append(Contestant("C relay, no work", lambda: command, "bench.in", ["bench.out"]))
    bare = [*python, str(HERE / "relays/aiormq_relay.py"), url, *relay_arguments]
    contestants.append(Contestant("bare aiormq relay, no work", lambda: bare, "bench.in", ["bench.out"]))
    worker = [*python, "-m", "worker", "run", "--amqp-url", url, "--rules", str(RULES)]
    worker += ["--prefetch", str(PREFETCH), "--journal"]
    numbers = itertools.count()
    files = (f"sqlite:///{broker.folder / f'journal-{number}.db'}" for number in numbers)
    incoming = f"{settings.prefix}.incoming"
    inboxes = [f"{p.exchange}.inbox" for p in table.processors.values()]
    contestants += [
        Contestant("payment-worker without a journal", lambda: [*worker, "none"], incoming, inboxes),
        Contestant("payment-worker, journal in SQLite", lambda: [*worker, next(files)], incoming, inboxes),
        Contestant(
            "payment-worker, journal in PostgreSQL",
            lambda: [*worker, postgresql.create_database(f"journal{next(numbers)}")],
            incoming,
            inboxes,
        ),
    ]
    bodies = list(routable(count))
    for number in range(rounds):
        for contestant in contestants:
            contestant.rounds.append(await run_round(connection, contestant, bodies))
            rate = contestant.rounds[-1].messages_per_second
            print(f"round {number + 1} of {rounds}: {contestant.name}: {rate:,.0f}/s")
    await connection.close()
    return contestants


def routable(count: int) -> list[bytes]:
    """Payments that the default rules dispatch, every one."""
    bodies = (body for body in generate(2 * count, seed=1) if b'"KWD"' not in body)
    return [body for body, _ in zip(bodies, range(count), strict=False)]


def main(arguments: list[str]) -> None:
    """Run it and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few messages, two rounds; no results are kept")
    options = parser.parse_args(arguments)
    count, rounds = (6_000, 2) if options.quick else (30_000, 5)
    with (
        tempfile.TemporaryDirectory() as folder_name,
        LocalBroker() as broker,
        LocalPostgresql() as postgresql,
    ):
        folder = Path(folder_name)
        c_relay = build_c_relay(folder)
        if c_relay is None:
            print("no C relay: it needs cc and librabbitmq (Debian: apt-get install gcc librabbitmq-dev)")
        fsync = fsync_ms(broker.folder)
        contestants = asyncio.run(measure(broker, postgresql, c_relay, count, rounds))
    size = sum(map(len, routable(1000))) / 1000
    quick = " --quick" if options.quick else ""
    notes = [
        f"{machine()}; fsync of the broker's disk {fsync:.2f} ms.",
        "One private RabbitMQ node on the same cores, quorum queues, persistent, confirms and mandatory on,",
        f"{size:.0f} bytes a message, prefetch {PREFETCH}, {count:,} messages a round,",
        f"{rounds} rounds interleaved. The worker validates, routes by `routing_rules/default.yaml`,",
        "charges fees and passes the trace context on; nothing is exported.",
        f"`python -m benchmarks.throughput{quick}`",
    ]
    print(
        write_results(
            results_folder(options.quick) / "throughput",
            "One payment a message, one process",
            notes,
            contestants,
            "bare aiormq relay, no work",
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
