"""What the benchmarks share: a private node, filled queues, and processes watched from outside.

Every contestant is a process of its own that finds COUNT messages waiting. Its rate is seen at the far end,
on the depth of the queues it publishes to, so that all are measured alike and none measures itself. Rounds of
all contestants are interleaved: what disturbs the machine disturbs everybody.
"""

import asyncio
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from aiormq.abc import AbstractConnection
from pamqp.commands import Basic
from pamqp.common import FieldTable

RESULTS = Path(__file__).parent / "results"
POLL_SECONDS = 0.1
"""Between two looks at the depths. Each look asks every target queue's own process, so it must be rare."""
DEADLINE_SECONDS = 180.0
QUORUM: FieldTable = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


Message: TypeAlias = tuple[bytes, Basic.Properties]
"""A body and its properties."""


@dataclass(frozen=True, slots=True)
class Round:
    """One run of one contestant; the broker's CPU time is that of its whole node."""

    messages_per_second: float
    cpu_us_per_message: float
    rss_mb: float
    broker_cpu_us_per_message: float = 0.0


def as_json(body: bytes) -> Message:
    """Return a persistent message whose body is a payment."""
    return body, Basic.Properties(delivery_mode=2, content_type="application/json")


@dataclass(slots=True)
class Contestant:
    """A command, the queue it empties and the queues it fills.

    ``wrap`` makes a message of a payment as the contestant expects it. ``share`` is how much of a round's
    messages one that is slow is given.
    """

    name: str
    command: Callable[[], Sequence[str]]
    source: str
    targets: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    wrap: Callable[[bytes], Message] = as_json
    share: float = 1.0

    @property
    def median(self) -> float:
        """Messages per second."""
        return statistics.median(r.messages_per_second for r in self.rounds)


async def fill(connection: AbstractConnection, queue: str, messages: Sequence[Message]) -> None:
    """Put messages straight into a queue, confirmed."""
    channel = await connection.channel(publisher_confirms=True)
    for start in range(0, len(messages), 500):
        await asyncio.gather(
            *(
                channel.basic_publish(body, routing_key=queue, properties=properties, wait=False)
                for body, properties in messages[start : start + 500]
            )
        )
    await channel.close()


async def declare(connection: AbstractConnection, exchange: str, queue: str) -> None:
    """A durable topic exchange bound to a quorum queue."""
    channel = await connection.channel()
    await channel.exchange_declare(exchange, exchange_type="topic", durable=True)
    await channel.queue_declare(queue, durable=True, arguments=QUORUM)
    await channel.queue_bind(queue, exchange, "#")
    await channel.close()


async def run_round(
    connection: AbstractConnection,
    contestant: Contestant,
    bodies: Sequence[bytes],
    broker_pid: int | None = None,
) -> Round:
    """Fill the source, start the contestant, and watch its targets until all messages have arrived."""
    channel = await connection.channel()
    for queue in (contestant.source, *contestant.targets):
        await channel.queue_purge(queue)
    count = max(1, round(contestant.share * len(bodies)))
    await fill(connection, contestant.source, [contestant.wrap(body) for body in bodies[:count]])

    async def depth() -> int:
        declared = [await channel.queue_declare(queue, passive=True) for queue in contestant.targets]
        return sum(d.message_count or 0 for d in declared)

    async with started(contestant) as process:
        found = await _watch(process, depth, count, contestant.name, broker_pid)
    await channel.close()
    return found


@asynccontextmanager
async def started(contestant: Contestant) -> "AsyncIterator[subprocess.Popen[bytes]]":
    """Run a contestant's process for the block."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it starts once
        contestant.command(),
        env={**os.environ, **contestant.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


async def _watch(
    process: "subprocess.Popen[bytes]",
    depth: Callable[[], Awaitable[int]],
    count: int,
    name: str,
    broker_pid: int | None,
) -> Round:
    """Measure from the look that finds a twentieth arrived to the last one that does not find all."""
    begun: tuple[float, int, float, float] | None = None
    measured: Round | None = None
    deadline = time.monotonic() + DEADLINE_SECONDS
    arrived, cpu, rss, broker = 0, 0.0, 0.0, 0.0
    while time.monotonic() < deadline:
        arrived = await depth()
        now = time.perf_counter()
        if process.poll() is None:
            cpu, rss = usage(process.pid)
        elif arrived < count:
            raise RuntimeError(f"{name} ended with {process.returncode} after {arrived} of {count} messages")
        if broker_pid is not None:
            broker, _ = usage(broker_pid)
        if begun is None:
            if arrived > count // 20:
                begun = (now, arrived, cpu, broker)
        elif arrived > begun[1] and (arrived < count or measured is None):
            moved, microseconds = arrived - begun[1], 1e6 / (arrived - begun[1])
            measured = Round(
                moved / (now - begun[0]),
                microseconds * (cpu - begun[2]),
                rss,
                microseconds * (broker - begun[3]),
            )
        if measured is not None and arrived >= count:
            return measured
        await asyncio.sleep(POLL_SECONDS)
    raise RuntimeError(f"{name} moved {arrived} of {count} messages within {DEADLINE_SECONDS:g} s")


def usage(pid: int) -> tuple[float, float]:
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
