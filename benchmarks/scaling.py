"""What does a worker's speed depend on? One thing varied at a time, from the worker with everything on.

Processes and shards, rules, failing payments, tracing, the journal, the size of messages, messages in flight.

Usage: python -m benchmarks.scaling [--quick] [--rounds N] [--only DIMENSION ...]
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.charts import Bars, Lines, Panel, draw
from benchmarks.dimensions.rig import Measured, Rig, open_rig
from benchmarks.dimensions.variants import DIMENSIONS, SPANS_A_PAYMENT, Dimension, Variant
from benchmarks.line_up import PREFETCH
from benchmarks.results import Place, Result, Table, shown, spread
from benchmarks.rule_files import MESSAGE_BYTES

MESSAGES = 40_000
QUICK_MESSAGES = 6_000
ROUNDS = 5
QUICK_ROUNDS = 1
FULL = 0.1
"""A machine of which no larger part is idle is full."""
FOREIGN_CORES = 0.5
"""So many cores at least are taken by something else when what is measured is not what holds."""

Found = Mapping[str, Sequence[Measured]]
"""The measured variants of each dimension, by its name."""


async def measure(wanted: Sequence[Dimension], messages: int, rounds: int) -> tuple[Found, Place]:
    """Measure every dimension; within one, the variants take turns."""
    postgresql = any(variant.journal == "postgresql" for one in wanted for variant in one.variants)
    async with open_rig(postgresql=postgresql) as rig:
        place = Place.of(rig.broker)
        return {one.name: await take_turns(rig, one, messages, rounds) for one in wanted}, place


async def take_turns(rig: Rig, dimension: Dimension, messages: int, rounds: int) -> Sequence[Measured]:
    """Interleave the rounds of one dimension's variants."""
    everyone = [Measured(variant) for variant in dimension.variants if rig.can_run(variant)]
    count = int(rounds * dimension.rounds)
    for number in range(1, count + 1):
        for one in everyone:
            one.rounds.append(await rig.run(one.variant, messages))
            rate, cores = one.rounds[-1].messages_per_second, one.rounds[-1].cores
            busy = ", ".join(f"{who} {share:.2f}" for who, share in cores.items() if share >= 0.01)
            print(
                f"{dimension.name}, round {number} of {count}: {one.variant.name}: {rate:,.0f}/s; {busy}",
                flush=True,
            )
    return everyone


def table(dimension: Dimension, everyone: Sequence[Measured]) -> Table:
    """One dimension's table; the ratio is to its first variant that is a worker."""
    base = next(one for one in everyone if not one.variant.relay)
    rows = [
        (
            one.variant.name,
            shown(one.median),
            spread(one.rates),
            f"{one.median / base.median:.2f}",
            f"{1e6 * one.busy('worker') / one.median:.0f}",
            f"{1e6 * one.busy('broker') / one.median:.0f}",
            f"{one.busy('worker'):.2f}",
            f"{one.busy('broker'):.2f}",
            f"{one.busy('database') + one.busy('collector'):.2f}",
            f"{one.busy('idle'):.2f}",
            f"{max(each.rss_mb for each in one.rounds):.0f}",
        )
        for one in everyone
    ]
    columns = (
        "what", "messages/s, median", "lowest to highest", "ratio", "worker's CPU us a message", "broker's",
        "worker's cores", "broker's", "database's, collector's", "idle", "RSS MB a process",
    )  # fmt: skip
    notes = [dimension.note] if dimension.note else []
    return Table(columns, rows, dimension.title, notes=notes)


def exported(everyone: Sequence[Measured], messages: int) -> str:
    """Say which part of the sampled spans has reached the collector."""
    parts = []
    for one in everyone:
        if one.variant.sampled:
            made = SPANS_A_PAYMENT * one.variant.sampled * len(one.variant.bodies(messages))
            share = sum(each.spans for each in one.rounds) / len(one.rounds) / made
            parts.append(f"{100 * share:.0f} % of the spans of {one.variant.name}")
    return f"The collector got {', '.join(parts)}." if parts else ""


def what_holds(everyone: Sequence[Measured], cores: int) -> str:
    """Say what is busy when two processes work on one queue, and what the cores allow at most."""
    two = _of(everyone, lambda v: (v.processes, v.shards) == (2, 1))
    worker, broker, idle = (two.busy(who) for who in ("worker", "broker", "idle"))
    others = max(0.0, cores - worker - broker - idle)
    each = 1e6 * (worker + broker) / two.median
    if others > FOREIGN_CORES:
        verdict = "other programs took the cores: measure again on a quiet machine"
    elif idle < FULL * cores:
        verdict = "the machine is full, and more processes have nothing to run on"
    else:
        verdict = "the cores are not what holds, but the queue or the disk"
    return (
        f"With two processes on one queue, of {cores} cores the worker keeps {worker:.2f} busy, the broker"
        f" {broker:.2f}, this benchmark and all else {others:.2f}; {idle:.2f} are idle: {verdict}. A payment"
        f" costs worker and broker {each:.0f} us of CPU time, so that {cores} cores have room for"
        f" {shown(1e6 * cores / each)} payments/s, whatever the number of processes."
    )


