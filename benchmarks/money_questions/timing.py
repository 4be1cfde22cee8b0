"""What the questions share: the texts that are read, and the medians of interleaved rounds."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from worker.money import ISO_4217, format_units

EUR = ISO_4217.lookup("EUR")
# 5.00 to 904.99, every cent as likely, the same in every run
TEXTS = [format_units(500 + index * 7919 % 90_000, 2) for index in range(1000)]


def medians(
    contestants: Mapping[str, Callable[[str], object]], rounds: int, items: Sequence[str]
) -> dict[str, float]:
    """Return the median microseconds an item of interleaved rounds, in processor time."""
    seen: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, function in contestants.items():
            started = time.thread_time()
            for item in items:
                function(item)
            seen[name].append((time.thread_time() - started) / len(items) * 1e6)
    return {name: statistics.median(times) for name, times in seen.items()}
