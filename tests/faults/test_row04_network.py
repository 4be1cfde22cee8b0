"""Row 4: a network that is slow, cuts, resets, falls silent, and loses confirms or acknowledgements."""

import asyncio

import pytest

from tests.faults.conftest import ALSO_STANDARD, Scale
from tests.support.bench import Bench
from tests.support.proxy import ACKS, CONFIRMS, NOTHING, Proxy
from tests.support.stage import eventually

pytestmark = pytest.mark.parametrize("lane", ALSO_STANDARD)


async def test_latency_only_slows_down(bench: Bench, proxy: Proxy) -> None:
    """A network that takes its time costs no session and repeats nothing."""
    proxy.delay = lambda: bench.chance.uniform(0, 0.03)
    worker = bench.start(through=proxy)
    await bench.publish(200)
    await bench.drained(repeats=False)
    assert worker.sessions == 1


async def test_one_byte_at_a_time_is_enough(bench: Bench, proxy: Proxy) -> None:
    """However small the pieces are in which bytes arrive, they are the same bytes."""
    proxy.piece_bytes = 1
    worker = bench.start(through=proxy)
    await bench.publish(20)
    await bench.drained(repeats=False)
    assert worker.sessions == 1


@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_connections_that_end_under_load_lose_nothing(
    bench: Bench, proxy: Proxy, scale: Scale, end: str
) -> None:
    """Closed or reset at any moment, a session is followed by another, which finishes the work."""
    worker = bench.start(through=proxy)
    async with bench.load.streaming(per_second=300):
        for number in range(scale(3, 60)):
            await worker.in_session(number + 1)
            await asyncio.sleep(bench.chance.uniform(0, 0.3))
            getattr(proxy, end)()
    await bench.drained()


async def test_connections_that_live_for_some_bytes_lose_nothing(
    bench: Bench, proxy: Proxy, scale: Scale
) -> None:
    """Cut in the middle of anything, be it a handshake, a frame or a batch, nothing is lost.

    A message that is alone on its way each time a connection is cut cannot be told from one that cuts it.
    """
    proxy.lifetime = lambda: bench.chance.randrange(1, 60_000)
    worker = bench.start(through=proxy, prefetch=20)
    async with bench.load.streaming(per_second=300):
        await worker.in_session(scale(10, 300))
    proxy.lifetime = lambda: None
    await bench.drained(may_die={"crashed"})


@pytest.mark.whole
async def test_stranded_connections_are_given_up(bench: Bench, proxy: Proxy) -> None:
    """Both ends of a dead connection believe in it: confirms and heartbeats tell them otherwise."""
    worker = bench.start(through=proxy, heartbeat=2, confirm_timeout=1.0)
    await bench.publish(100)
    await bench.arrives(100)
    proxy.strand()
    await bench.publish(100)
    await worker.in_session(2)
    await bench.drained()


async def test_swallowed_confirms_leave_the_outcome_unknown(bench: Bench, proxy: Proxy) -> None:
    """What was stored without the worker's knowledge goes again: same bytes, same processor."""
    proxy.swallowed = CONFIRMS
    worker = bench.start(through=proxy, confirm_timeout=0.5, prefetch=20)
    await bench.publish(60)
    await worker.in_session(3)
    proxy.swallowed = NOTHING
    await bench.drained()
    assert bench.ledger.repeats > 0
    assert "no confirm within 0.5 s" in worker.log


async def test_swallowed_acks_are_made_up_for_by_the_journal(bench: Bench, proxy: Proxy) -> None:
    """A broker that never hears of acknowledgements delivers all again; what was recorded goes out once."""
    proxy.swallowed = ACKS
    worker = bench.start(through=proxy)
    await bench.publish(60)
    await bench.arrives(60)
    proxy.cut()
    proxy.swallowed = NOTHING
    await worker.in_session(2)
    await bench.drained()
    assert '"duplicate": ' in worker.log
    assert bench.ledger.repeats < 60


@pytest.mark.forgetful
async def test_swallowed_acks_repeat_everything_without_a_journal(bench: Bench, proxy: Proxy) -> None:
    """Nobody remembers, so all are dispatched again: the same bytes to the same processor."""
    proxy.swallowed = ACKS
    worker = bench.start(through=proxy)
    await bench.publish(60)
    await bench.arrives(60)
    proxy.cut()
    proxy.swallowed = NOTHING
    await worker.in_session(2)

    async def repeated() -> bool:
        await bench.collect()
        return bench.ledger.repeats >= 60

    await eventually(repeated, "sixty repeats")
    await bench.drained()
