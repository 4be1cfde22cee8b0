"""How long one routing decision takes as rule tables grow, beside other rule engines with the same rules.

``python -m benchmarks.routing [--quick]``. Every engine gets the same rules and payments (``engines/``); all
run in one process, in turn, several rounds, medians shown. "Cold" forgets every shape before each payment,
which no running worker does.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.engines.contestants import Engine, as_payment, cel, ours, rule_engine, zen_engine
from benchmarks.engines.rule_set import LAST, make_payments, make_rules
from schemas.payment import Payment
from worker.routing import RuleTable

RESULTS = Path(__file__).parent / "results"
NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)
SIZES = (10, 100, 1_000, 10_000)
PEER_SIZE = 1_000


def per_call(call: Callable[[], object], calls: int) -> float:
    """Return microseconds a call, of one timing of so many calls."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls * 1e6


def stream(table: RuleTable, payments: Sequence[Payment], *, cold: bool) -> float:
    """Return the median microseconds of a decision: over chunks of the stream, or cold ones."""
    route, clear = table.route, table.index.forget
    times = []
    if cold:
        for payment in payments:
            clear()
            start = time.perf_counter()
            route(payment, NOW)
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1e6
    for first in range(0, len(payments), 100):
        chunk = payments[first : first + 100]
        start = time.perf_counter()
        for payment in chunk:
            route(payment, NOW)
        times.append((time.perf_counter() - start) / len(chunk))
    return statistics.median(times) * 1e6


def growth(rounds: int, count: int) -> list[dict[str, float]]:
    """Measure our table at every size: compile, warm stream, cold stream, the last rule matching."""
    tables: dict[int, RuleTable] = {}
    streams: dict[int, list[Payment]] = {}
    samples: dict[int, dict[str, list[float]]] = {}
    for size in SIZES:
        rules = make_rules(size)
        streams[size] = [as_payment(raw) for raw in make_payments(count, rules)]
        entry = samples[size] = {"compile_seconds": [], "stream_us": [], "cold_us": [], "last_us": []}
        for _ in range(min(rounds, 3)):
            start = time.perf_counter()
            tables[size] = ours(rules)
            entry["compile_seconds"].append(time.perf_counter() - start)
        entry["cold_us"].append(stream(tables[size], streams[size][:2_000], cold=True))
        stream(tables[size], [as_payment(raw) for raw in make_payments(count, rules, seed=13)], cold=False)
    last = as_payment(LAST)
    for _ in range(rounds):
        for size, table in tables.items():
            samples[size]["stream_us"].append(stream(table, streams[size], cold=False))
            samples[size]["last_us"].append(per_call(partial(table.route, last, NOW), 20_000))
    return [
        {"rules": size, **{figure: statistics.median(values) for figure, values in entry.items()}}
        for size, entry in samples.items()
    ]


def drain(decide: Engine, payments: Sequence[dict[str, Any]]) -> None:
    for payment in payments:
        decide(payment)


def peers(rounds: int) -> dict[str, dict[str, float]]:
    """Measure every engine on the same 1,000 rules: the last rule matching, and a stream of payments."""
    rules = make_rules(PEER_SIZE)
    raws = make_payments(300, rules)
    table = ours(rules)
    engines = {"rule-engine": rule_engine(rules), "zen-engine": zen_engine(rules), "CEL (Rust)": cel(rules)}
    parsed, last = [as_payment(raw) for raw in raws], as_payment(LAST)
    for raw, payment in zip(raws[:100], parsed, strict=False):
        answer = table.route(payment, NOW).rule
        for name, decide in engines.items():
            found = decide(raw) or "default"
            if found != answer:
                raise SystemExit(
                    f"{name} says {found} for {raw}, ours says {answer}: the rules are not the same"
                )
    samples: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        entry = samples.setdefault("ours", {"last_us": [], "stream_us": []})
        entry["last_us"].append(per_call(partial(table.route, last, NOW), 20_000))
        entry["stream_us"].append(
            per_call(lambda: [table.route(one, NOW) for one in parsed], 50) / len(parsed)
        )
        for name, decide in engines.items():
            entry = samples.setdefault(name, {"last_us": [], "stream_us": []})
            entry["last_us"].append(per_call(partial(decide, LAST), 30))
            entry["stream_us"].append(per_call(partial(drain, decide, raws[:100]), 1) / 100)
    return {
        name: {figure: statistics.median(values) for figure, values in entry.items()}
        for name, entry in samples.items()
    }


def report(sizes: Sequence[dict[str, float]], engines: dict[str, dict[str, float]]) -> str:
    """Return the tables as Markdown."""
    lines = [
        "| rules | compile | a payment, running | a payment, cold | the last rule matches |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['rules']:,} | {row['compile_seconds']:.3f} s "
        + "| {stream_us:.2f} us | {cold_us:.1f} us | {last_us:.2f} us |".format(**row)
        for row in sizes
    ]
    first, final = sizes[0], sizes[-1]
    stream_growth, last_growth = (final[key] / first[key] for key in ("stream_us", "last_us"))
    lines += [
        "",
        f"10,000 rules against 10: {stream_growth:.2f} times the time, {last_growth:.2f} for the last rule.",
        "",
        f"| {PEER_SIZE:,} rules | the last matches | times ours | a stream of payments | times ours |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    mine = engines["ours"]
    lines += [
        "| {} | {:,.1f} us | {:,.0f} | {:,.1f} us | {:,.0f} |".format(
            name,
            entry["last_us"],
            entry["last_us"] / mine["last_us"],
            entry["stream_us"],
            entry["stream_us"] / mine["stream_us"],
        )
        for name, entry in engines.items()
    ]
    machine = f"CPython {platform.python_version()}, {platform.machine()}"
    return "\n".join([*lines, "", f"{machine}; medians, one run.", ""])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a look")
    options = parser.parse_args(arguments)
    rounds, count = (2, 2_000) if options.quick else (7, 20_000)
    sizes = growth(rounds, count)
    engines = peers(rounds)
    text = report(sizes, engines)
    print(text)
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "routing.md").write_text(text, encoding="utf-8")
        figures = {"sizes": sizes, "engines": engines}
        (RESULTS / "routing.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ModuleNotFoundError as missing:
        sys.exit(f"the benchmark needs {missing.name}, which `make bench` installs with the other rivals")
