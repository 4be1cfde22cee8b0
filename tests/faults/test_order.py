"""Payments of one merchant keep their order over refusals, a SIGKILL and a SIGTERM, with two processes."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from tests.support.bodies import payment
from tests.support.stage import Received, Stage, eventually, open_stage
from tests.support.worker_process import WorkerProcess
from worker.local_broker import LocalBroker
from worker.producer import open_producer

MERCHANTS = 12
EACH = 60
ALL = MERCHANTS * EACH


@pytest.fixture
def settings() -> dict[str, Any]:
    """Two shards; few payments wait behind one another in a process, so that it can try for long."""
    return {"shards": 2, "ordered_by": "merchant_id", "max_batch": 5}


@contextmanager
def processes(
    stage: Stage, context: ForkServerContext, folder: Path
) -> Iterator[Callable[[], WorkerProcess]]:
    """Start worker processes in the block; none is left after it."""
    started: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        settings = stage.settings.model_copy(update={"topology": "verify"})  # declaring mends what is broken
        started.append(WorkerProcess(context, settings, folder / f"worker-{len(started)}.log"))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.close()


@asynccontextmanager
async def arriving(stage: Stage) -> AsyncIterator[list[Received]]:
    """What arrives at the processor, in its order, as long as the block lasts."""
    arrived: list[Received] = []

    async def arrive(message: Any) -> None:
        arrived.append(Received(message.body, str(message.routing_key), message.header.properties))

    channel = await stage.connection.channel()
    await channel.basic_consume(stage.inbox_of("alpha"), arrive, no_ack=True)
    yield arrived
    await channel.close()


@asynccontextmanager
async def published(stage: Stage, batch: int = 1) -> AsyncIterator[None]:
    """Payments of many merchants come in, each numbered within its own, while the block lasts."""

    async def publish() -> None:
        async with open_producer(
            stage.url, exchange=stage.prefix, batch=batch, ordered_by="merchant_id"
        ) as producer:
            for start in range(0, EACH, batch):
                await producer.publish(
                    payment(f"m{merchant}-{number}", merchant_id=f"m{merchant}")
                    for number in range(start, start + batch)
                    for merchant in range(MERCHANTS)
                )
                await asyncio.sleep(0.03 * batch)

    publishing = asyncio.create_task(publish())
    yield
    await publishing


def firsts(arrived: list[Received]) -> dict[str, list[int]]:
    """Each merchant's payments in the order in which they first arrived; a repeat is the same dispatch."""
    orders: dict[str, list[int]] = defaultdict(list)
    dispatches: dict[str, str] = {}
    for one in arrived:
        payment_id, dispatch_id = str(one.json["payment_id"]), str(one.json["dispatch_id"])
        if dispatches.setdefault(payment_id, dispatch_id) != dispatch_id:
            raise AssertionError(f"{payment_id} has two dispatch ids")
        merchant, number = payment_id.split("-")
        if int(number) not in orders[merchant]:
            orders[merchant].append(int(number))
    return orders


def more_than(arrived: list[Received], count: int) -> Callable[[], Awaitable[bool]]:
    async def enough() -> bool:
        return len({one.body for one in arrived}) >= count

    return enough


@pytest.mark.parametrize("batch", [1, 3])
async def test_order_is_kept_over_refusals_and_crashes(
    broker: LocalBroker,
    prefix: str,
    tmp_path: Path,
    workers: ForkServerContext,
    settings: dict[str, Any],
    batch: int,
) -> None:
    """While a payment is tried again, those behind it wait; a worker that dies hands its line over so."""
    async with (
        open_stage(broker.url, prefix, tmp_path, retry_in_process=60.0, **settings) as stage,
        arriving(stage) as arrived,
    ):
        with processes(stage, workers, tmp_path) as start:
            first, second = start(), start()
            await first.in_session()
            await second.in_session()
            async with published(stage, batch):
                await eventually(more_than(arrived, 40), "some payments")
                await stage.unbind("alpha")
                await asyncio.sleep(0.3)
                first.kill()
                await asyncio.sleep(0.3)
                await stage.bind("alpha")
                await eventually(more_than(arrived, 300), "payments after the kill")
                third = start()
                await third.in_session()
                second.terminate()
                assert await second.ended() == 0
                await stage.unbind("alpha")
                await asyncio.sleep(0.2)
                await stage.bind("alpha")
            await eventually(more_than(arrived, ALL), "all payments")
        orders = firsts(arrived)
        assert orders == {f"m{merchant}": list(range(EACH)) for merchant in range(MERCHANTS)}
        assert await stage.depth(stage.names.dead) == 0


async def test_order_is_kept_by_what_is_not_delayed(
    broker: LocalBroker, prefix: str, tmp_path: Path, workers: ForkServerContext, settings: dict[str, Any]
) -> None:
    """A payment that goes to a delay queue leaves the line, those behind it go on, and it arrives later."""
    async with (
        open_stage(
            broker.url, prefix, tmp_path, retry_in_process=0.0, delay_steps=(0.5, 0.6, 0.7, 0.8), **settings
        ) as stage,
        arriving(stage) as arrived,
    ):

        async def delayed_ones() -> bool:
            return bool(await stage.depth(stage.names.delay(0.5)))

        with processes(stage, workers, tmp_path) as start:
            first, second = start(), start()
            await first.in_session()
            await second.in_session()
            async with published(stage):
                await eventually(more_than(arrived, 100), "some payments")
                await stage.unbind("alpha")
                await eventually(delayed_ones, "a delayed payment")
                await stage.bind("alpha")
                await eventually(more_than(arrived, 300), "payments after the refusals")
                first.kill()
            await eventually(more_than(arrived, ALL), "all payments")
        delayed = {one.body for one in arrived if one.headers["payment-attempt"] > 1}
        assert delayed
        for merchant, order in firsts([one for one in arrived if one.body not in delayed]).items():
            assert order == sorted(order), merchant
