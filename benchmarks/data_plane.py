"""What does the data plane cost? Relays without work and the worker, on the tap and on aiormq; and latency.

Usage: python -m benchmarks.data_plane [--quick] [--no-latency] [--only TEXT]
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage

from benchmarks.harness import (
    Contestant,
    declare,
    fsync_ms,
    machine,
    results_folder,
    run_round,
    write_results,
)
from benchmarks.throughput import HERE, PREFETCH, RULES, build_c_relay, routable
from worker.local_broker import LocalBroker
from worker.rules_file import load_rules
from worker.session import prepare_topology
from worker.settings import load_settings

LANES = ("tap", "standard")
LANE_VARIABLE = "PAYMENT_WORKER_LANE"
C_RELAY = "C relay, no work"
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


def worker_command(url: str, prefix: str) -> list[str]:
    """The real command, one process; its environment names the lane."""
    options = {
        "--amqp-url": url,
        "--rules": str(RULES),
        "--prefetch": str(PREFETCH),
        "--prefix": prefix,
        "--journal": "none",
    }
    return [sys.executable, "-m", "worker", "run", *(word for option in options.items() for word in option)]


async def prepare(url: str, prefix: str) -> list[str]:
    """Declare a worker's topology; give the processors' inboxes."""
    settings = load_settings(amqp_url=url, rules=(RULES,), prefetch=PREFETCH, prefix=prefix)
    table = load_rules(settings.rules)
    await prepare_topology(settings, table)
    return [f"{processor.exchange}.inbox" for processor in table.processors.values()]


async def contestants(url: str, port: int, c_relay: Path | None, count: int) -> list[Contestant]:
    """Everyone who moves messages, each from a queue that holds ``count`` of them."""
    arguments = ["bench.in", "bench.out", str(count), str(PREFETCH)]
    relays = {}
    if c_relay is not None:
        relays[C_RELAY] = [str(c_relay), str(port), *arguments]
    for name, script in (("tap relay, no work", "tap_relay"), ("bare aiormq relay, no work", "aiormq_relay")):
        program = [str(HERE / f"relays/{script}.py")]
        relays[name] = [sys.executable, *program, url, *arguments]
    found = [
        Contestant(name, partial(list, command), "bench.in", ["bench.out"])
        for name, command in relays.items()
    ]
    for lane in LANES:
        prefix = f"bench-{lane}"
        inboxes = await prepare(url, prefix)
        command = worker_command(url, prefix)
        found.append(
            Contestant(
                f"payment-worker on the {lane} lane",
                partial(list, command),
                f"{prefix}.incoming",
                inboxes,
                {LANE_VARIABLE: lane},
            )
        )
    return found


async def measure_throughput(
    url: str, port: int, c_relay: Path | None, pace: Pace, only: str
) -> list[Contestant]:
    """Interleave the rounds of the contestants whose names have ``only`` in them."""
    connection = await aiormq.connect(url)
    for name in ("bench.in", "bench.out"):
        await declare(connection, name, name)
    known = await contestants(url, port, c_relay, pace.count)
    everyone = [one for one in known if only in one.name]
    if not everyone:
        raise SystemExit(f"--only {only!r} names nobody; there are: {'; '.join(one.name for one in known)}")
    bodies = routable(pace.count)
    for number in range(1, pace.rounds + 1):
        for one in everyone:
            one.rounds.append(await run_round(connection, one, bodies))
            rate, cpu = one.rounds[-1].messages_per_second, one.rounds[-1].cpu_us_per_message
            print(f"round {number} of {pace.rounds}: {one.name}: {rate:,.0f}/s, {cpu:.1f} us CPU")
    await connection.close()
    return everyone


async def measure_latency(url: str, pace: Pace) -> dict[str, list[float]]:
    """Milliseconds from a producer's publish to a processor's consumer, one payment at a time, lanes in turn.

    Both workers run all the while, each with an incoming queue of its own. The first row has no worker: it is
    what the broker and the two clients of this measurement cost.
    """
    arrivals: asyncio.Queue[float] = asyncio.Queue()

    async def arrived(_message: DeliveredMessage) -> None:
        arrivals.put_nowait(time.perf_counter())

    connection = await aiormq.connect(url)
    await declare(connection, "bench.out", "bench.out")
    producer = await connection.channel(publisher_confirms=True)
    consumer = await (await aiormq.connect(url)).channel()
    ways = {"no worker: one exchange, one queue": "bench.out"}
    async with AsyncExitStack() as stack:
        inboxes = {"bench.out"}
        for lane in LANES:
            prefix = f"late-{lane}"
            inboxes |= set(await prepare(url, prefix))
            await stack.enter_async_context(running(producer, url, lane, prefix))
            ways[f"payment-worker on the {lane} lane"] = prefix
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
    bodies = iter(routable((pace.samples + warm_up) * len(ways)))
    for number in range(pace.samples + warm_up):
        for way, exchange in ways.items():
            started = time.perf_counter()
            await producer.basic_publish(next(bodies), exchange=exchange, routing_key="card.eur")
            seconds = await asyncio.wait_for(arrivals.get(), ARRIVE_SECONDS) - started
            if number >= warm_up:
                taken[way].append(1e3 * seconds)
            await asyncio.sleep(pace.interval_seconds / len(ways))
    return taken


@asynccontextmanager
async def running(channel: AbstractChannel, url: str, lane: str, prefix: str) -> AsyncIterator[None]:
    """Run a worker for the block; it begins once the worker consumes."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it starts once
        worker_command(url, prefix),
        env={**os.environ, LANE_VARIABLE: lane},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (await channel.queue_declare(f"{prefix}.incoming", passive=True)).consumer_count:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"the worker of {prefix} does not consume")
            await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


