"""What was found under each load, and what may be compared with what."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks import line_up
from benchmarks.harness import Contestant

PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)
SHARES: Final = (0.2, 0.5, 0.8)
HALF: Final = 0.5
HIGHEST: Final = 0.8
"""What a contestant is asked for at most, as a share of its capacity."""

Figures = Mapping[float, float]
"""Milliseconds by percentile."""


def percentiles(seconds: Sequence[float]) -> Figures:
    """Return milliseconds by percentile, each the latency of a real payment (nearest rank)."""
    ordered = sorted(seconds)
    return {p: 1e3 * ordered[math.ceil(round(p * len(ordered) / 100, 6)) - 1] for p in PERCENTILES}


@dataclass(slots=True)
class Load:
    """One rate of one contestant, and the percentiles of its rounds; ``share`` is of its own capacity."""

    rate: float
    share: float
    label: str
    samples: int = 0
    rounds: list[Figures] = field(default_factory=list)

    def median(self, percentile: float) -> float:
        """Milliseconds: the median over the rounds."""
        return statistics.median(self.of(percentile))

    def of(self, percentile: float) -> list[float]:
        """Milliseconds, a round each."""
        return [figures[percentile] for figures in self.rounds]

    def as_json(self) -> dict[str, Any]:
        """Everything, for the result file."""
        return {
            "label": self.label,
            "share": self.share,
            "payments_per_second": self.rate,
            "samples": self.samples,
            "rounds_ms": [{f"p{p:g}": ms for p, ms in figures.items()} for figures in self.rounds],
        }


@dataclass(slots=True)
class Entrant:
    """A contestant, its capacity in each of the rounds that measured it, and its loads."""

    contestant: Contestant
    capacities: list[float] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The contestant's."""
        return self.contestant.name

    @property
    def capacity(self) -> float:
        """Payments per second: the median of its rounds."""
        return statistics.median(self.capacities)

    def as_json(self) -> dict[str, Any]:
        """Everything, for the result file."""
        return {
            "what": self.name,
            "capacities": self.capacities,
            "loads": [load.as_json() for load in self.loads],
        }

    def at_share(self, share: float) -> Load:
        """The load that is this share of its own capacity."""
        return next(load for load in self.loads if load.share == share)

    def at_rate(self, rate: float) -> Load | None:
        """The load of exactly this rate, None where there is none."""
        return next((load for load in self.loads if load.rate == rate), None)

    def add(self, rate: float, label: str) -> None:
        """Add a load, unless it has one of this rate or the rate is more than it takes."""
        share = rate / self.capacity
        if share <= HIGHEST and self.at_rate(rate) is None:
            self.loads.append(Load(rate, share, label))


def plan(entrants: Sequence[Entrant], worker: Entrant, relay: Entrant, peers: Sequence[Entrant] = ()) -> None:
    """Give everyone the shares of its own capacity, and the rates at which it is compared with others.

    Everyone who takes it gets the worker's half load. Where the bare relay does not take it, the worker gets
    the relay's half load and its highest load instead. The worker also gets the half load of the fastest of
    the peers.
    """
    for entrant in entrants:
        entrant.loads = [Load(share * entrant.capacity, share, f"{share:.0%}") for share in SHARES]
    half = worker.at_share(HALF).rate
    for entrant in entrants:
        entrant.add(half, "the worker's half load")
    if relay.at_rate(half) is None:
        for share in (HALF, HIGHEST):
            worker.add(relay.at_share(share).rate, f"the bare relay's {share:.0%}")
    if peers:
        worker.add(fastest(peers).at_share(HALF).rate, "the fastest peer's half load")
    for entrant in entrants:
        entrant.loads.sort(key=lambda load: load.rate)


def fastest(entrants: Sequence[Entrant]) -> Entrant:
    """Return the one with the highest capacity."""
    return max(entrants, key=lambda one: one.capacity)


def same_rate(worker: Entrant, relay: Entrant) -> list[tuple[Load, Load]]:
    """Return the loads that stand for "at the same rate", the worker's first.

    It is the worker's half load where the relay takes that. Where it does not, the relay's latency there has
    no bound, and a ratio to it would say nothing: then it is the relay's own half and highest load.
    """
    half = worker.at_share(HALF)
    if (there := relay.at_rate(half.rate)) is not None:
        return [(half, there)]
    pairs = [(worker.at_rate(load.rate), load) for load in map(relay.at_share, (HALF, HIGHEST))]
    return [(ours, theirs) for ours, theirs in pairs if ours is not None]


def peers_of(entrants: Sequence[Entrant]) -> list[Entrant]:
    """Return those that are neither the worker nor a relay."""
    others = {line_up.WORKER, *line_up.RELAYS}
    return [one for one in entrants if one.name not in others]


def named(entrants: Sequence[Entrant], name: str) -> Entrant | None:
    """Return the one of this name, where it takes part."""
    return next((one for one in entrants if one.name == name), None)
