"""What the figures of ``summary.json`` mean, and what was aimed at."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.results import Table


def number(value: float) -> str:
    """Whole, thousands grouped."""
    return f"{value:,.0f}"


def times(value: float) -> str:
    """A ratio."""
    return f"{value:.2f}"


def percent(value: float) -> str:
    """A fraction as a percentage, a digit behind the point where it is small."""
    return f"{100 * value:.1f} %"


def milliseconds(value: float) -> str:
    """One digit behind the point."""
    return f"{value:,.1f} ms"


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure in words, how it is shown, and its aim: at least or at most so much, or none."""

    words: str
    show: Callable[[float], str]
    bound: Literal["at least", "at most", ""] = ""
    value: float = 0.0

    @property
    def text(self) -> str:
        """The aim in words."""
        return f"{self.bound} {self.show(self.value)}" if self.bound else ""

    def reached(self, found: float) -> bool:
        """Whether a figure is what was aimed at; always, where nothing was."""
        match self.bound:
            case "at least":
                return found >= self.value
            case "at most":
                return found <= self.value
            case "":
                return True


AIMS: Mapping[str, Aim] = {
    "single.payments_per_second": Aim("payments/s, one a message, one process", number, "at least", 18_000),
    "single.vs_c_relay": Aim("the same beside the C relay, which does no work", times, "at least", 0.5),
    "tap_relay.vs_c_relay": Aim("the tap lane without any work beside the C relay", times),
    "single.vs_bare_aiormq": Aim("the worker beside a bare aiormq relay, times", times, "at least", 3),
    "single.vs_best_peer": Aim("the worker beside the best peer framework, times", times, "at least", 8),
    "rss_mb": Aim("memory of a process, MB", number, "at most", 150),
    "batch50.payments_per_second": Aim("payments/s in batches of 50", number, "at least", 45_000),
    "batch50.vs_c_relay": Aim("the same beside the messages/s of the C relay", times, "at least", 1),
    "latency.p99_ms": Aim("latency at half load, 99 of 100 payments within", milliseconds),
    "latency.p99_vs_relay": Aim("the same beside a bare relay's at the same rate", times, "at most", 2),
    "processes.2_vs_1": Aim("two processes beside one", times, "at least", 1.5),
    "tracing.unsampled_cost": Aim("throughput lost to tracing, nothing sampled", percent, "at most", 0.03),
    "tracing.one_percent_cost": Aim("throughput lost to tracing, 1 % sampled", percent, "at most", 0.05),
    "tracing.full_payments_per_second": Aim("payments/s with everything sampled", number, "at least", 7_000),
    "rules.cost_10000_vs_10": Aim("throughput lost to 10,000 rules beside 10", percent, "at most", 0.05),
    "failing.cost_1_percent": Aim("throughput lost where 1 % of payments fail", percent, "at most", 0.05),
    "journal.sqlite_cost": Aim("throughput lost to the journal in SQLite", percent),
    "journal.postgresql_cost": Aim("throughput lost to the journal in PostgreSQL", percent),
    "startup.help_ms": Aim("`payment-worker --help`", milliseconds, "at most", 300),
    "endurance.rss_growth": Aim("memory grown over a million payments", percent, "at most", 0.1),
    "endurance.throughput_change": Aim("throughput changed over a million payments", percent),
}  # fmt: skip
"""In the order in which they are shown."""


def table(figures: Mapping[str, float]) -> Table:
    """The figures in words, beside what was aimed at."""
    rows = [
        (aim.words, aim.show(figures[key]) + ("" if aim.reached(figures[key]) else " (missed)"), aim.text)
        for key, aim in AIMS.items()
        if key in figures
    ]
    return Table(("what", "measured", "aim"), rows)


def missed(figures: Mapping[str, float]) -> Iterator[str]:
    """Say of each aim that is missed how."""
    for key, aim in AIMS.items():
        if key in figures and not aim.reached(figures[key]):
            yield f"{key} is {aim.show(figures[key])}; the aim is {aim.text}"
