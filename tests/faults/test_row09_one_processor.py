"""Row 9: duplicates, other bodies, other rules, other breakers: one processor a payment, whatever happens."""

import json

import pytest

from tests.faults.conftest import Scale
from tests.support.bench import Bench
from tests.support.fault_points import Crash, Moment
from tests.support.load import Sent
from tests.support.stage import eventually

PAYMENTS = 60
ELSEWHERE = "{to: beta, fees: standard}"
IN_DOUBT: tuple[tuple[str, Moment], ...] = (
    ("claim", "after"), ("send", "before"), ("confirm", "before"), ("send", "after"), ("record", "before"),
    ("record", "after"), ("settle", "before"),
)  # fmt: skip
"""Where a worker can die after it has decided on a processor and before the broker knows that it is done."""


def turn_elsewhere(bench: Bench) -> None:
    """Let the rules of workers started from now on send cards to beta."""
    bench.rules.write_text(bench.rules.read_text().replace("{to: alpha, fees: standard}", ELSEWHERE))
    for one in bench.load.sent:
        one.candidates = ("alpha", "beta")


def processor_of(bench: Bench, one: Sent) -> str:
    """The one processor that has a payment."""
    [processor] = {name for name, _ in bench.ledger.dispatched[one.payment_id]}
    return processor


async def test_repeats_in_any_order_are_dispatched_once(bench: Bench) -> None:
    """A payment that its producer publishes again and again, out of order, to two workers goes out once."""
    payments = bench.load.make(PAYMENTS, "card", "wallet", "voucher")
    bench.start()
    bench.start()
    await bench.load.publish(payments)
    for _ in range(3):
        bench.chance.shuffle(payments)
        await bench.load.publish_again(payments)
    await bench.drained(repeats=False)


async def test_another_payment_of_the_same_id_is_no_repeat(bench: Bench) -> None:
    """It is dead-lettered as a conflict, and the payment that came first is not touched."""
    bench.start()
    await bench.publish(PAYMENTS, "card", "wallet", "voucher")
    await bench.arrives(PAYMENTS)
    await bench.load.publish([other_than(one) for one in bench.load.sent])
    await bench.drained(repeats=False)
    assert len(bench.ledger.dead) == PAYMENTS


def other_than(one: Sent) -> Sent:
    """A payment of the same id with another amount. The ledger knows it by its body alone."""
    document = json.loads(one.body)
    document["amount"]["value"] = "0.77"
    body = json.dumps(document).encode()
    return Sent(f"another {one.payment_id}", body, one.routing_key, code="idempotency_conflict")


@pytest.mark.parametrize(("step", "moment"), IN_DOUBT)
async def test_rules_that_change_over_a_crash_move_nothing(bench: Bench, step: str, moment: Moment) -> None:
    """What alpha may have goes to alpha again, though cards go to beta by now; the others go to beta."""
    await bench.publish(PAYMENTS, "card")
    worker = bench.start(Crash(step, moment, call=2), max_batch=10)
    assert await worker.ended() == -9
    await bench.publish(1, "card")  # for beta, even if the worker was fast enough to claim all others
    turn_elsewhere(bench)
    await bench.drained()
    assert {processor_of(bench, one) for one in bench.load.sent} == {"alpha", "beta"}


@pytest.mark.parametrize(
    ("step", "moment"),
    [
        ("send", "after"),
        *(pytest.param(*one, marks=pytest.mark.whole) for one in IN_DOUBT if one[0] != "send"),
    ],
)
async def test_a_processor_that_refuses_after_a_crash_keeps_what_it_may_have(
    bench: Bench, step: str, moment: Moment
) -> None:
    """Wallets that alpha may have wait for alpha, even while it refuses; only the others may go to beta."""
    await bench.publish(PAYMENTS, "wallet")
    worker = bench.start(Crash(step, moment, call=2), max_batch=10)
    assert await worker.ended() == -9
    await bench.publish(1, "wallet")  # for beta, even if the worker was fast enough to claim all others
    await bench.jam("alpha")
    bench.start()

    async def some_at_beta() -> bool:
        await bench.collect()
        return any(name == "beta" for found in bench.ledger.dispatched.values() for name, _ in found)

    await eventually(some_at_beta, "a payment at beta")
    await bench.unjam("alpha")
    await bench.drained()
    assert {processor_of(bench, one) for one in bench.load.sent} == {"alpha", "beta"}


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_processor_that_recovers_after_a_crash_is_not_asked_again(
    bench: Bench, moment: Moment
) -> None:
    """Wallets that alpha refused and beta may have are beta's, though alpha takes payments again."""
    await bench.jam("alpha")
    await bench.publish(PAYMENTS, "wallet")
    worker = bench.start(Crash("record", moment), max_batch=10)
    assert await worker.ended() == -9
    await bench.unjam("alpha")
    await bench.drained()
    assert {processor_of(bench, one) for one in bench.load.sent} == {"alpha", "beta"}


async def test_breakers_that_disagree_share_no_payment(bench: Bench, scale: Scale) -> None:
    """One worker's breaker is open and another's closed, both die again and again: one processor each."""
    async with bench.load.streaming(200, "wallet"):
        for number in range(scale(2, 20)):
            await bench.jam("alpha")
            refused = bench.start(max_batch=10)
            await refused.says(lambda log: '"state": "open"' in log, "that its breaker is open")
            await bench.unjam("alpha")
            fresh = bench.start(Crash("record", "before", call=3), max_batch=10)
            assert await fresh.ended() == -9
            if number % 2:
                refused.kill()
            else:
                refused.terminate()
            await refused.ended()
    await bench.drained()
    assert {processor_of(bench, one) for one in bench.load.sent} == {"alpha", "beta"}


@pytest.mark.forgetful
@pytest.mark.xfail(reason="without a journal nobody knows which rules were in force before the crash")
async def test_without_a_journal_rules_that_change_over_a_crash_move_payments(bench: Bench) -> None:
    """What is not promised: a card that alpha has is dispatched to beta as well."""
    await bench.publish(PAYMENTS, "card")
    worker = bench.start(Crash("settle", "before", call=2), max_batch=10)
    assert await worker.ended() == -9
    turn_elsewhere(bench)
    await bench.drained()
