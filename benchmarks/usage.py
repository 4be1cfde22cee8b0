"""What processes use, seen from outside: CPU seconds and resident memory of each one in a tree."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds of a tree until now, and the resident megabytes of its largest process."""

    cpu_seconds: float
    rss_mb: float


def used_by(pid: int) -> Used:
    """Look at a process and all its descendants; those that have ended count nothing."""
    seconds, largest = 0.0, 0.0
    for one in family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        seconds += (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
        largest = max(largest, PAGE_MB * pages)
    return Used(seconds, largest)


def family(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    try:
        children = [
            int(child)
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except OSError:
        return
    for child in children:
        yield from family(child)


def idle_seconds() -> float:
    """How long all cores together have had nothing to do, or waited for a disk, since the start."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / TICKS_PER_SECOND


def cores(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> dict[str, float]:
    """How many cores each was busy on average."""
    return {name: (after[name] - before.get(name, 0.0)) / seconds for name in after}
