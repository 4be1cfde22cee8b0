"""Row 1: a worker process dies by SIGKILL, before and after each step, and at random under load."""

import asyncio

import pytest

from tests.faults.conftest import Scale
from tests.support.bench import Bench
from tests.support.fault_points import STEPS, Crash, Moment
from tests.support.lane_rig import LANES

PAYMENTS = 100
"""Enough for three rounds of confirms: four batches of ten are in flight at once."""


QUEUES = 3
"""Each is taken from."""
LANES_OWN = frozenset({"send", "confirm", "settle"})
"""Steps that each lane takes in its own way."""


async def die_at(bench: Bench, step: str, moment: Moment) -> None:
    """Let a worker die at a point in mid-stream; nothing is lost, and another finishes the work."""
    crash = Crash(step, moment, call=QUEUES + 1 if step == "take" else 2)
    await bench.publish(PAYMENTS)
    worker = bench.start(crash, max_batch=10)
    assert await worker.ended() == -9, worker.log
    await bench.safe()
    await bench.drained()


async def die_at_random(bench: Bench, times: int) -> None:
    """Let workers die, one after another, while payments come in."""
    async with bench.load.streaming(per_second=300):
        for _ in range(times):
            worker = bench.start()
            await asyncio.sleep(bench.chance.uniform(0, 0.6))
            worker.kill()
            assert await worker.ended() == -9
    await bench.safe()
    await bench.drained()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("step", "kept_in"),
    [(step, "sqlite") for step in STEPS]
    + [
        pytest.param(
            step, "postgresql", marks=() if step in {"claim", "send", "record"} else pytest.mark.whole
        )
        for step in STEPS
    ],
)
async def test_death_at_a_step_loses_nothing(bench: Bench, step: str, moment: Moment) -> None:
    """Wherever it dies, what it held comes again, and a repeat is the same bytes to the same processor."""
    await die_at(bench, step, moment)


@pytest.mark.parametrize("lane", ["standard"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=() if step in LANES_OWN else pytest.mark.whole) for step in STEPS]
)
async def test_death_at_a_step_of_the_standard_lane_loses_nothing(
    bench: Bench, step: str, moment: Moment
) -> None:
    """Nor where it dies over aiormq's own channels."""
    await die_at(bench, step, moment)


@pytest.mark.parametrize(("lane", "kept_in"), [*((lane, "sqlite") for lane in LANES), ("tap", "postgresql")])
async def test_deaths_at_random_under_load_lose_nothing(bench: Bench, scale: Scale) -> None:
    """However often and whenever it dies while payments come in, all of them arrive in the end."""
    await die_at_random(bench, scale(6, 200))


@pytest.mark.forgetful
async def test_deaths_at_random_without_a_journal_lose_nothing(bench: Bench, scale: Scale) -> None:
    """All arrive though nobody remembers; by the same rules a repeat is the same dispatch again."""
    await die_at_random(bench, scale(6, 200))
