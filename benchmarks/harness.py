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
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from aiormq.abc import AbstractConnection
from pamqp.commands import Basic
from pamqp.common import FieldTable

from benchmarks.watching import Look, Round, count_messages, round_of, watch
from worker.lines import NDJSON

RESULTS = Path(__file__).parent / "results"
STOP_SECONDS = 30.0
"""A contestant that is told to end and has not by then is killed."""
STILL_LOOKS = 10
"""So many looks that see nothing move."""
QUORUM: FieldTable = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}


Message: TypeAlias = tuple[bytes, Basic.Properties]
"""A body and its properties."""


def as_json(body: bytes) -> Message:
    """Return a persistent message whose body is a payment."""
    return body, Basic.Properties(delivery_mode=2, content_type="application/json")


def as_lines(body: bytes) -> Message:
    """Return a persistent message of which each line is a payment."""
    return body, Basic.Properties(delivery_mode=2, content_type=NDJSON)


@dataclass(slots=True)
class Contestant:
    """A command, the queue it empties and the queues it fills.

    ``wrap`` makes a message of a payment as the contestant expects it, or of ``lines`` payments, one a line.
    ``gathers`` says that what it sends may hold many, too. ``share`` is how much of a round's payments one
    that is slow is given.
    """

    name: str
    command: Callable[[], Sequence[str]]
    source: str
    targets: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    wrap: Callable[[bytes], Message] = as_json
    share: float = 1.0
    lines: int = 1
    gathers: bool = False

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
    """Fill the source, start the contestant, and watch its targets until all payments have arrived."""
    channel = await connection.channel()
    for queue in (contestant.source, *contestant.targets):
        await channel.queue_purge(queue)
    given = bodies[: max(1, round(contestant.share * len(bodies)))]
    parts = [given[start : start + contestant.lines] for start in range(0, len(given), contestant.lines)]
    await fill(connection, contestant.source, [contestant.wrap(b"\n".join(part)) for part in parts])

    async def depth(*queues: str) -> int:
        declared = [await channel.queue_declare(queue, passive=True) for queue in queues]
        return sum(one.message_count or 0 for one in declared)

    async def all_there(looks: Sequence[Look]) -> bool:
        if not contestant.gathers:
            return looks[-1].arrived >= len(given)
        # How many messages there will be is not known: all is there once nothing moves any more.
        still = len(looks) > STILL_LOOKS and looks[-STILL_LOOKS].arrived == looks[-1].arrived > 0
        return still and not await depth(contestant.source)

    try:
        async with started(contestant) as process:
            looks = await watch(process, partial(depth, *contestant.targets), all_there, broker_pid)
            messages = len(given)
            if contestant.gathers:
                messages = await count_messages(connection, contestant.targets, len(given))
    except RuntimeError as error:
        raise RuntimeError(f"{contestant.name}: {error}") from error
    await channel.close()
    return round_of(looks, messages, len(given))


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
        try:
            await asyncio.to_thread(process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


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
