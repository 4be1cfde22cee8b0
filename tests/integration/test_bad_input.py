"""Bad input: each ends as a dead letter with its own code and an intact body, and the worker goes on."""

import asyncio
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.bad_bodies import BODIES
from tests.support.bodies import payment, payment_fields
from tests.support.stage import Received, Stage, eventually, open_stage
from worker.generate import generate
from worker.local_broker import LocalBroker

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


TENANT = {"tenant": "blue"}
PROPERTIES: dict[str, tuple[dict[str, Any], str]] = {
    "xml": ({"content_type": "application/xml"}, "unsupported_content_type"),
    "type-in-latin-1": ({"content_type": "application/json; charset=iso-8859-1"}, "unsupported_content_type"),
    "gzip": ({"content_encoding": "gzip"}, "unsupported_content_type"),
    "type-with-bidi": ({"content_type": "text/\u202ehtml"}, "unsupported_content_type"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a bad payment, and of the good one published behind it."""

    dead: Received
    good_one_went_on: bool


@pytest.fixture(scope="module")
def outcomes(broker: LocalBroker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Publish every bad payment with a good one behind it, and let one worker have them all."""
    return asyncio.run(_work_off(broker.url, tmp_path_factory.mktemp("bad-input")))


async def _work_off(url: str, folder: Path) -> dict[str, Outcome]:
    cases: list[tuple[str, bytes, dict[str, Any]]] = [(name, body, {}) for name, (body, _) in BODIES.items()]
    cases += [(name, payment(), properties) for name, (properties, _) in PROPERTIES.items()]
    async with open_stage(url, f"bad-input-{uuid4().hex[:8]}", folder, journal="none") as stage:
        for name, body, properties in cases:
            await stage.publish(body, "card.any", headers=TENANT, message_id=name, **properties)
            await stage.publish(payment(f"good-{name}"))
        async with stage.working() as worker:
            dead = await stage.dead(len(cases))
            good = await stage.dispatched("alpha", len(cases))
        assert worker.counts == Counter(dead_lettered=len(cases), dispatched=len(cases))
        assert await stage.leftovers() == {}
    went_on = {one.json["payment_id"] for one in good}
    return {
        str(one.letter.message_id): Outcome(one, f"good-{one.letter.message_id}" in went_on) for one in dead
    }


@pytest.mark.parametrize("name", BODIES)
def test_bad_body_is_dead_lettered_and_the_next_payment_goes_on(
    outcomes: dict[str, Outcome], name: str
) -> None:
    """A bad body becomes one dead letter with its own code; the good payment behind it is dispatched."""
    body, code = BODIES[name]
    _check(outcomes[name], body, code, {})


@pytest.mark.parametrize("name", PROPERTIES)
def test_bad_content_type_is_dead_lettered(outcomes: dict[str, Outcome], name: str) -> None:
    """A good body under a type or an encoding that the worker does not read is a dead letter."""
    properties, code = PROPERTIES[name]
    _check(outcomes[name], payment(), code, properties)


def _check(outcome: Outcome, body: bytes, code: str, properties: dict[str, Any]) -> None:
    """Code, body, and every header of a dead letter."""
    dead, letter = outcome.dead, outcome.dead.letter
    assert outcome.good_one_went_on
    assert dead.body == body
    assert (dead.routing_key, letter.error_code) == (code, code)
    assert letter.routing_key == "card.any"
    assert letter.exchange.startswith("bad-input-")
    assert dead.headers["tenant"] == "blue"
    assert [(one.attempt, one.code, one.processor) for one in dead.attempts] == [(1, code, None)]
    assert _TRACEPARENT.fullmatch(letter.traceparent)
    assert all(_RFC3339.fullmatch(at) for at in (letter.first_seen, letter.dead_at, dead.attempts[0].at))
    assert _is_readable(letter.error_message), letter.error_message
    assert dead.properties.delivery_mode == 2
    assert dead.properties.content_type == properties.get("content_type", "application/json")
    assert dead.properties.content_encoding == properties.get("content_encoding")


def _is_readable(message: str) -> bool:
    """Whether a message is one line of some length without characters that mislead or hide."""
    hidden = any(unicodedata.category(character).startswith("C") for character in message)
    return 20 <= len(message) <= 2000 and not hidden


@pytest.mark.parametrize("currency", ["XAU", "XXX"])
async def test_code_that_no_money_settles_in_is_dead_lettered(stage: Stage, currency: str) -> None:
    """Gold and "no currency" are listed by ISO 4217, but nobody can be paid in them."""
    await stage.publish(payment(currency=currency, type="voucher"))
    async with stage.working() as worker:

        async def done() -> bool:
            return worker.counts.total() == 1

        await eventually(done, "the payment's outcome")
    assert worker.counts == Counter(dead_lettered=1)
    assert (await stage.dead())[0].letter.error_code == "not_settleable"


async def test_dead_letter_names_the_payment_whose_id_can_be_read(stage: Stage) -> None:
    """A payment that is bad elsewhere is found by its id; one whose id is bad has none in its headers."""
    await stage.publish(payment("pay-known", value=12))
    await stage.publish(payment("pay-\u202e"))
    async with stage.working():
        letters = {dead.letter.error_code: dead.letter for dead in await stage.dead(2)}
    assert letters["amount_not_text"].payment_id == "pay-known"
    assert letters["invalid_identifier"].payment_id is None


async def test_message_says_where_and_what_was_expected(stage: Stage) -> None:
    """The message of a dead letter names the member, what is wrong with it and what to write instead."""
    fields = payment_fields()
    await stage.publish(payment(amount={**fields["amount"], "value": 12.34}))
    async with stage.working():
        [dead] = await stage.dead()
    message = dead.letter.error_message
    assert "amount.value" in message
    assert '"12.34"' in message


async def test_bad_payments_cost_the_good_ones_in_their_batch_nothing(stage: Stage) -> None:
    """Of 400 payments of which some are bad, each is found once: dispatched, or dead with its own bytes."""
    bodies = list(generate(400, seed=3, bad_share=0.3))
    for body in bodies:
        await stage.publish(body)
    async with stage.working() as worker:
        await stage.waits_in(stage.names.incoming, 0)
    dead_count, good_count = worker.counts["dead_lettered"], worker.counts["dispatched"]
    assert dead_count + good_count == 400
    assert dead_count >= 60
    dead = await stage.dead(dead_count)
    good = await stage.dispatched("alpha", good_count)
    assert Counter(one.body for one in dead) <= Counter(bodies)
    ids = [one.json["payment_id"] for one in good]
    alive = Counter(bodies) - Counter(one.body for one in dead)
    assert Counter(ids) == Counter(_id_of(body) for body in alive.elements())
    assert await stage.leftovers() == {}


def _id_of(body: bytes) -> str:
    found = re.search(rb'"payment_id":"([^"]+)"', body)
    assert found is not None
    return found[1].decode()
