"""How results are kept: ``results/NAME.json``, ``.md`` and ``.png``, and the figures of ``summary.json``.

Only a whole run is kept. A quick look writes the same files to a new temporary folder.
"""

import importlib.util
import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import RESULTS, fsync_ms, machine, results_folder
from worker.local_broker import LocalBroker

SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts; the first ``texts`` columns stand at the left, figures at the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    texts: int = 1
    notes: Sequence[str] = ()

    def markdown(self) -> Iterable[str]:
        """Its lines."""
        if self.title:
            yield from (f"### {self.title}", "")
        if self.notes:
            yield from (*self.notes, "")
        rules = ["---" if number < self.texts else "---:" for number in range(len(self.columns))]
        for cells in (self.columns, rules, *self.rows):
            yield f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a benchmark ran. Take it while nothing else runs, for the sake of the disk's fsync."""

    facts: Mapping[str, str | int | float]

    @classmethod
    def of(cls, broker: LocalBroker | None = None) -> "Place":
        """Look at this machine, and at the broker and its disk where one takes part."""
        facts: dict[str, str | int | float] = {
            "machine": machine(),
            "cores": os.cpu_count() or 0,
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "kernel": platform.release(),
        }
        if broker is not None:
            facts["rabbitmq"] = broker.rabbitmqctl("version").strip().splitlines()[-1]
            facts["fsync_ms"] = round(fsync_ms(broker.folder), 3)
        return cls(facts)

    @property
    def sentence(self) -> str:
        """One line for the notes."""
        parts = [f"{self.facts['machine']}, {self.facts['memory_gb']} GB"]
        if "rabbitmq" in self.facts:
            parts.append(f"RabbitMQ {self.facts['rabbitmq']}")
            parts.append(f"fsync of the broker's disk {self.facts['fsync_ms']:.2f} ms")
        return "; ".join(parts) + "."


@dataclass(slots=True)
class Result:
    """What one module found out.

    ``rows`` is the module's own, for the JSON; ``summary`` is for ``summary.json``, flat; ``chart`` draws to
    the path it is given.
    """

    name: str
    title: str
    command: str
    place: Place
    notes: Sequence[str] = ()
    tables: Sequence[Table] = ()
    rows: object = None
    summary: Mapping[str, float] = field(default_factory=dict)
    chart: Callable[[Path], None] | None = None

    def markdown(self) -> str:
        """The page: title, notes, machine, command, tables, and the figures of the summary."""
        lines = [f"## {self.title}", "", *self.notes, self.place.sentence, f"`{self.command}`"]
        for table in self.tables:
            lines += ["", *table.markdown()]
        if self.summary:
            figures = [(f"`{key}`", shown(value)) for key, value in sorted(self.summary.items())]
            lines += ["", *Table(("figure", "value"), figures).markdown()]
        return "\n".join(lines) + "\n"

    def write(self, *, quick: bool) -> Path:
        """Write and print everything; return the folder it is in."""
        folder = results_folder(quick)
        path = folder / self.name
        text = self.markdown()
        path.with_suffix(".md").write_text(text)
        data = {
            "title": self.title,
            "notes": list(self.notes),
            "machine": dict(self.place.facts),
            "command": self.command,
            "rows": self.rows,
            "summary": {key: round(value, 6) for key, value in self.summary.items()},
        }
        path.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
        if self.chart is not None and can_draw():
            self.chart(path.with_suffix(".png"))
        write_summary(folder)
        print(text)
        print(f"written to {path}.*")
        return folder


def can_draw() -> bool:
    """Whether matplotlib is there; `make bench` brings it, `make setup` does not."""
    found = importlib.util.find_spec("matplotlib") is not None
    if not found:
        print("no chart: matplotlib is not installed (pip install -e .[bench])")
    return found


def summaries(folder: Path = RESULTS) -> dict[str, float]:
    """The figures of every result file, by key.

    Raises ValueError where two files give the same one.
    """
    found: dict[str, float] = {}
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text())
        own = data.get("summary", {}) if isinstance(data, dict) and path.stem != SUMMARY else {}
        if twice := sorted(found.keys() & own.keys()):
            raise ValueError(f"{path.name} gives {', '.join(twice)}, which another result file gives, too")
        found.update(own)
    return dict(sorted(found.items()))


def write_summary(folder: Path) -> None:
    """Gather ``summary.json`` from the result files beside it."""
    (folder / f"{SUMMARY}.json").write_text(json.dumps(summaries(folder), indent=1) + "\n")


def shown(value: float) -> str:
    """A figure as tables show it: thousands grouped, else three digits."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Lowest to highest."""
    return f"{shown(min(values))} to {shown(max(values))}"


def median_of(values: Iterable[float]) -> float:
    """The median, 0 of nothing."""
    found = list(values)
    return statistics.median(found) if found else 0.0
