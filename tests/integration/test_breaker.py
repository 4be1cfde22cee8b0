"""Circuit breakers on a real broker: a dead processor is left alone, and tried again later."""

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.bodies import RULES, payment, write_rules
from tests.support.stage import Stage, eventually, open_stage
from worker.local_broker import LocalBroker
from worker.rules_file import load_rules
from worker.session import Worker

TOUCHY = RULES.replace("minimum_payments: 1000", "minimum_payments: 4, open_seconds: 1")


@pytest.fixture
async def stage(
    broker: LocalBroker, prefix: str, tmp_path: Path, journal: dict[str, str]
) -> AsyncIterator[Stage]:
    """A stage whose breakers open after four payments, for a second."""
    delays = (0.2, 0.3, 0.4, 2.0)
    async with open_stage(broker.url, prefix, tmp_path, TOUCHY, delay_steps=delays, **journal) as opened:
        yield opened


async def wallets(stage: Stage, *names: str) -> None:
    """Publish payments that go to alpha or else to beta."""
    for name in names:
        await stage.publish(payment(name, type="wallet"), "wallet.eur")


async def has_state(worker: Worker, processor: str, state: str) -> None:
    async def there() -> bool:
        return worker.breakers.states[processor] == state

    await eventually(there, f"the breaker of {processor} {state}")


async def test_dead_processor_is_passed_over_and_comes_back_by_a_trial(stage: Stage) -> None:
    """Its breaker opens, the fallback has its payments without a try, and a trial closes it again."""
    await stage.unbind("alpha")
    with capture_logs() as logs:
        async with stage.working() as worker:
            for number in range(4):
                await wallets(stage, f"early-{number}")
                await stage.dispatched("beta")
            await has_state(worker, "alpha", "open")
            await stage.bind("alpha")
            await wallets(stage, "while-open")
            [passed] = await stage.dispatched("beta")
            assert passed.json["payment_id"] == "while-open"

            again = (f"again-{number}" for number in itertools.count())

            async def tried() -> bool:
                await wallets(stage, next(again))
                return worker.breakers.states["alpha"] == "closed"

            await eventually(tried, "a trial that closes the breaker")
            await wallets(stage, "after")
            await eventually(lambda: arrived(stage, "after"), "a payment at alpha again")
    changes = [(line["processor"], line["state"]) for line in logs if line["event"] == "circuit breaker"]
    assert changes == [("alpha", "open"), ("alpha", "half_open"), ("alpha", "closed")]


async def arrived(stage: Stage, name: str) -> bool:
    [one] = await stage.dispatched("alpha")
    return bool(one.json["payment_id"] == name)


async def test_payment_without_another_candidate_waits_in_the_broker(stage: Stage) -> None:
    """With its only breaker open a payment is delayed, not dead-lettered, and is dispatched afterwards."""
    await stage.unbind("alpha")
    async with stage.working(retry_in_process=0.0) as worker:
        await wallets(stage, *(f"early-{number}" for number in range(4)))
        await stage.dispatched("beta", 4)
        await has_state(worker, "alpha", "open")
        await stage.publish(payment("card"))

        async def delayed() -> bool:
            return worker.counts["delayed"] >= 1

        await eventually(delayed, "the card payment in a delay queue")
        await stage.bind("alpha")
        [dispatch] = await stage.dispatched("alpha")
    assert dispatch.json["payment_id"] == "card"
    assert dispatch.headers["payment-attempt"] >= 2
    assert worker.counts["dead_lettered"] == 0


@pytest.mark.forgetful
async def test_pinned_payment_is_not_moved_by_a_breaker(stage: Stage, tmp_path: Path) -> None:
    """What may have reached alpha stays with alpha while its breaker is open."""
    await stage.unbind("alpha")
    await stage.unbind("beta")
    await wallets(stage, "unknown")
    touchy, stage.table = stage.table, load_rules([write_rules(tmp_path / "calm.yaml", stage.prefix, RULES)])
    # Open breakers would let the payment be delayed, instead of being in hand when the time to drain is over.
    async with stage.working(drain_timeout=0.3, retry_in_process=60.0):
        await stage.waits_in(stage.names.incoming, 0)
    await stage.waits_in(stage.names.incoming, 1)  # delivered once, without an answer
    stage.table = touchy
    await stage.bind("beta")
    async with stage.working(retry_in_process=0.0) as worker:
        await eventually(lambda: delayed_as(worker, 1), "the payment in a delay queue")
        await wallets(stage, *(f"other-{number}" for number in range(6)))
        others = await stage.dispatched("beta", 6)
        await has_state(worker, "alpha", "open")
        await stage.bind("alpha")
        [dispatch] = await stage.dispatched("alpha")
    assert dispatch.json["payment_id"] == "unknown"
    assert Counter(one.json["payment_id"] for one in others)["unknown"] == 0


async def delayed_as(worker: Worker, count: int) -> bool:
    return worker.counts["delayed"] >= count
