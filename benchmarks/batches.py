"""How many payments a second does one worker process move, many a message?

Messages of 10, 50 and 100 payments come in; dispatches go out one a message, or many where processors ask for
batches. The C relay, which moves messages of one payment and does no work, is the yardstick.

Usage: python -m benchmarks.batches [--quick] [--rounds N]
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import aiormq
import uvloop

from benchmarks import charts
from benchmarks.contest import options_of_rounds, play, rounds_of, rows, table
from benchmarks.harness import Contestant, as_lines
from benchmarks.line_up import C_RELAY, PREFETCH, TAP_RELAY, new_sqlite_journals, relays, worker
from benchmarks.results import Place, Result
from benchmarks.rule_files import MESSAGE_BYTES, everything_on, payments
from worker.local_broker import LocalBroker

TITLE: Final = "Many payments a message, one process"
SIZES: Final = (10, 50, 100)
OUT: Final = {"max_payments": 100, "max_wait": "5ms"}
IN_FLIGHT: Final = 5 * PREFETCH
"""Payments that a worker may hold; its prefetch counts messages."""
YARDSTICKS: Final = (C_RELAY, TAP_RELAY)
YARDSTICK_SHARE: Final = 0.5


def name_of(size: int, *, gathers: bool) -> str:
    """Name the row."""
    return f"worker: {size} a message in, {'batches out' if gathers else 'singles out'}"


async def line_up(broker: LocalBroker, folder: Path) -> list[Contestant]:
    """Return the yardstick, and the worker for each size and each way out."""
    everyone = [one for one in await relays(broker, folder) if one.name in YARDSTICKS][:1]
    journals = new_sqlite_journals(broker.folder)
    for gathers in (True, False):
        rules = everything_on(folder, batch=OUT if gathers else None)
        for size in SIZES:
            prefetch = max(1, IN_FLIGHT // size)
            name = name_of(size, gathers=gathers)
            one = await worker(broker, rules, journals, name=name, prefetch=min(PREFETCH, prefetch))
            one.wrap, one.lines, one.gathers = as_lines, size, gathers
            everyone.append(one)
    return everyone


async def measure(broker: LocalBroker, folder: Path, count: int, rounds: int) -> list[Contestant]:
    """Return the contestants with their rounds."""
    everyone = await line_up(broker, folder)
    everyone[0].share = YARDSTICK_SHARE
    connection = await aiormq.connect(broker.url)
    await play(connection, everyone, payments(count), rounds, broker.pid)
    await connection.close()
    return everyone


def summary_of(everyone: Sequence[Contestant]) -> Mapping[str, float]:
    """Return the figures that are promised, for messages of 50 in and batches out."""
    rates = {one.name: one.median for one in everyone}
    fifty = rates[name_of(50, gathers=True)]
    found = {"batch50.payments_per_second": fifty}
    return {**found, "batch50.vs_c_relay": fifty / rates[C_RELAY]} if C_RELAY in rates else found


def main(arguments: list[str]) -> None:
    """Run it and write the table."""
    options = options_of_rounds(__doc__).parse_args(arguments)
    count = 10_000 if options.quick else 120_000
    rounds = rounds_of(options)
    with tempfile.TemporaryDirectory() as folder, LocalBroker() as broker:
        place = Place.of(broker)
        everyone = uvloop.run(measure(broker, Path(folder), count, rounds))
    base = everyone[0].name
    rates = {one.name: [found.messages_per_second for found in one.rounds] for one in everyone}
    ours = [name for name in rates if name != base]
    result = Result(
        name="batches",
        title=TITLE,
        command=" ".join(["python -m benchmarks.batches", *arguments]),
        place=place,
        notes=[
            "One private RabbitMQ node on the same cores; quorum queues, persistent messages, confirms and",
            f"mandatory on, payments of {MESSAGE_BYTES} bytes, {count:,} a round (half for the relay),",
            f"{rounds} rounds, interleaved. The worker has at most {IN_FLIGHT:,} payments in flight; it",
            "validates each, routes by 20 rules to 5 processors, charges fees, writes its journal and passes",
            f"the trace context on. Batches out: every processor asks for {OUT['max_payments']} payments a",
            f"message and lets one wait {OUT['max_wait']} at most; those of one processor, type and currency",
            "travel together. Payments are counted at the processors' queues.",
        ],
        tables=[table(everyone, base, "payments")],
        rows=rows(everyone),
        summary=summary_of(everyone),
        chart=partial(charts.draw, panels=[charts.Bars(TITLE, "payments/s", rates, ours=ours)]),
    )
    result.write(quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
