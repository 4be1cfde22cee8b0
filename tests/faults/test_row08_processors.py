"""Row 8: one processor is absent, one is slow, one refuses everything, and the others do not notice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiormq.abc import DeliveredMessage

from tests.faults.conftest import Scale
from tests.support.bench import Bench
from tests.support.load import channel_to
from tests.support.stage import Received
from worker.local_broker import LocalBroker


async def test_an_absent_processor_delays_its_own_payments_only(bench: Bench) -> None:
    """With nothing bound to gamma, others' payments pass; gamma's come when it does."""
    await bench.unbind("gamma")
    bench.start()
    await bench.publish(40, "voucher")
    await bench.publish(40, "card", "wallet")
    await bench.arrives(40)
    assert all(one.candidates == ("gamma",) for one in bench.ledger.missing(bench.load.sent))
    await bench.bind("gamma")
    await bench.drained(repeats=False)


@pytest.mark.whole
async def test_a_slow_processor_gets_everything_in_time(bench: Bench, broker: LocalBroker) -> None:
    """A connector behind a short inbox, which it empties now and then, gets every payment once."""
    worker = bench.start()
    async with bench.full(broker, r"proc\.gamma\.inbox", length=3):
        async with bench.load.streaming(40, "voucher", "card"):  # a limit is felt a moment late
            await worker.says(lambda log: "publish_refused" in log, "that gamma refuses")
        await bench.drained(repeats=False)


@pytest.mark.whole
async def test_a_processor_that_refuses_everything_ends_in_dead_letters(bench: Bench) -> None:
    """Its payments are dead-lettered after every attempt; a fallback takes what it may, others pass."""
    await bench.jam("alpha")
    bench.start()
    await bench.publish(60, "card", "wallet", "voucher")
    await bench.drained(repeats=False, may_die={"retries_exhausted"})
    for one in bench.load.sent:
        assert (one.body in bench.ledger.dead) == (one.candidates == ("alpha",))
    for [letter] in bench.ledger.dead.values():
        assert [a.attempt for a in letter.attempts] == [1, 2, 3, 4, 5, 6]
        assert {a.processor for a in letter.attempts} == {"alpha"}
        assert {a.code for a in letter.attempts} <= {"publish_refused", "circuit_open"}


@asynccontextmanager
async def rejecting(bench: Bench, processor: str) -> AsyncIterator[Mapping[str, int]]:
    """Put a connector that rejects every dispatch in the place of a processor's; how often, by payment."""
    queue, names, rejected = f"{bench.settings.prefix}.jam", bench.names, Counter[str]()
    arguments: Any = {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-dead-letter-strategy": "at-least-once",
        "x-dead-letter-exchange": names.returns,
        "x-dead-letter-routing-key": names.returned,
    }
    async with channel_to(bench.url) as channel:

        async def reject(message: DeliveredMessage) -> None:
            found = Received(message.body, str(message.routing_key), message.header.properties)
            rejected[str(found.json["payment_id"])] += 1
            await channel.basic_reject(message.delivery_tag or 0, requeue=False)

        await channel.queue_declare(queue, durable=True, arguments=arguments)
        await channel.queue_bind(queue, bench.exchange_of(processor), "#")
        await bench.unbind(processor)
        await channel.basic_consume(queue, reject)
        yield rejected


async def test_a_connector_that_rejects_everything_over_crashes(bench: Bench, scale: Scale) -> None:
    """The next candidate gets what it has rejected, and nothing else; it is asked once, and once a crash."""
    bench.without_breakers()
    kills = scale(6, 100)
    async with rejecting(bench, "alpha") as rejected:
        async with bench.load.streaming(200):
            for _ in range(kills):
                worker = bench.start()
                await asyncio.sleep(bench.chance.uniform(0, 0.8))
                worker.kill()
                assert await worker.ended() == -9
        await bench.drained(may_die={"returned"})
        for one in bench.load.sent:
            assert (one.payment_id in rejected) == ("alpha" in one.candidates), one
            assert (one.body in bench.ledger.dead) == (one.candidates in {("alpha",), ()}), one
        assert max(rejected.values()) <= kills + 1
