"""Row 12: the wall clock jumps, and a process sleeps through its heartbeats."""

import asyncio
import signal

import pytest

from tests.support.bench import Bench
from tests.support.fault_points import ClockJumps

HEARTBEAT = 2
"""The broker gives a silent client up after three of these."""


async def test_a_wall_clock_that_jumps_changes_nothing(bench: Bench) -> None:
    """Decades forth and back many times a second cost no session and no payment, and repeat nothing."""
    await bench.unbind("gamma")
    worker = bench.start(ClockJumps(bench.chance.randrange(2**32)))
    await bench.publish(100)
    await worker.says(lambda log: '"delayed"' in log, "that payments are delayed")
    await bench.bind("gamma")
    await bench.drained(repeats=False)
    assert worker.sessions == 1
    stamps = {m.properties.timestamp.year for f in bench.ledger.dispatched.values() for _, m in f}
    assert len(stamps) > 1


@pytest.mark.whole
async def test_a_worker_that_wakes_up_after_its_time_repeats_at_worst(bench: Bench) -> None:
    """What a sleeping process held goes to another; awake again, it acknowledges nothing of it."""
    await bench.publish(300)
    sleeper = bench.start(heartbeat=HEARTBEAT, max_batch=3)
    await bench.arrives(30)
    sleeper.send_signal(signal.SIGSTOP)
    bench.start()
    await asyncio.sleep(4 * HEARTBEAT)
    await bench.arrives(len(bench.load.sent))
    await bench.publish(100)
    sleeper.send_signal(signal.SIGCONT)
    await sleeper.in_session(2)
    await bench.drained()
