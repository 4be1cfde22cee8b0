"""What is varied, one thing at a time, from the worker with everything on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

import orjson

from benchmarks.line_up import C_RELAY
from benchmarks.rule_files import MESSAGE_BYTES, payments
from worker.generate import generate

Journals = Literal["sqlite", "postgresql", "none"]
SPANS_A_PAYMENT = 2


@dataclass(frozen=True, slots=True)
class Variant:
    """A worker to measure, and what it is fed with.

    ``x`` is its place where the dimension is drawn as a line. ``sampled`` is the share of payments whose
    spans are exported; None: tracing is off. ``scale`` is how many messages a round has, as a share of what
    others' have: less where one is slow, so that its round takes no longer.
    """

    name: str
    x: float | None = None
    settings: Mapping[str, int] = field(default_factory=dict)
    rules: int = 20
    journal: Journals = "sqlite"
    sampled: float | None = None
    failing: float = 0.0
    message_bytes: int = MESSAGE_BYTES
    scale: float = 1.0
    relay: bool = False

    @property
    def shards(self) -> int:
        """Queues that the payments are spread over."""
        return self.settings.get("shards", 1)

    @property
    def processes(self) -> int:
        """Worker processes."""
        return self.settings.get("processes", 1)

    def bodies(self, messages: int) -> Sequence[bytes]:
        """The payments of one round, of which ``messages`` times ``scale`` there are."""
        return _bodies(int(messages * self.scale), self.message_bytes, self.failing)


@dataclass(frozen=True, slots=True)
class Dimension:
    """One question: variants that take turns. ``rounds`` is how many times as many as usual."""

    name: str
    title: str
    variants: Sequence[Variant]
    rounds: float = 1.0
    x_label: str = ""
    note: str = ""


BASE = Variant("everything on")
"""One process, journal in SQLite, 20 rules, 5 processors, fees, tracing at its default, nothing fails."""


def _processes(processes: int, shards: int) -> Variant:
    queues = "one queue" if shards == 1 else f"{shards} shards"
    name = f"{processes} process{'es' * (processes > 1)}, {queues}"
    return Variant(name, settings={"processes": processes, "shards": shards})


def _share(share: float) -> str:
    return f"{100 * share:g} %"


DIMENSIONS: Sequence[Dimension] = (
    Dimension(
        "processes",
        "Processes and shards",
        [
            Variant(C_RELAY, relay=True),
            *(_processes(*one) for one in ((1, 1), (2, 1), (4, 1), (1, 2), (1, 4), (2, 4))),
        ],
        note="The C relay does nothing but move messages: what the broker does at best beside a client.",
    ),
    Dimension(
        "rules",
        "Rules",
        [replace(BASE, name=f"{count:,} rules", x=count, rules=count) for count in (10, 100, 1_000, 10_000)],
        rounds=1.2,
        note="Contracts of single merchants before the general rules, by which most payments go. Reading"
        " the rules, at the start, does not count.",
    ),
    Dimension(
        "failing",
        "Payments that fail",
        [
            replace(BASE, name=f"{_share(share)} fail", x=100 * share, failing=share)
            for share in (0.0, 0.01, 0.1)
        ],
        rounds=1.6,
        note="A payment that fails is bad in one of many ways, and ends as a dead letter.",
    ),
    Dimension(
        "tracing",
        "Tracing",
        [
            replace(BASE, name="off"),
            *(
                replace(BASE, name=name, sampled=share, scale=scale)
                for name, share, scale in (
                    ("unsampled", 0.0, 1.0),
                    ("1 % sampled", 0.01, 1.0),
                    ("100 % sampled", 1.0, 0.5),
                )
            ),
        ],
        rounds=1.6,
        note="Spans and metrics go to a collector on the same cores. It reads nothing while a round lasts.",
    ),
    Dimension(
        "journal",
        "Journal",
        [
            replace(BASE, name=name, journal=journal)
            for name, journal in (("none", "none"), ("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
        ],
        note="A new file, or a new database, for each round. PostgreSQL's server is on the same cores.",
    ),
    Dimension(
        "size",
        "Message size",
        [
            replace(BASE, name=f"{size:,} bytes", x=size, message_bytes=size, scale=scale)
            for size, scale in ((200, 1.0), (1_024, 1.0), (4_096, 0.6), (16_384, 0.25), (65_536, 0.08))
        ],
        x_label="bytes a message",
    ),
    Dimension(
        "in_flight",
        "In flight",
        [
            replace(BASE, name=f"{count:,} in flight", x=count, settings={"prefetch": count}, scale=scale)
            for count, scale in ((1, 0.01), (10, 0.1), (100, 0.5), (1_000, 1.0), (5_000, 1.0))
        ],
        x_label="deliveries in flight, at most (prefetch)",
    ),
)


@cache
def _bodies(count: int, size: int, failing: float) -> Sequence[bytes]:
    bodies = payments(count)
    if size != MESSAGE_BYTES:
        bodies = [_sized(body, size) for body in bodies]
    if failing:
        step = round(1 / failing)
        places = range(step // 2, count, step)
        for place, bad in zip(places, generate(len(places), seed=2, bad_share=1.0), strict=True):
            bodies[place] = bad
    return bodies


def failures(variant: Variant, messages: int) -> int:
    """How many of a round's payments are bad."""
    count, step = int(messages * variant.scale), round(1 / variant.failing) if variant.failing else 0
    return len(range(step // 2, count, step)) if step else 0


def _sized(body: bytes, size: int) -> bytes:
    """Bring a payment to ``size`` bytes by what no rule asks for: metadata, and the card's details."""
    payment = orjson.loads(body)
    payment["metadata"] = {}
    bare = len(orjson.dumps(payment))
    if bare > size:
        payment.pop("method", None)
        payment.pop("metadata")
        return orjson.dumps(payment)
    if (missing := size - bare - len('"note":""')) > 0:
        payment["metadata"] = {"note": ("lorem ipsum " * (missing // 12 + 1))[:missing]}
    return orjson.dumps(payment)
