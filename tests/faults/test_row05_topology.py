"""Row 5: queues and exchanges deleted, a permission revoked, and the topology changed under the worker."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiormq.exceptions import ChannelPreconditionFailed
from pydantic import SecretStr
from yarl import URL

from tests.support.bench import Bench
from tests.support.load import channel_to
from tests.support.stage import eventually
from worker.local_broker import LocalBroker


def dispatched(bench: Bench, kind: str) -> set[str]:
    """The payments of this type that have been found at a processor."""
    sent = {one.payment_id for one in bench.load.sent if one.routing_key.startswith(kind)}
    return sent & bench.ledger.dispatched.keys()


async def test_an_incoming_queue_that_goes_comes_back(bench: Bench) -> None:
    """A worker that declares the topology makes a queue again that was deleted, and goes on."""
    worker = bench.start(topology="declare")
    await bench.publish(30)
    await bench.arrives(30)
    async with channel_to(bench.url) as channel:
        await channel.queue_delete(bench.names.incoming)
    await bench.publish(30)
    await bench.drained(repeats=False)
    assert worker.sessions == 2
    assert "cancelled the consumer" in worker.log


async def test_an_incoming_queue_deleted_under_load_takes_only_itself(bench: Bench) -> None:
    """What was in it is gone with it; nothing else is lost, sent elsewhere or sent differently."""
    worker = bench.start(topology="declare")
    async with bench.load.streaming(per_second=300), channel_to(bench.url) as channel:
        await bench.arrives(50)
        await channel.queue_delete(bench.names.incoming)
        before = list(bench.load.sent)  # confirmed by now or soon, by a broker whose operator has deleted it
        await worker.in_session(2)
    for one in before:
        one.confirmed = False
    await bench.publish(30)
    await bench.drained()


async def test_an_inbox_that_goes_sends_its_payments_elsewhere_or_later(bench: Bench) -> None:
    """Without alpha's inbox, those that may go to beta do; the others wait until it is there again."""
    bench.start()
    await bench.publish(30)
    await bench.arrives(30)
    inbox = bench.ledger.inbox_of("alpha")
    async with channel_to(bench.url) as channel:
        await channel.queue_delete(inbox)
        await bench.publish(30, "card", "wallet")
        await bench.waits_in(bench.names.delay(0.2))
    await bench.declare()
    await bench.drained(repeats=False)
    assert {name for found in bench.ledger.dispatched.values() for name, _ in found} == {
        "alpha",
        "beta",
        "gamma",
    }


async def test_delay_queues_that_go_hold_payments_back(bench: Bench) -> None:
    """A refused payment that no delay queue takes stays unacknowledged until one is there again."""
    worker = bench.start()
    async with bench.load.streaming(100, "voucher"):
        await bench.arrives(30)
        await bench.delete(*map(bench.names.delay, bench.settings.delay_steps))
        await bench.unbind("alpha")
        await bench.publish(20, "card")
        await worker.says(lambda log: "held back" in log, "that it holds payments back")
        assert "no delay queue of 0.2 s takes it: returned by the broker" in worker.log
        await bench.collect(dead=False)
        assert not dispatched(bench, "card")
        await bench.declare()  # what is bound by it is bound again, alpha's inbox too
    await bench.drained(repeats=False)


async def test_a_dead_letter_queue_that_goes_holds_bad_payments_back(bench: Bench) -> None:
    """Bad payments stay unacknowledged until it is there again, and good ones pass meanwhile."""
    bench.load.bad_share = 0.0
    worker = bench.start()
    async with bench.load.streaming(per_second=100):
        await bench.arrives(30)
        await bench.delete(bench.names.dead)
        bench.load.bad_share = 0.2
        await worker.says(lambda log: "held back" in log, "that it holds payments back")
        assert "no dead-letter queue takes it: returned by the broker" in worker.log
        bench.load.bad_share = 0.0
        good = bench.load.make(50, "card")
        await bench.load.publish(good)

        async def good_ones_pass() -> bool:
            await bench.collect(dead=False)
            return dispatched(bench, "card").issuperset(one.payment_id for one in good)

        await eventually(good_ones_pass, "good payments at their processor")
        assert '"dead_lettered"' not in worker.log
        await bench.declare()
    await bench.drained(repeats=False)


