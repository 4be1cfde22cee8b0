"""How long does a payment take from the producer to its processor's queue, at 20, 50 and 80 % of capacity?

Usage: python -m benchmarks.latency [--quick] [--rounds N] [--only TEXT]

Open loop: payments fall due by a schedule made in advance, and each one's latency counts from then, so that
a stall shows in every payment it holds up (no coordinated omission).
"""

import argparse
import gc
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from benchmarks import line_up
from benchmarks.open_loop.field import Field
from benchmarks.open_loop.loads import Entrant, Load, named, peers_of, percentiles, plan
from benchmarks.open_loop.report import compared, draw, tables
from benchmarks.open_loop.traffic import Traffic
from benchmarks.results import Place, Result
from benchmarks.rule_files import everything_on, payments
from worker.local_broker import LocalBroker

WINDOW: Final = 2 * line_up.PREFETCH
"""Payments under way while a capacity is measured: one prefetch at work, and one waiting."""
FIRST_SHARE: Final = 0.2
FEWEST_SAMPLES: Final = 20
"""Of a load of one that is very slow, which then takes longer."""
PEER_TRIAL: Final = 2000
"""Payments with which each of a peer's settings is tried."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is measured: rounds, and the seconds of a load, of a capacity and of their warm-ups."""

    rounds: int
    load_seconds: float
    capacity_rounds: int
    capacity_seconds: float
    warm_up_seconds: float


FULL = Pace(rounds=3, load_seconds=3.0, capacity_rounds=2, capacity_seconds=2.0, warm_up_seconds=1.0)
QUICK = Pace(rounds=1, load_seconds=0.7, capacity_rounds=1, capacity_seconds=0.7, warm_up_seconds=0.3)


async def measure(broker: LocalBroker, folder: Path, pace: Pace, only: str, *, quick: bool) -> list[Entrant]:
    """Measure every capacity, then every load, the contestants in turn each round."""
    contestants = [
        *await line_up.relays(broker, folder),
        await line_up.worker(broker, everything_on(folder), line_up.new_sqlite_journals(folder)),
        *await line_up.peers(broker, payments(PEER_TRIAL), quick=quick),
    ]
    entrants = [Entrant(one) for one in contestants if only in one.name]
    if not entrants:
        raise SystemExit(f"--only {only!r} names nobody: {'; '.join(one.name for one in contestants)}")
    field = Field(broker.url)
    gc.collect()
    gc.freeze()
    gc.disable()  # a pause of ours would be a latency of theirs
    for number in range(1, pace.capacity_rounds + 1):
        for one in entrants:
            async with field.under_way(one.contestant) as (traffic, _):
                rate = await traffic.saturated(pace.capacity_seconds, pace.warm_up_seconds, WINDOW)
            one.capacities.append(rate)
            print(f"capacity {number} of {pace.capacity_rounds}: {one.name}: {rate:,.0f}/s", flush=True)
    worker = named(entrants, line_up.WORKER) or entrants[-1]
    plan(entrants, worker, named(entrants, line_up.AIORMQ_RELAY) or entrants[0], peers_of(entrants))
    for number in range(1, pace.rounds + 1):
        for one in entrants:
            async with field.under_way(one.contestant) as (traffic, _):
                await traffic.paced(FIRST_SHARE * one.capacity, pace.warm_up_seconds, 0.0)
                for load in one.loads:
                    await _take(load, traffic, pace)
            found = ", ".join(f"{load.label} p99 {load.rounds[-1][99.0]:.1f} ms" for load in one.loads)
            print(f"round {number} of {pace.rounds}: {one.name}: {found}", flush=True)
            gc.collect()
    return entrants


async def _take(load: Load, traffic: Traffic, pace: Pace) -> None:
    seconds = max(pace.load_seconds, FEWEST_SAMPLES / load.rate)
    latencies = await traffic.paced(load.rate, seconds, pace.warm_up_seconds)
    load.rounds.append(percentiles(latencies))
    load.samples += len(latencies)


def conditions(pace: Pace) -> list[str]:
    """Return what to know about the figures."""
    return [
        f"Open loop: {pace.load_seconds:g} s a load after {pace.warm_up_seconds:g} s of warm-up.",
        f"{pace.rounds} rounds interleaved, medians of their percentiles.",
        f"{len(payments(1)[0])} bytes a message, quorum queues, persistent, confirms and mandatory on.",
        "Payments fall due each millisecond, and a latency counts from when its payment was due.",
        f"A capacity is what arrives while {WINDOW:,} payments are kept under way.",
        "Producer and consumer are one process, which shares the machine with broker and contestant.",
        "A p99.9 of fewer than 1,000 payments a round is the round's slowest.",
    ]


def main(arguments: list[str]) -> None:
    """Run it and write the tables."""
    parser = argparse.ArgumentParser("python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short round; no results are kept")
    parser.add_argument("--rounds", type=int, help="rounds of each load")
    parser.add_argument("--only", default="", help="only who has this in the name; no results are kept")
    options = parser.parse_args(arguments)
    pace = QUICK if options.quick else FULL
    if options.rounds:
        pace = replace(pace, rounds=options.rounds)
    with tempfile.TemporaryDirectory() as built, LocalBroker() as broker:
        place = Place.of(broker)
        entrants = uvloop.run(measure(broker, Path(built), pace, options.only, quick=options.quick))
    summary, found = compared(entrants)
    result = Result(
        name="latency",
        title="Latency from the producer to a processor's queue",
        command=" ".join(("python -m benchmarks.latency", *arguments)),
        place=place,
        notes=[*conditions(pace), *found],
        tables=tables(entrants),
        rows=[one.as_json() for one in entrants],
        summary=summary,
        chart=partial(draw, entrants),
    )
    result.write(quick=options.quick or bool(options.only))


if __name__ == "__main__":
    main(sys.argv[1:])
