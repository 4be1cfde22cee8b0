"""A contestant's round seen from outside: looks at the queues it fills and at what it uses; and the rate."""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from aiormq.abc import AbstractConnection, DeliveredMessage

POLL_SECONDS = 0.1
"""Between two looks at the depths. Each look asks every target queue's own process, so it must be rare."""
DEADLINE_SECONDS = 180.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
WARM_UP = 0.2
"""The part of a round that does not count: processes start, and windows open."""


@dataclass(frozen=True, slots=True)
class Round:
    """One run of one contestant, by payment; the broker's CPU time is that of its whole node."""

    messages_per_second: float
    cpu_us_per_message: float
    rss_mb: float
    broker_cpu_us_per_message: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """When, how many messages have arrived, CPU seconds until then, and the largest process's memory."""

    at: float
    arrived: int
    cpu_seconds: float
    rss_mb: float
    broker_cpu_seconds: float


async def watch(
    process: Popen[bytes],
    depth: Callable[[], Awaitable[int]],
    complete: Callable[[Sequence[Look]], Awaitable[bool]],
    broker_pid: int | None,
) -> list[Look]:
    """Look until all has arrived.

    Raises RuntimeError when the process ends before that, or time does.
    """
    looks: list[Look] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        arrived, now = await depth(), time.perf_counter()
        cpu_seconds, rss_mb = usage(process.pid)
        broker_seconds = 0.0 if broker_pid is None else usage(broker_pid)[0]
        looks.append(Look(now, arrived, cpu_seconds, rss_mb, broker_seconds))
        if await complete(looks):
            return looks
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode} after {arrived} messages")
        await asyncio.sleep(POLL_SECONDS)
    raise RuntimeError(f"{looks[-1].arrived} messages have arrived within {DEADLINE_SECONDS:g} s, not all")


def round_of(looks: Sequence[Look], messages: int, payments: int) -> Round:
    """Return the rate between the end of the warm-up and the last look that does not find all ``messages``.

    The look that finds all is late by up to a whole pause, so it counts only where there is no other. The
    messages have so many ``payments`` in all, as many at the beginning as at the end.
    """
    warm = [look for look in looks if look.arrived > WARM_UP * messages]
    first = warm[0]
    under_way = [look for look in warm if first.arrived < look.arrived < messages]
    last = under_way[-1] if under_way else warm[-1]
    if last.arrived == first.arrived:  # all came between two looks
        first = next((look for look in reversed(looks) if look.arrived < last.arrived), looks[0])
    moved = (last.arrived - first.arrived) * payments / messages
    return Round(
        moved / (last.at - first.at),
        1e6 * (last.cpu_seconds - first.cpu_seconds) / moved,
        max(look.rss_mb for look in looks),
        1e6 * (last.broker_cpu_seconds - first.broker_cpu_seconds) / moved,
    )


async def count_messages(connection: AbstractConnection, queues: Sequence[str], expected: int) -> int:
    """Empty the queues; return how many messages there were.

    Raises RuntimeError where their payments, one a line, are not as many as ``expected``.
    """
    channel = await connection.channel()
    messages = payments = 0
    done = asyncio.Event()

    async def count(message: DeliveredMessage) -> None:
        nonlocal messages, payments
        messages += 1
        payments += 1 + message.body.strip().count(b"\n")
        if payments >= expected:
            done.set()

    for queue in queues:
        await channel.basic_consume(queue, count, no_ack=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), DEADLINE_SECONDS)
    await channel.close()
    if payments != expected:
        raise RuntimeError(f"{payments} payments have arrived in {messages} messages, not {expected}")
    return messages


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