def latency_table(taken: dict[str, list[float]], pace: Pace) -> str:
    """The latency section, in Markdown."""
    head = "| what | median ms | 95th of 100 | lowest to highest |"
    lines = [
        "## Latency, one payment at a time",
        "",
        f"From the producer's publish to the processor's consumer: {pace.samples} payments a row, the rows",
        f"in turn, one payment a row each {pace.interval_seconds:g} s.",
        "",
        head,
        "| --- | ---: | ---: | ---: |",
    ]
    for way, times in taken.items():
        median, high = statistics.median(times), statistics.quantiles(times, n=20, method="inclusive")[-1]
        lines.append(f"| {way} | {median:.2f} | {high:.2f} | {min(times):.2f} to {max(times):.2f} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Run it and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few messages, two rounds; no results are kept")
    parser.add_argument("--no-latency", action="store_true", help="throughput alone")
    parser.add_argument("--only", default="", help="only who has this in the name; no results are written")
    options = parser.parse_args(arguments)
    pace = QUICK if options.quick else FULL
    latency: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as built, LocalBroker() as broker:
        c_relay = build_c_relay(Path(built))
        if c_relay is None:
            print("no C relay: it needs cc and librabbitmq (Debian: apt-get install gcc librabbitmq-dev)")
        fsync = fsync_ms(broker.folder)
        everyone = asyncio.run(measure_throughput(broker.url, broker.port, c_relay, pace, options.only))
        if options.only:
            return
        if not options.no_latency:
            latency = asyncio.run(measure_latency(broker.url, pace))
    size = sum(map(len, routable(1000))) / 1000
    flag = " --quick" if options.quick else ""
    notes = [
        f"{machine()}; fsync of the broker's disk {fsync:.2f} ms. One private RabbitMQ node on the same",
        f"cores, quorum queues, persistent messages of {size:.0f} bytes, confirms and mandatory on, prefetch",
        f"{PREFETCH}, {pace.count:,} messages a round, {pace.rounds} rounds, contestants interleaved.",
        "The tap relay is the worker's tap lane and nothing else; the worker validates, routes by",
        "`routing_rules/default.yaml`, charges fees and traces (unsampled). Ratios are to the first row.",
        f"`python -m benchmarks.data_plane{flag}`",
    ]
    path = results_folder(options.quick) / "data_plane"
    text = write_results(path, "The data plane, one process", notes, everyone, everyone[0].name)
    if latency:
        text += "\n" + latency_table(latency, pace)
        path.with_suffix(".md").write_text(text)
        data = json.loads(path.with_suffix(".json").read_text())
        data["latency_ms"] = latency
        path.with_suffix(".json").write_text(json.dumps(data, indent=2) + "\n")
    print(text)
    print(f"written to {path.parent}")


if __name__ == "__main__":
    main(sys.argv[1:])
