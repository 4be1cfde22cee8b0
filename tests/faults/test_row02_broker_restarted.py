"""Row 2: the broker is stopped in order and started again, and it dies by SIGKILL, both under load."""

import asyncio

import pytest

from tests.faults.conftest import ALSO_STANDARD, Scale
from tests.support.bench import Bench
from worker.local_broker import LocalBroker


async def outlive(bench: Bench, node: LocalBroker, *, crash: bool, wait: bool) -> None:
    """Take the broker away from a worker under load and give it back; every payment arrives.

    The worker is back within a quarter of a minute; who does not want to wait starts another.
    """
    await asyncio.to_thread(node.flush)
    worker = bench.start()
    async with bench.load.streaming(per_second=300):
        await bench.arrives(100)
        await asyncio.to_thread(node.kill if crash else node.stop)
        await asyncio.to_thread(node.start)
        await (worker if wait else bench.start()).in_session(2 if wait else 1)
        await bench.arrives(len(bench.load.sent) + 100)
    await bench.drained()
    assert worker.exit_code == 0


@pytest.mark.whole
async def test_a_restart_under_load_loses_nothing(node_bench: Bench, node: LocalBroker) -> None:
    """A broker that stops in order takes nothing with it, and the worker waits for its return."""
    await outlive(node_bench, node, crash=False, wait=True)


@pytest.mark.parametrize("lane", ALSO_STANDARD)
async def test_a_crash_under_load_loses_nothing(node_bench: Bench, node: LocalBroker, scale: Scale) -> None:
    """What a killed broker had confirmed is there when it comes back; what it had not is published again."""
    for _ in range(scale(1, 3)):
        await outlive(node_bench, node, crash=True, wait=scale(0, 1) == 1)