def summary(found: Found) -> Iterator[tuple[str, float]]:
    """The figures for ``summary.json``: ratios of medians; a cost is what is lost, as a fraction."""
    if (everyone := found.get("processes")) is not None:
        one, two = (_of(everyone, lambda v, n=n: (v.processes, v.shards) == (n, 1)) for n in (1, 2))
        yield "processes.2_vs_1", two.median / one.median
    if (everyone := found.get("rules")) is not None:
        few, many = (_of(everyone, lambda v, n=n: v.rules == n) for n in (10, 10_000))
        yield "rules.cost_10000_vs_10", 1 - many.median / few.median
    if (everyone := found.get("failing")) is not None:
        none, some = (_of(everyone, lambda v, n=n: v.failing == n) for n in (0.0, 0.01))
        yield "failing.cost_1_percent", 1 - some.median / none.median
    if (everyone := found.get("tracing")) is not None:
        off, unsampled, percent, full = (
            _of(everyone, lambda v, n=n: v.sampled == n) for n in (None, 0.0, 0.01, 1.0)
        )
        yield "tracing.unsampled_cost", 1 - unsampled.median / off.median
        yield "tracing.one_percent_cost", 1 - percent.median / off.median
        yield "tracing.full_payments_per_second", full.median
    if (everyone := found.get("journal")) is not None:
        none, sqlite, postgresql = (
            _of(everyone, lambda v, n=n: v.journal == n) for n in ("none", "sqlite", "postgresql")
        )
        yield "journal.sqlite_cost", 1 - sqlite.median / none.median
        yield "journal.postgresql_cost", 1 - postgresql.median / none.median


def _of(everyone: Sequence[Measured], is_it: Callable[[Variant], bool]) -> Measured:
    return next(one for one in everyone if not one.variant.relay and is_it(one.variant))


def panels(wanted: Sequence[Dimension], found: Found) -> Iterator[Panel]:
    """A panel a dimension: a line where the variants stand on an axis with a label, bars elsewhere."""
    for dimension in wanted:
        everyone, title = found[dimension.name], dimension.title
        if dimension.x_label:
            points = [(one.variant.x or 0.0, one.median) for one in everyone]
            ranges = [(min(one.rates), max(one.rates)) for one in everyone]
            yield Lines(
                title,
                dimension.x_label,
                "payments/s",
                {"worker": points},
                log_x=True,
                spreads={"worker": ranges},
            )
        else:
            rates = {one.variant.name: one.rates for one in everyone}
            ours = [one.variant.name for one in everyone if not one.variant.relay]
            yield Bars(title, "payments/s", rates, ours)


def as_rows(found: Found) -> dict[str, object]:
    """Everything measured, for the JSON."""
    return {
        name: [
            {
                "variant": one.variant.name,
                "rounds": [
                    {
                        "messages_per_second": each.messages_per_second,
                        "cores": dict(each.cores),
                        "rss_mb": each.rss_mb,
                        "spans": each.spans,
                    }
                    for each in one.rounds
                ],
            }
            for one in everyone
        ]
        for name, everyone in found.items()
    }


def result(wanted: Sequence[Dimension], found: Found, place: Place, messages: int, command: str) -> Result:
    """Put everything together."""
    tables = []
    for dimension in wanted:
        one = table(dimension, found[dimension.name])
        extra = []
        if dimension.name == "tracing":
            extra = [exported(found["tracing"], messages)]
        elif dimension.name == "processes":
            extra = [what_holds(found["processes"], int(place.facts["cores"]))]
        tables.append(Table(one.columns, one.rows, one.title, notes=[*one.notes, *extra]))
    notes = [
        "One private RabbitMQ node on the same cores as worker and benchmark; quorum queues, persistent",
        f"messages of {MESSAGE_BYTES} bytes, confirms and mandatory on. Where nothing else is said: one",
        f"process, journal in SQLite, 20 rules, 5 processors, fees, no tracing, {PREFETCH:,} deliveries in",
        f"flight, up to {messages:,} messages a round. Within a table the rounds take turns; ratios are of",
        "medians to the first worker's. Cores are how many were busy on average.",
    ]
    drawn = list(panels(wanted, found))
    return Result(
        "scaling",
        "What a worker's speed depends on",
        command,
        place,
        notes,
        tables,
        as_rows(found),
        dict(summary(found)),
        lambda path: draw(path, drawn, columns=min(2, len(drawn))),
    )


def main(arguments: list[str]) -> None:
    """Run it and write the tables."""
    names = [dimension.name for dimension in DIMENSIONS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few messages, one round; no results are kept")
    parser.add_argument("--rounds", type=int, help=f"rounds of each variant, default {ROUNDS}")
    parser.add_argument("--messages", type=int, help=f"messages a round, default {MESSAGES:,}")
    parser.add_argument("--only", nargs="+", choices=names, help="only these dimensions; no results are kept")
    options = parser.parse_args(arguments)
    wanted = [one for one in DIMENSIONS if not options.only or one.name in options.only]
    messages = options.messages or (QUICK_MESSAGES if options.quick else MESSAGES)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    found, place = asyncio.run(measure(wanted, messages, rounds))
    command = " ".join(["python -m benchmarks.scaling", *arguments])
    result(wanted, found, place, messages, command).write(quick=options.quick or bool(options.only))


if __name__ == "__main__":
    main(sys.argv[1:])
