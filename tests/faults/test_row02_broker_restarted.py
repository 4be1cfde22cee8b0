"""Row 2: the broker is stopped in order and started again, and it dies by SIGKILL, both under load."""

import asyncio

import pytest

from tests.support.bench import Bench
from tests.support.lane_rig import LANES
from worker.local_broker import LocalBroker


async def outlive(bench: Bench, node: LocalBroker, *, crash: bool) -> None:
    """Take the broker away from a worker under load and give it back; every payment arrives."""
    await asyncio.to_thread(node.flush)
    worker = bench.start()
    async with bench.load.streaming(per_second=300):
        await bench.arrives(100)
        await asyncio.to_thread(node.kill if crash else node.stop)
        await asyncio.to_thread(node.start)
        await worker.in_session(2)
        await bench.arrives(len(bench.load.sent) + 100)
    await bench.drained()
    assert worker.exit_code == 0


@pytest.mark.whole
async def test_a_restart_under_load_loses_nothing(node_bench: Bench, node: LocalBroker) -> None:
    """A broker that stops in order takes nothing with it, and the worker waits for its return."""
    await outlive(node_bench, node, crash=False)


@pytest.mark.parametrize("lane", LANES)
async def test_a_crash_under_load_loses_nothing(node_bench: Bench, node: LocalBroker) -> None:
    """What a killed broker had confirmed is there when it comes back; what it had not is published again."""
    await outlive(node_bench, node, crash=True)
