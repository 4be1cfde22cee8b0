"""Dispatches that connectors give back on a real broker: rejected, or published to where they belong."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pamqp import commands

from tests.support.bodies import payment
from tests.support.stage import Stage, eventually, open_stage
from worker.local_broker import LocalBroker


@pytest.fixture(params=["journal", "none"])
async def stage(
    request: pytest.FixtureRequest, broker: LocalBroker, prefix: str, tmp_path: Path
) -> AsyncIterator[Stage]:
    """A stage of the test's own, with a journal and without."""
    more = {} if request.param == "journal" else {"journal": "none"}
    async with open_stage(broker.url, prefix, tmp_path, **more) as opened:
        yield opened


async def wallet(stage: Stage, name: str, **more: object) -> bytes:
    """Publish a payment that goes to alpha or else to beta."""
    body = payment(name, type="wallet", **more)
    await stage.publish(body, "wallet.eur")
    return body


async def reject(stage: Stage, processor: str, count: int = 1) -> None:
    """Take dispatches as a connector does, and reject them."""
    rejected = 0

    async def enough() -> bool:
        nonlocal rejected
        while rejected < count:
            message = await stage.channel.basic_get(stage.inbox_of(processor))
            if isinstance(message.delivery, commands.Basic.GetEmpty):
                return False
            await stage.channel.basic_reject(message.delivery.delivery_tag, requeue=False)
            rejected += 1
        return True

    await eventually(enough, f"{count} dispatches to reject")


async def test_rejected_dispatch_goes_to_the_next_candidate(stage: Stage) -> None:
    """With the payment as it was, under an id of its own; nothing is left behind."""
    await wallet(stage, "w-1", note="ünïcode, 12.30")
    async with stage.working() as worker:
        await reject(stage, "alpha")
        [dispatch] = await stage.dispatched("beta")
    assert dispatch.json["note"] == "ünïcode, 12.30"
    assert (dispatch.json["processor"], dispatch.json["attempt"]) == ("beta", 2)
    attempts = [(one["code"], one["processor"]) for one in json.loads(dispatch.headers["payment-attempts"])]
    assert attempts == [("returned", "alpha")]
    assert worker.counts == Counter(dispatched=2, returned=1)
    assert await stage.leftovers() == {}


async def test_rejected_by_all_is_a_dead_letter_as_the_producer_wrote_it(stage: Stage) -> None:
    """Each processor has had it once, and the dead letter says so."""
    body = await wallet(stage, "w-1")
    async with stage.working():
        await reject(stage, "alpha")
        await reject(stage, "beta")
        [dead] = await stage.dead()
    assert dead.body == body
    assert (dead.letter.error_code, dead.letter.payment_id) == ("returned", "w-1")
    assert [(one.code, one.processor) for one in dead.attempts] == [
        ("returned", "alpha"),
        ("returned", "beta"),
    ]
    assert (dead.letter.exchange, dead.letter.routing_key) == (stage.prefix, "wallet.eur")
    assert await stage.leftovers() == {}


async def test_connector_may_publish_a_dispatch_back(stage: Stage) -> None:
    """Through the default exchange, without any of the headers it came with."""
    await wallet(stage, "w-1")
    async with stage.working():
        [dispatch] = await stage.dispatched("alpha")
        await stage.channel.basic_publish(dispatch.body, routing_key=stage.names.returned, mandatory=True)
        [again] = await stage.dispatched("beta")
    assert again.json["payment_id"] == "w-1"
    assert await stage.leftovers() == {}


async def test_processor_that_rejects_everything_slows_nobody(stage: Stage) -> None:
    """Hundreds of rejected payments end at the fallback, each once, while others pass by."""
    count = 200
    for number in range(count):
        await wallet(stage, f"w-{number}")
    async with stage.working() as worker:
        rejecting = asyncio.create_task(reject(stage, "alpha", count))
        found = await stage.dispatched("beta", count)
        await rejecting
    assert Counter(one.json["payment_id"] for one in found) == Counter(f"w-{n}" for n in range(count))
    assert worker.counts["returned"] == count
    assert worker.counts["dead_lettered"] == 0
    assert await stage.leftovers() == {}


async def test_payment_that_is_delayed_after_it_was_given_back_does_not_go_back(stage: Stage) -> None:
    """The processor that gave it back is passed in every later round, too."""
    await stage.unbind("beta")
    await wallet(stage, "w-1")
    async with stage.working() as worker:
        await reject(stage, "alpha")

        async def delayed() -> bool:
            return worker.counts["delayed"] >= 1

        await eventually(delayed, "the payment in a delay queue")
        await stage.bind("beta")
        [dispatch] = await stage.dispatched("beta")
    codes = [one["code"] for one in json.loads(dispatch.headers["payment-attempts"])]
    assert codes[:2] == ["returned", "unroutable"]
    assert await stage.leftovers() == {}


async def test_what_is_no_dispatch_is_dead_lettered(stage: Stage) -> None:
    """Whatever lies among what was given back, it stops nothing and is kept."""
    for body in (b"", b"{bad", payment("not-a-dispatch")):
        await stage.channel.basic_publish(body, routing_key=stage.names.returned, mandatory=True)
    async with stage.working():
        dead = await stage.dead(3)
    assert {one.letter.error_code for one in dead} == {"not_our_dispatch"}
    assert await stage.leftovers() == {}
