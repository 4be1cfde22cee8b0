"""Retries: in process, through the delay queues, and into the dead letters with every attempt listed."""

from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from tests.support.bodies import payment
from tests.support.stage import Stage, counts, eventually, open_stage
from worker.local_broker import LocalBroker

BROKERS_HISTORY = ("x-death", "x-first-death", "x-last-death")


def seconds_between(earlier: str, later: str) -> float:
    """The seconds from one RFC 3339 time to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


async def test_payment_that_nobody_takes_is_dead_lettered_with_every_attempt(stage: Stage) -> None:
    """With nothing bound to its processor, a payment passes each delay once and is then dead, in order."""
    await stage.unbind("alpha")
    await stage.publish(payment())
    async with stage.working() as worker:
        [dead] = await stage.dead()
    assert dead.body == payment()
    letter, attempts = dead.letter, dead.attempts
    assert (letter.error_code, letter.attempt, letter.payment_id) == ("retries_exhausted", 3, "pay-1")
    assert [(a.attempt, a.code, a.processor) for a in attempts] == [
        (number, "unroutable", "alpha") for number in (1, 2, 3)
    ]
    assert letter.error_message.count("unroutable") == 3
    assert (letter.exchange, letter.routing_key) == (stage.prefix, "card.eur")
    for step, earlier, later in zip((0.2, 0.3), attempts, attempts[1:], strict=False):
        assert seconds_between(earlier.at, later.at) >= step
    assert letter.first_seen == attempts[0].at
    assert worker.counts == Counter(delayed=2, dead_lettered=1)
    assert await stage.leftovers() == {}


async def test_a_code_has_retries_of_its_own(broker: LocalBroker, prefix: str, tmp_path: Path) -> None:
    """Delays that only one code has are declared, waited in, and end after that code's own attempts."""
    own = {"unroutable": {"attempts": 3, "delays": ["250ms"]}}
    async with open_stage(broker.url, prefix, tmp_path, retry_policies=own) as stage:
        await stage.unbind("alpha")
        await stage.publish(payment())
        async with stage.working() as worker:
            [dead] = await stage.dead()
        attempts = dead.attempts
        assert [attempt.code for attempt in attempts] == ["unroutable"] * 3
        for earlier, later in pairwise(attempts):
            assert seconds_between(earlier.at, later.at) >= 0.25
        assert worker.counts == Counter(delayed=2, dead_lettered=1)
        assert await stage.leftovers() == {}


async def test_payment_is_dispatched_when_the_binding_comes_back_between_attempts(stage: Stage) -> None:
    """An operator who mends the binding while a payment waits in a delay queue gets it dispatched."""
    await stage.unbind("alpha")
    await stage.publish(payment())
    async with stage.working() as worker:

        async def delayed() -> bool:
            return worker.counts["delayed"] == 1

        await eventually(delayed, "the payment in a delay queue")
        await stage.bind("alpha")
        [dispatch] = await stage.dispatched()
    assert dispatch.headers["payment-attempt"] == 2
    assert dispatch.json["attempt"] == 1
    assert worker.counts == Counter(delayed=1, dispatched=1)
    assert await stage.leftovers() == {}


async def test_payment_is_dispatched_in_process_when_the_refusal_was_short(stage: Stage) -> None:
    """A refusal that ends within the in-process retries costs no trip through a delay queue."""
    await stage.unbind("alpha")
    await stage.publish(payment())
    async with stage.working(retry_in_process=20.0) as worker:
        await stage.waits_in(stage.names.incoming, 0)
        await stage.bind("alpha")
        [dispatch] = await stage.dispatched()
    assert dispatch.headers["payment-attempt"] == 1
    assert worker.counts == Counter(dispatched=1)
    assert await stage.leftovers() == {}


async def test_payments_that_wait_for_a_retry_do_not_hold_up_others(stage: Stage) -> None:
    """While one processor refuses, payments of others pass, even when more wait than batches fit."""
    await stage.unbind("alpha")
    for number in range(20):
        await stage.publish(payment(f"stuck-{number}"))
    async with stage.working(retry_in_process=20.0, max_batch=2) as worker:
        await stage.waits_in(stage.names.incoming, 0)
        await stage.publish(payment("bad", value="0"))
        await stage.dead()
        await counts(worker, dead_lettered=1)
        await stage.bind("alpha")
        await stage.dispatched("alpha", 20)
    assert await stage.leftovers() == {}


async def test_what_the_producer_wrote_survives_delays_and_death(stage: Stage) -> None:
    """Headers, message id and expiration outlast two delays; the expiration is disarmed."""
    await stage.unbind("alpha")
    await stage.publish(
        payment(), headers={"tenant": "blue", "shard": 7}, message_id="m-1", expiration="3600000",
        correlation_id="c-1", app_id="shop",
    )  # fmt: skip
    async with stage.working():
        [dead] = await stage.dead()
    letter = dead.letter
    assert (dead.headers["tenant"], dead.headers["shard"]) == ("blue", 7)
    assert (letter.message_id, letter.expiration) == ("m-1", "3600000")
    assert dead.properties.expiration is None
    assert dead.properties.message_id not in (None, "m-1")
    assert (dead.properties.correlation_id, dead.properties.app_id) == ("c-1", "shop")


