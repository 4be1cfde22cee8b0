"""The journal's PostgreSQL server is killed, stopped and cut off while workers work."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from yarl import URL

from tests.faults.conftest import Scale
from tests.support.bench import Bench, open_bench
from tests.support.proxy import Proxy, proxy_to
from worker.local_broker import LocalBroker
from worker.local_postgresql import LocalPostgresql


@pytest.fixture(scope="module")
def server() -> Iterator[LocalPostgresql]:
    """A server with a journal's database of its own for each test, which writes to the disk."""
    with LocalPostgresql() as started:
        yield started


@pytest.fixture
def journal(server: LocalPostgresql, prefix: str) -> str:
    """Its database for this test."""
    server.start()
    return server.create_database(prefix)


async def test_kills_under_load_lose_nothing(bench: Bench, server: LocalPostgresql, scale: Scale) -> None:
    """Whatever its last commit was, no payment is lost or goes to two processors, and the books balance."""
    async with bench.load.streaming(per_second=300):
        workers = [bench.start() for _ in range(2)]
        await bench.arrives(50)
        for _ in range(scale(4, 60)):
            await asyncio.sleep(bench.chance.uniform(0.2, 1.0))
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(bench.chance.uniform(0, 0.5))
            await asyncio.to_thread(server.start)
    await bench.drained()
    assert all("journal_unavailable" in worker.log for worker in workers)


async def test_without_it_nothing_is_acknowledged(bench: Bench, server: LocalPostgresql) -> None:
    """All payments stay in the broker while it is away, and go through when it is back."""
    worker = bench.start()
    await bench.publish(50)
    await bench.arrives(50)
    await asyncio.to_thread(server.stop)
    await bench.publish(200)
    before = len(worker.log)
    await asyncio.sleep(3)
    said = worker.log[before:]
    assert "journal_unavailable" in said
    assert said.count("journal_unavailable") < 40, "it asks again and again"
    await asyncio.to_thread(server.start)
    await bench.drained()


async def test_sigterm_while_it_is_away(bench: Bench, server: LocalPostgresql) -> None:
    """A worker that waits for it stops within its deadline; the broker keeps what it held."""
    worker = bench.start(drain_timeout=0.3)
    await bench.publish(50)
    await bench.arrives(50)
    await asyncio.to_thread(server.stop)
    await bench.publish(100)
    await worker.says(lambda log: "journal_unavailable" in log, "that its journal is away")
    starting = bench.start(drain_timeout=0.3)
    await starting.says(lambda log: "no session" in log, "that there is no journal")
    await bench.stop()
    await bench.safe()
    await asyncio.to_thread(server.start)
    await bench.drained(repeats=False)


@pytest.fixture
async def cut_off(
    broker: LocalBroker,
    server: LocalPostgresql,
    journal: str,
    prefix: str,
    tmp_path: Path,
    workers: ForkServerContext,
    chance: random.Random,
) -> AsyncIterator[tuple[Bench, Proxy]]:
    """A bench whose workers reach the server through a proxy."""
    async with proxy_to(server.port, is_amqp=False) as proxy:
        url = str(URL(journal).with_port(proxy.port))
        async with open_bench(broker.url, prefix, tmp_path, workers, chance, journal=url) as bench:
            yield bench, proxy


async def test_connections_that_break_anywhere_lose_nothing(
    cut_off: tuple[Bench, Proxy], scale: Scale
) -> None:
    """Also between a commit and its answer, when nobody knows whether it was made."""
    bench, proxy = cut_off
    proxy.lifetime = lambda: bench.chance.randrange(20_000, 200_000)
    async with bench.load.streaming(per_second=300):
        workers = [bench.start() for _ in range(2)]
        await bench.arrives(50)
        for _ in range(scale(8, 120)):
            await asyncio.sleep(bench.chance.uniform(0.1, 0.5))
            bench.chance.choice([proxy.cut, proxy.reset])()
    proxy.lifetime = lambda: None
    await bench.drained()
    assert all("journal_unavailable" in worker.log for worker in workers)


@pytest.mark.whole
async def test_a_network_that_falls_silent_loses_nothing(cut_off: tuple[Bench, Proxy]) -> None:
    """Connections that hang are given up, and others take their place."""
    bench, proxy = cut_off
    worker = bench.start()
    async with bench.load.streaming(per_second=100):
        await bench.arrives(50)
        proxy.strand()
        await asyncio.sleep(1)
    await bench.drained(within_seconds=120)
    assert "has not answered" in worker.log


async def test_sigterm_while_it_is_silent(cut_off: tuple[Bench, Proxy]) -> None:
    """Nor does a worker wait for answers that do not come: it is not killed for being late."""
    bench, proxy = cut_off
    with bench.command(PAYMENT_WORKER_DRAIN_TIMEOUT="300ms") as worker:
        await asyncio.to_thread(worker.wait_for_sessions, 1)
        await bench.publish(50)
        await bench.arrives(50)
        proxy.silence()
        await bench.publish(100)
        await asyncio.sleep(0.5)
        code, _ = await asyncio.to_thread(worker.terminate)
        assert code == 0, worker.log
        assert "not everything in flight was finished within 0.3 s" in worker.log
    proxy.speak()
    await bench.safe()
    await bench.drained()
