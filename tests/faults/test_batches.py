"""Messages of many payments under faults: no line is lost, doubled or changed when its worker dies."""

import asyncio

import pytest

from tests.faults.conftest import Scale
from tests.support.bench import Bench
from tests.support.fault_points import Crash, Moment
from tests.support.load import RULES, write_fault_rules

ASKING = RULES.replace('proc.alpha"', 'proc.alpha", batch: {{max_payments: 10}}')
"""Rules whose first processor asks for many dispatches in one message."""


def ask_for_batches(bench: Bench) -> None:
    write_fault_rules(bench.rules, bench.settings.prefix, ASKING)


def test_the_rules_ask() -> None:
    """What is replaced in them is there."""
    assert "max_payments" in ASKING


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["claim", "send", "record", "settle"])
async def test_death_in_the_middle_of_a_message(bench: Bench, step: str, moment: Moment) -> None:
    """Some of its lines are where they belong, others are in flight, others not begun: each arrives."""
    ask_for_batches(bench)
    bench.load.lines = 25
    await bench.publish(200)
    worker = bench.start(Crash(step, moment, call=4), max_batch=10)
    assert await worker.ended() == -9, worker.log
    await bench.drained()


async def test_deaths_at_random_under_load(bench: Bench, scale: Scale) -> None:
    """However often it dies while messages come in, all their payments arrive in the end."""
    ask_for_batches(bench)
    bench.load.lines = 10
    async with bench.load.streaming(per_second=600):
        for _ in range(scale(6, 100)):
            worker = bench.start()
            await asyncio.sleep(bench.chance.uniform(0, 0.6))
            worker.kill()
            assert await worker.ended() == -9
    await bench.drained()
