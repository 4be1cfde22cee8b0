"""How long does ``payment-worker --help`` take? What nobody asked for must not be imported first.

Usage: python -m benchmarks.startup [--quick] [--rounds N]
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.charts import Bars, draw
from benchmarks.results import Place, Result, Table, shown, spread

ROUNDS, QUICK_ROUNDS = 20, 3
HELP = "payment-worker --help"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    HELP: ["-m", "worker", "--help"],
    "payment-worker run --help": ["-m", "worker", "run", "--help"],
    "payment-worker rules check --help": ["-m", "worker", "rules", "check", "--help"],
}


@dataclass(frozen=True, slots=True)
class Run:
    """Milliseconds of one run."""

    wall_ms: float
    cpu_ms: float


def run(arguments: Sequence[str]) -> Run:
    """Run Python with these arguments, to its end."""
    before, began = _children_seconds(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    return Run(1e3 * wall, 1e3 * (_children_seconds() - before))


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(rounds: int) -> dict[str, list[Run]]:
    """Let the commands take turns; the first round, which fills the disk's cache, does not count."""
    found: dict[str, list[Run]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            one = run(arguments)
            if number:
                found[name].append(one)
    return found


def result(found: dict[str, list[Run]], command: str) -> Result:
    """Put it together."""
    walls = {name: [one.wall_ms for one in runs] for name, runs in found.items()}
    rows = [
        (
            f"`{name}`",
            shown(statistics.median(walls[name])),
            spread(walls[name]),
            shown(statistics.median(one.cpu_ms for one in runs)),
        )
        for name, runs in found.items()
    ]
    rounds = len(found[HELP])
    return Result(
        "startup",
        "How long a command takes to answer",
        command,
        Place.of(),
        [f"A new process each time, {rounds} rounds in turn after one that does not count."],
        [Table(("command", "wall ms, median", "lowest to highest", "CPU ms"), rows)],
        {name: [asdict(one) for one in runs] for name, runs in found.items()},
        {"startup.help_ms": statistics.median(walls[HELP])},
        lambda path: draw(path, [Bars("From start to end", "milliseconds", walls, [HELP])]),
    )


def main(arguments: list[str]) -> None:
    """Run it and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds; no results are kept")
    parser.add_argument("--rounds", type=int, help=f"runs of each command, default {ROUNDS}")
    options = parser.parse_args(arguments)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    command = " ".join(["python -m benchmarks.startup", *arguments])
    result(measure(rounds), command).write(quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
