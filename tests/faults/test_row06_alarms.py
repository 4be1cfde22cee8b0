"""Row 6: the broker runs out of memory or disk and blocks whoever publishes."""

import asyncio

import pytest

from tests.faults.conftest import ALSO_STANDARD
from tests.support.bench import Bench
from worker.local_broker import LocalBroker

ALARMS = {
    "memory": (("set_vm_memory_high_watermark", "absolute", "1MB"), ("set_vm_memory_high_watermark", "0.6")),
    "disk": (("set_disk_free_limit", "9000GB"), ("set_disk_free_limit", "50MB")),
}
"""How each alarm is raised and ended."""
CONFIRM_SECONDS = 0.5


@pytest.mark.parametrize("lane", ALSO_STANDARD)
@pytest.mark.parametrize("alarm", ["memory", pytest.param("disk", marks=pytest.mark.whole)])
async def test_an_alarm_only_holds_payments_up(node_bench: Bench, node: LocalBroker, alarm: str) -> None:
    """However long it lasts no confirm counts as late, no session ends, and nothing is repeated."""
    bench = node_bench
    start, end = ALARMS[alarm]
    worker = bench.start(confirm_timeout=CONFIRM_SECONDS)
    async with bench.load.streaming(per_second=200):
        await bench.arrives(50)
        await asyncio.to_thread(node.rabbitmqctl, *start)
        try:
            await asyncio.sleep(4 * CONFIRM_SECONDS)
        finally:
            await asyncio.to_thread(node.rabbitmqctl, *end)
        await bench.arrives(len(bench.load.sent) + 50)
    await bench.drained(repeats=False)
    assert worker.sessions == 1


async def test_the_log_says_that_the_broker_blocks(node_bench: Bench, node: LocalBroker) -> None:
    """A worker that waits for an alarm's end says so, and when it goes on."""
    bench = node_bench
    start, end = ALARMS["memory"]
    await bench.publish(100)
    await asyncio.to_thread(node.rabbitmqctl, *start)
    try:
        worker = bench.start()
        await worker.says(lambda log: "broker blocks publishers" in log, "that it is blocked", 60)
    finally:
        await asyncio.to_thread(node.rabbitmqctl, *end)
    await worker.says(lambda log: "broker takes publishes again" in log, "that it is not any more", 60)
    await bench.drained(repeats=False)
