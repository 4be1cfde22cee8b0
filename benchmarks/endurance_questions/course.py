"""A long run as it was seen: samples of a process, and what they say about its first and its last part."""

import os
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

MOST_GROWTH: Final = 0.1
"""Of memory after the warm-up."""
MOST_DESCRIPTORS: Final = 3
"""More than after the warm-up. SQLite keeps those of the connections that a journal's background threads have
closed until the journal itself is closed, one for each kind of connection: a few, however long it runs."""
_PAGE_MB: Final = os.sysconf("SC_PAGE_SIZE") / 1e6


def look(pid: int) -> tuple[float, int]:
    """Return the resident megabytes of the largest, and the open descriptors of all, of a process's family.

    Raises:
        OSError: it is gone.
    """
    rss_mb = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MB
    descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        childs_rss_mb, more = look(int(child))
        rss_mb, descriptors = max(rss_mb, childs_rss_mb), descriptors + more
    return rss_mb, descriptors


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the worker; ``seconds`` since the start, ``arrived`` payments until then."""

    seconds: float
    arrived: int
    rss_mb: float
    descriptors: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """The median memory, and the fewest descriptors: a journal opens and closes some as it works."""

    rss_mb: float
    descriptors: int


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, which ends after ``end`` seconds."""

    end: float
    rate: float
    rss_mb: float
    descriptors: int


@dataclass(slots=True)
class Course:
    """All samples of a run over so many payments, the last one at its end."""

    payments: int
    samples: list[Sample] = field(default_factory=list)
    repeats: int = 0
    began: float = field(default_factory=time.perf_counter)

    def between(self, start: float, end: float) -> Stretch:
        """Return what was seen from one share of the payments to another."""
        seen = self._within(start, end)
        return Stretch(
            statistics.median(sample.rss_mb for sample in seen), min(sample.descriptors for sample in seen)
        )

    def rate(self, start: float, end: float) -> float:
        """Return the payments per second from one share of the payments to another."""
        return (end - start) * self.payments / (self._when(end) - self._when(start))

    @property
    def rss_growth(self) -> float:
        """By how much the last tenth's memory is above the second tenth's."""
        return self.between(0.9, 1.0).rss_mb / self.between(0.1, 0.2).rss_mb - 1

    @property
    def highest_rss_mb(self) -> float:
        """The most memory seen after the warm-up."""
        return max(sample.rss_mb for sample in self._within(0.1, 1.0))

    @property
    def leaked(self) -> int:
        """Descriptors that the last tenth has more than the second."""
        return self.between(0.9, 1.0).descriptors - self.between(0.1, 0.2).descriptors

    @property
    def throughput_change(self) -> float:
        """By how much the last third after the warm-up is faster than the first."""
        return self.rate(0.7, 1.0) / self.rate(0.1, 0.4) - 1

    def verdicts(self) -> list[str]:
        """Return what did not stay as it was."""
        found = []
        if self.rss_growth > MOST_GROWTH:
            found.append(f"memory has grown by {self.rss_growth:.1%}, {MOST_GROWTH:.0%} are allowed")
        if self.leaked > MOST_DESCRIPTORS:
            more = f"{self.leaked} descriptors more are open than after the warm-up"
            found.append(f"{more}, {MOST_DESCRIPTORS} are allowed")
        return found

    def windows(self) -> list[Window]:
        """Cut the run into about thirty windows, of 1 to 20 seconds."""
        last = self.samples[-1].seconds
        length = min(20.0, max(1.0, last / 30))
        found = []
        for number in range(max(1, round(last / length))):
            start, end = number * length, min((number + 1) * length, last)
            seen = [sample for sample in self.samples if start <= sample.seconds <= end]
            if len(seen) < 2:
                continue
            first, latest = seen[0], seen[-1]
            rate = (latest.arrived - first.arrived) / (latest.seconds - first.seconds)
            memory = statistics.median(sample.rss_mb for sample in seen)
            found.append(Window(end, rate, memory, max(sample.descriptors for sample in seen)))
        return found

    def as_json(self) -> list[dict[str, Any]]:
        """The windows, for the result file."""
        return [asdict(window) for window in self.windows()]

    def _within(self, start: float, end: float) -> list[Sample]:
        low, high = start * self.payments, end * self.payments
        seen = [sample for sample in self.samples if low <= sample.arrived <= high]
        return seen or [min(self.samples, key=lambda sample: abs(sample.arrived - high))]

    def _when(self, share: float) -> float:
        """Return the seconds after which this share had arrived, between two samples in proportion."""
        wanted = share * self.payments
        for before, after in zip(self.samples, self.samples[1:], strict=False):
            if before.arrived <= wanted <= after.arrived and after.arrived > before.arrived:
                part = (wanted - before.arrived) / (after.arrived - before.arrived)
                return before.seconds + part * (after.seconds - before.seconds)
        return self.samples[-1].seconds
