"""How many payments a second does one worker process move, one a message?

Beside it: relays that do no work, from the C client's (the broker's limit) to aio-pika's, and what a user
would take instead: frameworks that consume, decode, publish with confirm and ack, and do nothing else.

Usage: python -m benchmarks.throughput [--quick] [--rounds N]
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path

import aiormq
import uvloop

from benchmarks import charts
from benchmarks.contest import largest_rss_mb, options_of_rounds, play, rounds_of, rows, table
from benchmarks.harness import Contestant
from benchmarks.line_up import (
    AIORMQ_RELAY,
    C_RELAY,
    PREFETCH,
    TAP_RELAY,
    WORKER,
    new_sqlite_journals,
    peers,
    relays,
    worker,
)
from benchmarks.results import Place, Result
from benchmarks.rule_files import MESSAGE_BYTES, everything_on, payments
from worker.local_broker import LocalBroker

TITLE = "One payment a message, one process"
WITHOUT_JOURNAL = "payment-worker, no journal"


async def measure(
    broker: LocalBroker, folder: Path, count: int, rounds: int, *, quick: bool
) -> tuple[list[Contestant], list[str]]:
    """Return the contestants with their rounds, and the names of those among them that are peers."""
    bodies = payments(count)
    everyone = await relays(broker, folder)
    found = await peers(broker, bodies, quick=quick)
    rules = everything_on(folder)
    everyone += [
        await worker(broker, rules, new_sqlite_journals(broker.folder)),
        await worker(broker, rules, repeat("none"), name=WITHOUT_JOURNAL),
        *found,
    ]
    connection = await aiormq.connect(broker.url)
    await play(connection, everyone, bodies, rounds, broker.pid)
    await connection.close()
    return everyone, [one.name for one in found]


def summary_of(everyone: Sequence[Contestant], peer_names: Sequence[str]) -> Mapping[str, float]:
    """Return the figures that are promised; those without their counterpart are left out."""
    rates = {one.name: one.median for one in everyone}
    ours = next(one for one in everyone if one.name == WORKER)
    found = {
        "single.payments_per_second": ours.median,
        "single.vs_bare_aiormq": ours.median / rates[AIORMQ_RELAY],
        "rss_mb": largest_rss_mb(ours),
    }
    if C_RELAY in rates:
        found["tap_relay.vs_c_relay"] = rates[TAP_RELAY] / rates[C_RELAY]
        found["single.vs_c_relay"] = ours.median / rates[C_RELAY]
    if peer_names:
        found["single.vs_best_peer"] = ours.median / max(rates[name] for name in peer_names)
    return found


def chart_of(everyone: Sequence[Contestant]) -> charts.Bars:
    """A bar a contestant."""
    rates = {one.name: [found.messages_per_second for found in one.rounds] for one in everyone}
    return charts.Bars(TITLE, "messages/s", rates, ours=[WORKER, WITHOUT_JOURNAL])


def main(arguments: list[str]) -> None:
    """Run it and write the table."""
    options = options_of_rounds(__doc__).parse_args(arguments)
    count = 6_000 if options.quick else 50_000
    rounds = rounds_of(options)
    with tempfile.TemporaryDirectory() as folder, LocalBroker() as broker:
        place = Place.of(broker)
        everyone, peer_names = uvloop.run(measure(broker, Path(folder), count, rounds, quick=options.quick))
    chosen = "with the fastest of the settings that were tried before the first round"
    if options.quick:
        chosen = "as it is likely to be fastest; a whole run tries several settings"
    base = C_RELAY if any(one.name == C_RELAY for one in everyone) else TAP_RELAY
    result = Result(
        name="throughput",
        title=TITLE,
        command=" ".join(["python -m benchmarks.throughput", *arguments]),
        place=place,
        notes=[
            "One private RabbitMQ node on the same cores; quorum queues, persistent messages of",
            f"{MESSAGE_BYTES} bytes, confirms and mandatory on for everybody, prefetch {PREFETCH} where none",
            f"is named; {count:,} messages a round, a part of them for who is slow, {rounds} rounds,",
            "interleaved. The worker validates, routes by 20 rules to 5 processors, charges fees, writes its",
            "journal and passes the trace context on. Relays and peers only hand on; peers decode JSON and",
            f"encode it, each {chosen}.",
        ],
        tables=[table(everyone, base)],
        rows=rows(everyone),
        summary=summary_of(everyone, peer_names),
        chart=partial(charts.draw, panels=[chart_of(everyone)]),
    )
    result.write(quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
