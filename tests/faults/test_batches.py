"""Messages of many payments under faults: no line is lost, doubled or changed when its worker dies."""

import asyncio

import pytest

from tests.faults.conftest import Scale
from tests.support.bench import Bench
from tests.support.fault_points import Crash, Moment


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["claim", "send", "record", "settle"])
async def test_death_in_the_middle_of_a_message(bench: Bench, step: str, moment: Moment) -> None:
    """Some of its lines are where they belong, others are in flight, others not begun: each arrives."""
    bench.load.lines = 25
    await bench.publish(200)
    worker = bench.start(Crash(step, moment, call=4), max_batch=10)
    assert await worker.ended() == -9, worker.log
    await bench.drained()


async def test_deaths_at_random_under_load(bench: Bench, scale: Scale) -> None:
    """However often it dies while messages come in, all their payments arrive in the end."""
    bench.load.lines = 10
    async with bench.load.streaming(per_second=600):
        for _ in range(scale(6, 100)):
            worker = bench.start()
            await asyncio.sleep(bench.chance.uniform(0, 0.6))
            worker.kill()
            assert await worker.ended() == -9
    await bench.drained()
