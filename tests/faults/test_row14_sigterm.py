"""Row 14: SIGTERM in every state that a worker can be in, and a second one, which hurries."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

from tests.support.bench import Bench
from tests.support.proxy import Proxy
from tests.support.stage import eventually
from tests.support.worker_process import WorkerProcess
from worker.local_broker import LocalBroker
from worker.rabbitmq import free_ports

PAYMENTS = 15


async def starting(bench: Bench, proxy: Proxy) -> WorkerProcess:
    """It has not come to its signal handlers, or just has."""
    worker = bench.start()
    await asyncio.sleep(bench.chance.uniform(0, 0.15))
    return worker


async def without_a_broker(bench: Bench, proxy: Proxy) -> WorkerProcess:
    """It waits between two tries to connect."""
    proxy.target = free_ports(1)[0]
    worker = bench.start(through=proxy)
    await worker.says(lambda log: "no session" in log, "that there is no broker")
    return worker


async def before_a_mute_broker(bench: Bench, proxy: Proxy) -> WorkerProcess:
    """It has connected to somebody who says nothing."""
    proxy.silence()
    worker = bench.start(through=proxy)

    async def connected() -> bool:
        return proxy.links > 0

    await eventually(connected, "a connection")
    return worker


async def idle(bench: Bench, proxy: Proxy) -> WorkerProcess:
    """There is nothing left to do."""
    worker = bench.start()
    await bench.arrives(PAYMENTS)
    return worker


async def busy(bench: Bench, proxy: Proxy) -> WorkerProcess:
    """Payments are in every step."""
    worker = bench.start(max_batch=3)
    await worker.in_session()
    return worker


async def retrying(bench: Bench, proxy: Proxy) -> WorkerProcess:
    """What it holds waits for another try in process."""
    await bench.unbind("alpha")
    bench.without_breakers()
    worker = bench.start(retry_in_process=60.0, drain_timeout=0.3)
    await worker.in_session()
    await asyncio.sleep(0.3)
    return worker


async def holding_back(bench: Bench, proxy: Proxy) -> WorkerProcess:
    """What it holds is refused by the delay queues as well."""
    await bench.unbind("alpha")
    await bench.unbind_delays()
    worker = bench.start(drain_timeout=0.3)
    await worker.says(lambda log: "held back" in log, "that it holds payments back")
    return worker


async def silenced(bench: Bench, proxy: Proxy) -> WorkerProcess:
    """Its connections hang with publishes under way."""
    worker = bench.start(through=proxy, drain_timeout=0.3)
    await worker.in_session()
    proxy.silence()
    return worker


STATES = (
    starting, without_a_broker, before_a_mute_broker, idle, busy, retrying, holding_back,
    pytest.param(silenced, marks=pytest.mark.whole),
)  # fmt: skip


@pytest.mark.parametrize("state", STATES)
async def test_sigterm_ends_the_worker_in_order(
    bench: Bench, proxy: Proxy, state: Callable[[Bench, Proxy], Awaitable[WorkerProcess]]
) -> None:
    """Whatever it is doing, it exits with 0 within its deadline, and the next worker finishes the work."""
    await bench.publish(PAYMENTS)
    worker = await state(bench, proxy)
    worker.terminate()
    code = await worker.ended()
    assert code == 0 or (state is starting and code == -signal.SIGTERM)
    await bench.safe()
    await bench.declare()
    await bench.drained(repeats=state is silenced)


async def test_sigterm_ends_a_worker_that_the_broker_blocks(node_bench: Bench, node: LocalBroker) -> None:
    """While an alarm lasts nothing can be published: what was taken goes back."""
    bench = node_bench
    await bench.publish(PAYMENTS)
    await asyncio.to_thread(node.rabbitmqctl, "set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        worker = bench.start(drain_timeout=0.3)
        await worker.in_session()
        worker.terminate()
        assert await worker.ended() == 0
    finally:
        await asyncio.to_thread(node.rabbitmqctl, "set_vm_memory_high_watermark", "0.6")
    await bench.safe()
    await bench.drained()


async def test_a_second_sigterm_hurries(bench: Bench) -> None:
    """Who drains for minutes stops at once when told again, exits with 0, and loses nothing."""
    await bench.unbind("alpha")
    bench.without_breakers()
    await bench.publish(PAYMENTS)
    slow = {"PAYMENT_WORKER_RETRY_IN_PROCESS": "60s", "PAYMENT_WORKER_DRAIN_TIMEOUT": "10m"}
    with bench.command(**slow) as worker:
        await asyncio.to_thread(worker.wait_for_sessions, 1)
        worker.process.send_signal(signal.SIGTERM)

        async def draining() -> bool:
            return "draining" in worker.log

        await eventually(draining, "the drain")
        worker.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(worker.process.wait, 30)
        assert code == 0, worker.log
        assert "told to stop again" in worker.log
        assert "Traceback" not in worker.log
    await bench.safe()
    await bench.bind("alpha")
    await bench.drained(repeats=False)
