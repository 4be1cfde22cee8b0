"""What the benchmarks share: a private node, filled queues, processes watched from outside, and tables.

Every contestant is a process of its own that finds COUNT messages waiting. Its rate is seen at the far end,
on the depth of the queues it publishes to, so that all are measured alike and none measures itself. Rounds of
all contestants are interleaved: what disturbs the machine disturbs everybody.
"""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiormq
from aiormq.abc import AbstractConnection

RESULTS = Path(__file__).parent / "results"
POLL_SECONDS = 0.1
"""Between two looks at the depths. Each look asks every target queue's own process, so it must be rare."""
DEADLINE_SECONDS = 180.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Round:
    """One run of one contestant."""

    messages_per_second: float
    cpu_us_per_message: float
    rss_mb: float


@dataclass(slots=True)
class Contestant:
    """A command, the queue it empties and the queues it fills."""

    name: str
    command: Callable[[], Sequence[str]]
    source: str
    targets: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Messages per second."""
        return statistics.median(r.messages_per_second for r in self.rounds)


async def fill(connection: AbstractConnection, queue: str, bodies: Sequence[bytes]) -> None:
    """Put persistent messages straight into a queue, confirmed."""
    channel = await connection.channel(publisher_confirms=True)
    properties = aiormq.spec.Basic.Properties(delivery_mode=2, content_type="application/json")
    for start in range(0, len(bodies), 500):
        await asyncio.gather(
            *(
                channel.basic_publish(body, routing_key=queue, properties=properties, wait=False)
                for body in bodies[start : start + 500]
            )
        )
    await channel.close()


async def declare(connection: AbstractConnection, exchange: str, queue: str) -> None:
    """A durable topic exchange bound to a quorum queue."""
    channel = await connection.channel()
    await channel.exchange_declare(exchange, exchange_type="topic", durable=True)
    arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
    await channel.queue_declare(queue, durable=True, arguments=arguments)
    await channel.queue_bind(queue, exchange, "#")
    await channel.close()


async def run_round(connection: AbstractConnection, contestant: Contestant, bodies: Sequence[bytes]) -> Round:
    """Fill the source, start the contestant, and watch its targets until all messages have arrived."""
    channel = await connection.channel()
    for queue in (contestant.source, *contestant.targets):
        await channel.queue_purge(queue)
    await fill(connection, contestant.source, bodies)

    async def depth() -> int:
        declared = [await channel.queue_declare(queue, passive=True) for queue in contestant.targets]
        return sum(d.message_count or 0 for d in declared)

    environment = {**os.environ, **contestant.environment}
    process = subprocess.Popen(  # noqa: ASYNC220 - it starts once
        contestant.command(), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        rate, cpu, rss = await _watch(process, depth, len(bodies), contestant.name)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)
    await channel.close()
    return Round(rate, cpu, rss)


async def _watch(
    process: "subprocess.Popen[bytes]",
    depth: Callable[[], "asyncio.Future[int] | object"],
    count: int,
    name: str,
) -> tuple[float, float, float]:
    begun: tuple[float, int, float] | None = None
    measured: tuple[float, float, float] | None = None
    deadline = time.monotonic() + DEADLINE_SECONDS
    arrived, cpu, rss = 0, 0.0, 0.0
    while time.monotonic() < deadline:
        arrived = await depth()  # type: ignore[misc]
        now = time.perf_counter()
        if process.poll() is None:
            cpu, rss = _usage(process.pid)
        elif arrived < count:
            raise RuntimeError(f"{name} ended with {process.returncode} after {arrived} of {count} messages")
        if begun is None:
            if arrived > count // 20:
                begun = (now, arrived, cpu)
        elif arrived < count or measured is None:  # the last look is late by up to a whole pause
            moved = arrived - begun[1]
            measured = (moved / (now - begun[0]), 1e6 * (cpu - begun[2]) / moved, rss)
        if measured is not None and arrived >= count:
            return measured
        await asyncio.sleep(POLL_SECONDS)
    raise RuntimeError(f"{name} moved {arrived} of {count} messages within {DEADLINE_SECONDS:g} s")


def _usage(pid: int) -> tuple[float, float]:
    """CPU seconds, and resident megabytes, of a process and its children; the largest one's memory."""
    seconds, largest = 0.0, 0.0
    for one in [pid, *_children(pid)]:
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        largest = max(largest, pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
    return seconds, largest


def _children(pid: int) -> list[int]:
    try:
        found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return found + [grandchild for child in found for grandchild in _children(child)]


def machine() -> str:
    """One line about where this ran."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    python, system = platform.python_version(), f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores ({model}), {system}, CPython {python}"


def fsync_ms(folder: Path) -> float:
    """Median milliseconds of an fsync after 4 KiB, in the folder the broker writes to."""
    times = []
    path = folder / "fsync-probe"
    with path.open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append(1e3 * (time.perf_counter() - start))
    path.unlink()
    return statistics.median(times)


def results_folder(quick: bool) -> Path:
    """Return where results go: a quick look's to a new temporary folder, so that it keeps nothing."""
    if quick:
        return Path(tempfile.mkdtemp(prefix="benchmark-results-"))
    RESULTS.mkdir(exist_ok=True)
    return RESULTS


def write_results(
    path: Path, title: str, notes: Sequence[str], contestants: Sequence[Contestant], base: str
) -> str:
    """Write ``path``.json and ``path``.md; return the Markdown. Ratios are to ``base``'s."""
    reference = next(c.median for c in contestants if c.name == base)
    head = "| what | messages/s, median | lowest to highest | CPU us a message | RSS MB | ratio |"
    lines = [f"## {title}", "", *notes, "", head, "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for c in contestants:
        rates = [r.messages_per_second for r in c.rounds]
        cells = (
            c.name,
            f"{c.median:,.0f}",
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            f"{statistics.median(r.cpu_us_per_message for r in c.rounds):.1f}",
            f"{max(r.rss_mb for r in c.rounds):.0f}",
            f"{c.median / reference:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    path.with_suffix(".md").write_text(text)
    rounds = {c.name: [asdict(r) for r in c.rounds] for c in contestants}
    data = {"title": title, "notes": list(notes), "contestants": rounds}
    path.with_suffix(".json").write_text(json.dumps(data, indent=2) + "\n")
    return text
