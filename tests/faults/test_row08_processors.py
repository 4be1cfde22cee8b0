"""Row 8: one processor is absent, one is slow, one refuses everything, and the others do not notice."""

import pytest

from tests.support.bench import Bench
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
        await bench.publish(40, "voucher", "card")
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
