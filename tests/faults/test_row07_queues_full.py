"""Row 7: full queues: incoming, a processor's, the delays', the dead letters', and all at once."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.bench import Bench
from worker.local_broker import LocalBroker


@pytest.fixture
def bench(node_bench: Bench) -> Bench:
    """A bench on the broker that tests may change."""
    return node_bench


@pytest.fixture(autouse=True, scope="module")
def impatient(node: LocalBroker) -> Iterator[None]:
    """A queue that refuses what a delay gives back is asked again after a second, not after three minutes."""
    set_seconds = "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, {}000).".format
    node.rabbitmqctl("eval", set_seconds(1))
    yield
    node.rabbitmqctl("eval", set_seconds(180))


async def test_everything_full_at_once_is_back_pressure(bench: Bench, node: LocalBroker) -> None:
    """A jam reaches back to the producer, whose publishes are refused; when it ends, all flows, once."""
    worker = bench.start()
    async with bench.full(node, ".*", length=5):
        publishing = asyncio.create_task(bench.publish(300))
        await worker.says(lambda log: '"delayed"' in log, "that payments are delayed")
        assert not publishing.done()
    await publishing
    await bench.drained(repeats=False)
    assert worker.sessions == 1


async def test_what_a_full_inbox_refuses_goes_to_the_next_or_waits(bench: Bench) -> None:
    """What alpha refuses goes to beta where the rules allow it, and otherwise waits for alpha."""
    await bench.jam("alpha")
    bench.start()
    await bench.publish(50, "card", "wallet")
    await bench.waits_in(bench.names.delay(1.0))
    await bench.unjam("alpha")
    await bench.drained(repeats=False)
    for one in bench.load.sent:
        assert {name for name, _ in bench.ledger.dispatched[one.payment_id]} == {one.candidates[-1]}


@pytest.mark.whole
async def test_full_delay_queues_hold_payments_back(bench: Bench, node: LocalBroker) -> None:
    """A refused payment that no delay queue takes stays in the worker's hands, unacknowledged."""
    await bench.jam("alpha")
    worker = bench.start()
    async with bench.full(node, r"delay\..*"):
        await bench.publish(50, "card")
        await asyncio.sleep(2.0)
        assert worker.log.count('"delayed"') < 50
        await bench.unjam("alpha")
    await bench.drained(repeats=False)


@pytest.mark.whole
async def test_a_full_dead_letter_queue_holds_only_bad_payments_back(bench: Bench, node: LocalBroker) -> None:
    """Good payments pass while bad ones wait for room among the dead letters."""
    bench.load.bad_share = 0.5
    worker = bench.start()
    async with bench.full(node, "dead", length=5):
        await bench.publish(100)
        async with asyncio.timeout(30):
            while len(bench.ledger.dispatched) < sum(one.code is None for one in bench.load.sent):
                await bench.collect(dead=False)
        assert worker.log.count('"dead_lettered"') < sum(one.code is not None for one in bench.load.sent)
    await bench.drained(repeats=False)


@pytest.mark.whole
async def test_a_full_incoming_queue_gets_delayed_payments_later(bench: Bench, node: LocalBroker) -> None:
    """A delay that ends while its queue is full does not lose its payment, which comes when there is room."""
    await bench.unbind("alpha")
    worker = bench.start()
    async with bench.full(node, "incoming"):
        await bench.publish(20, "card")
        await worker.says(lambda log: log.count('"delayed"') >= 20, "that payments are delayed")
        await bench.stop()
        await asyncio.sleep(2.0)
        assert (await bench.depths())[bench.names.incoming] < 20
    await bench.bind("alpha")
    await bench.drained(repeats=False)