async def test_a_processors_exchange_that_goes_is_declared_again(bench: Bench) -> None:
    """Deleted under load, a missing exchange ends the session at worst, and nothing is lost."""
    bench.start(topology="declare")
    async with bench.load.streaming(per_second=300), channel_to(bench.url) as channel:
        for _ in range(3):
            await bench.arrives(len(bench.load.sent))
            await channel.exchange_delete(f"{bench.settings.prefix}.proc.alpha")
    await bench.declare()
    await bench.drained()


async def _replace_by_another_kind(bench: Bench) -> None:
    """Delete the incoming queue and declare a classic one before the worker declares its own again."""
    for _ in range(20):
        async with channel_to(bench.url) as channel:
            await channel.queue_delete(bench.names.incoming)
            with contextlib.suppress(ChannelPreconditionFailed):
                await channel.queue_declare(bench.names.incoming, durable=True)
                return
    raise AssertionError("the worker was always faster")


async def test_a_queue_of_another_kind_is_refused_by_name(bench: Bench) -> None:
    """A queue that was replaced by one with other arguments stops the worker, which says what differs."""
    worker = bench.start(topology="declare")
    await worker.in_session()
    await _replace_by_another_kind(bench)
    assert await worker.ended() == 2
    assert f"the queue {bench.names.incoming} exists but differs" in worker.log
    async with channel_to(bench.url) as channel:
        await channel.queue_delete(bench.names.incoming)
    await bench.declare()
    await bench.publish(30)
    await bench.drained(repeats=False)


async def test_a_binding_that_goes_gives_payments_back_to_their_producer(bench: Bench) -> None:
    """Nothing disappears between an exchange and a queue that is not bound to it."""
    worker = bench.start()
    await worker.in_session()
    names = bench.names
    async with channel_to(bench.url) as channel:
        await channel.queue_unbind(names.incoming, names.exchange, "#")
        publishing = asyncio.create_task(bench.publish(30))
        await asyncio.sleep(0.2)
        assert not publishing.done()
        await channel.queue_bind(names.incoming, names.exchange, "#")
        await publishing
    await bench.drained(repeats=False)


@pytest.fixture
async def user(broker: LocalBroker, bench: Bench) -> AsyncIterator[str]:
    """A user who may do everything; it is removed after the test."""
    name = bench.settings.prefix
    await asyncio.to_thread(broker.rabbitmqctl, "add_user", name, "secret")
    await asyncio.to_thread(broker.rabbitmqctl, "set_permissions", name, ".*", ".*", ".*")
    yield name
    await asyncio.to_thread(broker.rabbitmqctl, "delete_user", name)


async def test_a_permission_that_is_revoked_and_given_back(
    bench: Bench, broker: LocalBroker, user: str
) -> None:
    """Who may not write to a processor's exchange any more stops, says why, and has lost nothing."""
    url = SecretStr(str(URL(bench.url).with_user(user).with_password("secret")))
    worker = bench.start(amqp_url=url)
    await bench.publish(30)
    await bench.arrives(30)
    alpha = f"{bench.settings.prefix}.proc.alpha"
    await asyncio.to_thread(broker.rabbitmqctl, "set_permissions", user, ".*", f"^(?!{alpha}$)", ".*")
    await asyncio.to_thread(broker.rabbitmqctl, "close_all_user_connections", user, "new permissions")
    await bench.publish(30)
    assert await worker.ended() == 2
    assert "ACCESS_REFUSED" in worker.log
    await bench.safe()
    await asyncio.to_thread(broker.rabbitmqctl, "set_permissions", user, ".*", ".*", ".*")
    await bench.drained()
