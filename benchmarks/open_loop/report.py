"""Latencies for people: the tables, the figures of the summary and what they compare, and the chart."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks import charts, line_up
from benchmarks.open_loop.loads import HALF, SHARES, Entrant, fastest, named, peers_of, same_rate
from benchmarks.results import Table, shown, spread


def tables(entrants: Sequence[Entrant]) -> list[Table]:
    """Capacities and latencies."""
    columns = ("what", "load", "payments/s", "p50 ms", "p90 ms", "p99 ms", "lowest to highest", "p99.9 ms")
    rows = [
        (
            one.name,
            load.label if load.share in SHARES else f"{load.label} ({load.share:.0%})",
            f"{load.rate:,.0f}",
            shown(load.median(50.0)),
            shown(load.median(90.0)),
            shown(load.median(99.0)),
            spread(load.of(99.0)),
            shown(load.median(99.9)),
        )
        for one in entrants
        for load in one.loads
    ]
    capacities = [(one.name, f"{one.capacity:,.0f}", spread(one.capacities)) for one in entrants]
    return [
        Table(columns, rows, title="Latency", texts=2),
        Table(
            ("what", "payments/s, median", "lowest to highest"),
            capacities,
            title="Capacity beside the producer and the consumer",
        ),
    ]


def compared(entrants: Sequence[Entrant]) -> tuple[dict[str, float], list[str]]:
    """Return the figures of the summary, and notes that say what they compare."""
    worker, relay = named(entrants, line_up.WORKER), named(entrants, line_up.AIORMQ_RELAY)
    if worker is None or relay is None:
        return {}, []
    half = worker.at_share(HALF)
    pairs = same_rate(worker, relay)
    ratios = [ours.median(99.0) / theirs.median(99.0) for ours, theirs in pairs]
    summary = {"latency.p99_ms": half.median(99.0), "latency.p99_vs_relay": max(ratios)}
    said = "; ".join(
        f"at {ours.rate:,.0f}/s {ours.median(99.0):.1f} ms to {theirs.median(99.0):.1f} ms, {ratio:.2f}"
        for (ours, theirs), ratio in zip(pairs, ratios, strict=True)
    )
    notes = [f"The worker's p99 to the bare aiormq relay's: {said}."]
    if relay.at_rate(half.rate) is None:
        notes.append(
            f"The bare relay does not take the worker's half load, {half.rate:,.0f}/s: the two are compared"
            " at the relay's own 50 % and 80 %, and `latency.p99_vs_relay` is the worse of the two ratios."
        )
    tap = named(entrants, line_up.TAP_RELAY)
    if tap is not None and (there := tap.at_rate(half.rate)) is not None:
        ratio = half.median(99.0) / there.median(99.0)
        notes.append(f"At the worker's half load its p99 is {ratio:.2f} times the tap relay's.")
    if peers := peers_of(entrants):
        best = min(peers, key=lambda one: one.at_share(HALF).median(99.0))
        summary["latency.p99_vs_best_peer"] = half.median(99.0) / best.at_share(HALF).median(99.0)
        quick, theirs = fastest(peers), fastest(peers).at_share(HALF)
        if (ours := worker.at_rate(theirs.rate)) is not None:
            notes.append(
                f"At the half load of the fastest peer, {theirs.rate:,.0f}/s, the worker's p99 is"
                f" {ours.median(99.0):.1f} ms, and that of {quick.name} {theirs.median(99.0):.1f} ms."
            )
        notes.append(
            f"`latency.p99_vs_best_peer` is to the best peer at its own half load: {best.name},"
            f" {best.at_share(HALF).median(99.0):.1f} ms at {best.at_share(HALF).rate:,.0f}/s."
        )
    return summary, notes


def draw(entrants: Sequence[Entrant], path: Path) -> None:
    """Draw p99 over the share of capacity, and the percentiles at half load."""
    p99 = {one.name: [(100 * s, one.at_share(s).median(99.0)) for s in SHARES] for one in entrants}
    spreads = {
        one.name: [(min(one.at_share(s).of(99.0)), max(one.at_share(s).of(99.0))) for s in SHARES]
        for one in entrants
        if one.name == line_up.WORKER
    }
    curves = {
        one.name: [
            (n, one.at_share(HALF).median(p)) for n, p in ((2, 50.0), (10, 90.0), (100, 99.0), (1000, 99.9))
        ]
        for one in entrants
    }
    ours = [line_up.WORKER]
    by_load = charts.Lines(
        "p99 by load",
        "load, % of own capacity",
        "ms",
        p99,
        log_y=True,
        spreads=spreads,
        ours=ours,
        legend=False,
    )
    by_share = charts.Lines(
        "Half load: one payment in N is slower", "N", "ms", curves, log_x=True, log_y=True, ours=ours
    )
    charts.draw(path, [by_load, by_share], columns=2)
