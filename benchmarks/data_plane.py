"""What does the data plane cost? Relays without work and the worker, on the tap and on aiormq; and latency.

Usage: python -m benchmarks.data_plane [--quick] [--rounds N] [--no-latency] [--only TEXT]
"""

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import aiormq
import uvloop
from aiormq.abc import AbstractChannel, DeliveredMessage

from benchmarks.contest import options_of_rounds, play, rows, table
from benchmarks.harness import Contestant, started
from benchmarks.line_up import PREFETCH, TARGET, relays, worker
from benchmarks.results import Place, Result, Table
from benchmarks.rule_files import MESSAGE_BYTES, everything_on, payments
from worker.local_broker import LocalBroker

LANES = ("tap", "standard")
LANE_VARIABLE = "PAYMENT_WORKER_LANE"
START_SECONDS = 20.0
ARRIVE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is measured: messages a round, rounds, latency samples a lane, and seconds between them."""

    count: int
    rounds: int
    samples: int
    interval_seconds: float


FULL = Pace(count=30_000, rounds=5, samples=60, interval_seconds=1.0)
QUICK = Pace(count=8_000, rounds=2, samples=15, interval_seconds=0.1)


async def line_up(broker: LocalBroker, folder: Path) -> list[Contestant]:
    """Everyone who moves messages: relays, and the worker on both lanes."""
    everyone = await relays(broker, folder)
    return everyone + [await worker_on(lane, broker, folder, f"bench-{lane}") for lane in LANES]


async def worker_on(lane: str, broker: LocalBroker, folder: Path, prefix: str) -> Contestant:
    """The worker without a journal."""
    rules = everything_on(folder, prefix=prefix)
    name = f"payment-worker on the {lane} lane"
    return await worker(
        broker, rules, repeat("none"), name=name, prefix=prefix, environment={LANE_VARIABLE: lane}
    )


async def measure_throughput(broker: LocalBroker, folder: Path, pace: Pace, only: str) -> list[Contestant]:
    """Interleave the rounds of the contestants whose names have ``only`` in them."""
    known = await line_up(broker, folder)
    everyone = [one for one in known if only in one.name]
    if not everyone:
        raise SystemExit(f"--only {only!r} names nobody; there are: {'; '.join(one.name for one in known)}")
    connection = await aiormq.connect(broker.url)
    await play(connection, everyone, payments(pace.count), pace.rounds, broker.pid)
    await connection.close()
    return everyone


async def measure_latency(broker: LocalBroker, folder: Path, pace: Pace) -> dict[str, list[float]]:
    """Milliseconds from a producer's publish to a processor's consumer, one payment at a time, lanes in turn.

    Both workers run all the while, each with an incoming queue of its own. The first row has no worker: it is
    what the broker and the two clients of this measurement cost.
    """
    arrivals: asyncio.Queue[float] = asyncio.Queue()

    async def arrived(_message: DeliveredMessage) -> None:
        arrivals.put_nowait(time.perf_counter())

    connection = await aiormq.connect(broker.url)
    producer = await connection.channel(publisher_confirms=True)
    consumer = await (await aiormq.connect(broker.url)).channel()
    ways = {"no worker: one exchange, one queue": TARGET}
    async with AsyncExitStack() as stack:
        inboxes = {TARGET}
        for lane in LANES:
            prefix = f"late-{lane}"
            one = await worker_on(lane, broker, folder, prefix)
            inboxes |= set(one.targets)
            await stack.enter_async_context(started(one))
            await consuming(producer, one)
            ways[one.name] = prefix
        for inbox in sorted(inboxes):
            await producer.queue_purge(inbox)
            await consumer.basic_consume(inbox, arrived, no_ack=True)
        taken = await _samples(producer, arrivals, ways, pace)
    await consumer.connection.close()
    await connection.close()
    return taken


async def _samples(
    producer: AbstractChannel, arrivals: "asyncio.Queue[float]", ways: dict[str, str], pace: Pace
) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {way: [] for way in ways}
    warm_up = 3
    bodies = iter(payments((pace.samples + warm_up) * len(ways)))
    for number in range(pace.samples + warm_up):
        for way, exchange in ways.items():
            started = time.perf_counter()
            await producer.basic_publish(next(bodies), exchange=exchange, routing_key="card.eur")
            seconds = await asyncio.wait_for(arrivals.get(), ARRIVE_SECONDS) - started
            if number >= warm_up:
                taken[way].append(1e3 * seconds)
            await asyncio.sleep(pace.interval_seconds / len(ways))
    return taken


async def consuming(channel: AbstractChannel, one: Contestant) -> None:
    """Wait until a worker that was started consumes."""
    deadline = time.monotonic() + START_SECONDS
    while not (await channel.queue_declare(one.source, passive=True)).consumer_count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{one.name} does not consume")
        await asyncio.sleep(0.05)


def latency_table(taken: dict[str, list[float]], pace: Pace) -> Table:
    """The latency section."""
    rows = [
        (
            way,
            f"{statistics.median(times):.2f}",
            f"{statistics.quantiles(times, n=20, method='inclusive')[-1]:.2f}",
            f"{min(times):.2f} to {max(times):.2f}",
        )
        for way, times in taken.items()
    ]
    notes = (
        f"From the producer's publish to the processor's consumer: {pace.samples} payments a row, the rows",
        f"in turn, one payment a row each {pace.interval_seconds:g} s.",
    )
    columns = ("what", "median ms", "95th of 100", "lowest to highest")
    return Table(columns, rows, "Latency, one payment at a time", notes=notes)


def main(arguments: list[str]) -> None:
    """Run it and write the tables."""
    parser = options_of_rounds(__doc__)
    parser.add_argument("--no-latency", action="store_true", help="throughput alone")
    parser.add_argument("--only", default="", help="only who has this in the name; no results are written")
    options = parser.parse_args(arguments)
    pace = QUICK if options.quick else FULL
    pace = replace(pace, rounds=options.rounds or pace.rounds)
    latency: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as built, LocalBroker() as broker:
        folder = Path(built)
        place = Place.of(broker)
        everyone = uvloop.run(measure_throughput(broker, folder, pace, options.only))
        if options.only:
            return
        if not options.no_latency:
            latency = asyncio.run(measure_latency(broker, folder, pace))
    tables = [table(everyone, everyone[0].name)]
    if latency:
        tables.append(latency_table(latency, pace))
    result = Result(
        name="data_plane",
        title="The data plane, one process",
        command=" ".join(["python -m benchmarks.data_plane", *arguments]),
        place=place,
        notes=[
            "One private RabbitMQ node on the same cores, quorum queues, persistent messages of",
            f"{MESSAGE_BYTES} bytes, confirms and mandatory on, prefetch {PREFETCH}; {pace.count:,} messages",
            f"a round, a part of them for who is slow, {pace.rounds} rounds, interleaved. The tap relay is",
            "the worker's tap lane and nothing else; the worker validates, routes by 20 rules to 5",
            "processors, charges fees and traces (unsampled).",
        ],
        tables=tables,
        rows={"throughput": rows(everyone), "latency_ms": latency},
    )
    result.write(quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