async def test_brokers_history_is_never_passed_on(stage: Stage) -> None:
    """Neither a delayed payment nor a dead letter has x-death headers, which brokers take for a cycle."""
    await stage.unbind("alpha")
    forged = {"x-death": [{"queue": "a", "count": 1}], "x-first-death-queue": "a", "x-last-death-reason": "b"}
    await stage.publish(payment(), headers=forged)
    watched = await stage.connection.channel()
    spy = f"{stage.prefix}.spy"
    await watched.queue_declare(spy, exclusive=True)
    for step in stage.settings.delay_steps:
        await watched.queue_bind(spy, stage.names.delay(step), "#")
    async with stage.working():
        [dead] = await stage.dead()
    delayed = await stage.take(spy, 2)
    for message in (*delayed, dead):
        assert not [name for name in message.headers if name.startswith(BROKERS_HISTORY)]
    await watched.close()


async def test_trace_goes_through_delays_and_death(stage: Stage) -> None:
    """A payment that came without a trace is given one, and keeps it through delays into the dead letter."""
    await stage.unbind("alpha")
    await stage.publish(payment(), headers={"traceparent": "nonsense"})
    watched = await stage.connection.channel()
    spy = f"{stage.prefix}.spy"
    await watched.queue_declare(spy, exclusive=True)
    await watched.queue_bind(spy, stage.names.delay(0.2), "#")
    async with stage.working():
        [dead] = await stage.dead()
    [delayed] = await stage.take(spy)
    assert delayed.headers["traceparent"][3:35] == dead.letter.traceparent[3:35]
    await watched.close()


async def test_attempts_are_counted_on_by_another_worker(stage: Stage) -> None:
    """A worker that stops between two attempts leaves the count in the broker; the next goes on from it."""
    await stage.unbind("alpha")
    await stage.publish(payment())
    async with stage.working() as first:

        async def delayed() -> bool:
            return first.counts["delayed"] >= 1

        await eventually(delayed, "the first delay")
    async with stage.working() as second:
        [dead] = await stage.dead()
    assert [attempt.attempt for attempt in dead.attempts] == [1, 2, 3]
    assert (first.counts + second.counts)["delayed"] == 2


async def test_payment_is_held_while_no_delay_queue_takes_it(stage: Stage) -> None:
    """A delay exchange without its queue loses nothing: the payment is held back until it is mended."""
    await stage.unbind("alpha")
    first = stage.names.delay(0.2)
    await stage.channel.queue_unbind(first, first, "#")
    await stage.publish(payment())
    async with stage.working() as worker:
        await stage.waits_in(stage.names.incoming, 0)
        assert worker.counts == Counter()
        await stage.channel.queue_bind(first, first, "#")
        await stage.bind("alpha")
        [dispatch] = await stage.dispatched()
    assert dispatch.json["payment_id"] == "pay-1"
    assert await stage.leftovers() == {}


async def test_bad_payment_is_held_while_no_dead_letter_queue_takes_it(stage: Stage) -> None:
    """A dead-letter exchange without its queue loses nothing, and good payments go on meanwhile."""
    dead = stage.names.dead
    await stage.channel.queue_unbind(dead, dead, "#")
    await stage.publish(b"{bad")
    await stage.publish(payment())
    async with stage.working() as worker:
        await stage.dispatched()
        assert worker.counts["dead_lettered"] == 0
        await stage.channel.queue_bind(dead, dead, "#")
        [letter] = await stage.dead()
    assert letter.body == b"{bad"
    assert await stage.leftovers() == {}


async def test_stop_while_a_payment_is_held_leaves_it_in_the_broker(stage: Stage) -> None:
    """A payment that nothing takes does not keep the worker from stopping in time, and stays incoming."""
    dead = stage.names.dead
    await stage.channel.queue_unbind(dead, dead, "#")
    await stage.publish(b"{bad")
    async with stage.working(drain_timeout=0.3) as worker:
        await stage.waits_in(stage.names.incoming, 0)
        worker.stop.set()
    await stage.waits_in(stage.names.incoming, 1)
    assert worker.counts["dead_lettered"] == 0


async def test_stop_while_a_payment_waits_for_a_retry_leaves_it_in_the_broker(stage: Stage) -> None:
    """Long in-process retries do not outlast the drain deadline; the payment is delivered to the next."""
    await stage.unbind("alpha")
    await stage.publish(payment())
    async with stage.working(drain_timeout=0.3, retry_in_process=60.0):
        await stage.waits_in(stage.names.incoming, 0)
    await stage.waits_in(stage.names.incoming, 1)
    await stage.bind("alpha")
    async with stage.working():
        [dispatch] = await stage.dispatched()
    assert dispatch.json["payment_id"] == "pay-1"
