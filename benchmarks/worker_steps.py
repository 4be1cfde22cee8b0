"""Where do the worker's microseconds go, beside the lane's? Each step alone, without a socket.

Usage: python -m benchmarks.worker_steps [--quick]
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import RESULTS, machine
from benchmarks.rule_files import everything_on, payments
from worker.amqp.lane import Outgoing, Properties
from worker.codec import Decoded, decode
from worker.envelope import Envelopes, read_arrival
from worker.journal.address import SqliteFile
from worker.journal.fingerprint import Fingerprints
from worker.journal.opening import open_journal, prepare_journal
from worker.journal.protocol import Ending, Intent, Journal
from worker.journal.states import State
from worker.planning import Dispatch, Plan, Planner
from worker.rules_file import load_rules
from worker.telemetry.tracing import PassingTracer

COUNT = 4_000
BATCH = 200
MAX_BYTES = 1 << 20
QUEUE = "payments.incoming"


@dataclass(frozen=True, slots=True)
class Arrived:
    """A delivery as a lane gives it."""

    body: bytes
    tag: int = 1
    exchange: str = "payments"
    routing_key: str = "card.eur"
    redelivered: bool = False
    properties: Properties = field(
        default_factory=lambda: Properties(content_type="application/json", delivery_mode=2)
    )


class Steps:
    """Every step on its own; each takes what the one before has made."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        with tempfile.TemporaryDirectory() as folder:
            self.planner = Planner(load_rules((everything_on(Path(folder)),)))
        self.deliveries = [Arrived(body) for body in payments(COUNT)]
        self.decoded: list[Decoded] = []
        self.plans: list[Plan] = []
        self.dispatches: list[Dispatch] = []
        self.intents: list[Intent] = []
        self.tracer = PassingTracer()
        self.fingerprints = Fingerprints(b"a key")
        ids = itertools.count()
        self.envelopes = Envelopes(lambda: f"0123456789abcdef-{next(ids)}", "payments.dead", QUEUE)

    def receive(self) -> None:
        """Read a delivery's past, and begin its trace."""
        for delivery in self.deliveries:
            read_arrival(delivery, delivery.properties, "payments.return")
            self.tracer.receive(delivery.properties.headers, dict)

    def decode(self) -> None:
        """Parse the JSON, refuse duplicate keys, validate by pydantic."""
        self.decoded = [decode(one.body, "application/json", None, MAX_BYTES) for one in self.deliveries]

    def plan(self) -> None:
        """Amount, rules, fees, split."""
        self.plans = [self.planner.plan(one, self.now) for one in self.decoded]

    def dispatch(self) -> None:
        """Dispatch id and body."""
        self.dispatches = [plan.dispatch(0) for plan in self.plans]

    def envelope(self) -> list[Outgoing]:
        """Properties and headers, encoded."""
        return [
            self.envelopes.dispatch(dispatch, plan.payment_id, 1, "00-" + "a" * 49 + "-00", self.now)
            for dispatch, plan in zip(self.dispatches, self.plans, strict=True)
        ]

    def intent(self) -> None:
        """Fingerprint, and what the journal is told."""
        self.intents = [
            Intent(
                plan.payment_id, self.fingerprints.of(decoded.canonical), 1, 0, plan.charged.currency,
                plan.charged.scale, plan.charged.gross, plan.charged.net,
                plan.charged.gross - plan.charged.net, plan.rule, plan.rules_version, "a" * 32, 1,
                dispatch.processor, dispatch.exchange, dispatch.routing_key, dispatch.dispatch_id,
                dispatch.body, dispatch.priority,
            )
            for decoded, plan, dispatch in zip(self.decoded, self.plans, self.dispatches, strict=True)
        ]  # fmt: skip


def microseconds(step: Callable[[], object], seconds: float) -> float:
    """Microseconds a payment: the best of many rounds, since whatever disturbs only adds."""
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - started)
    return 1e6 * best / COUNT


async def journal_microseconds(steps: Steps) -> tuple[float, float]:
    """CPU microseconds a payment of claim and record in SQLite, both threads; the best batch."""
    with tempfile.TemporaryDirectory() as folder:
        address = SqliteFile(Path(folder) / "journal.db")
        prepare_journal(address)
        journal = await open_journal(address, "benchmark", 60.0)
        if journal is None:
            raise RuntimeError("there is no journal to measure")
        batches = [steps.intents[start : start + BATCH] for start in range(0, COUNT, BATCH)]
        measured = [await _claim_and_record(journal, batch, steps.now) for batch in batches]
        await journal.close()
    claims, records = zip(*measured, strict=True)
    return 1e6 * min(claims) / BATCH, 1e6 * min(records) / BATCH


async def _claim_and_record(journal: Journal, batch: Sequence[Intent], now: datetime) -> tuple[float, float]:
    started = time.process_time()
    await journal.claim(batch, now)
    claimed = time.process_time()
    await journal.record(
        [Ending(State.DISPATCHED, one.payment_id, one.dispatch_id, None, 1, one.trace_id) for one in batch],
        now,
    )
    return claimed - started, time.process_time() - claimed


async def measure(seconds: float) -> dict[str, float]:
    """Each step's microseconds a payment."""
    steps = Steps()
    found = {
        "receive: past and trace": microseconds(steps.receive, seconds),
        "decode: parse, no duplicate keys, validate": microseconds(steps.decode, seconds),
        "plan: amount, rules, fees": microseconds(steps.plan, seconds),
        "dispatch: id and body": microseconds(steps.dispatch, seconds),
        "envelope: properties and headers, encoded": microseconds(steps.envelope, seconds),
        "intent: fingerprint": microseconds(steps.intent, seconds),
    }
    claim, record = await journal_microseconds(steps)
    return {**found, "journal: claim (SQLite)": claim, "journal: record (SQLite)": record}


def main(arguments: list[str]) -> None:
    """Run it and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the time; no results are kept")
    options = parser.parse_args(arguments)
    steps = asyncio.run(measure(0.2 if options.quick else 1.0))
    lines = [
        "## The worker by step",
        "",
        f"{machine()}. {COUNT:,} payments, 20 rules, without a socket, the best round.",
        f"The journal's are CPU time of both threads, in batches of {BATCH}.",
        "`python -m benchmarks.worker_steps`",
        "",
        "| step | us a payment |",
        "| --- | ---: |",
        *(f"| {name} | {us:.2f} |" for name, us in steps.items()),
        f"| all | {sum(steps.values()):.2f} |",
    ]
    text = "\n".join(lines) + "\n"
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "worker_steps.md").write_text(text)
        (RESULTS / "worker_steps.json").write_text(json.dumps(steps, indent=2) + "\n")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
