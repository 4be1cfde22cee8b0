"""Dispatches: what a processor receives, exactly once, and who gets it when another cannot take it."""

import json
import re
from collections import Counter
from fractions import Fraction
from typing import Any

import jsonschema
import pytest
from aiormq.exceptions import DeliveryError

from schemas.dispatch import Dispatch
from schemas.export import FOLDER, rendered
from tests.support.bodies import payment
from tests.support.stage import Received, Stage

PRODUCERS_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FULL_INBOX: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-overflow": "reject-publish",
    "x-max-length": 1,
}


async def dispatch_of(
    stage: Stage, body: bytes, routing_key: str = "card.eur", **properties: Any
) -> Received:
    """Publish one payment, let a worker have it, and take its only dispatch, at alpha."""
    await stage.publish(body, routing_key, **properties)
    async with stage.working() as worker:
        [dispatch] = await stage.dispatched()
    assert worker.counts == Counter(dispatched=1)
    assert await stage.leftovers() == {}
    return dispatch


async def test_dispatch_is_what_both_schemas_say(stage: Stage) -> None:
    """A dispatch is valid by the pydantic model and by the JSON Schema that connectors are given."""
    dispatch = await dispatch_of(stage, payment(country="DE", metadata={"level": 7, "vip": True}))
    decided = Dispatch.model_validate_json(dispatch.body)
    schema = json.loads(rendered()[FOLDER / "dispatch.schema.json"])
    jsonschema.Draft202012Validator(schema).validate(dispatch.json)
    assert (decided.processor, decided.rule, decided.attempt) == ("alpha", "cards", 1)
    assert decided.rules_version == stage.table.version


async def test_dispatch_has_the_properties_that_connectors_rely_on(stage: Stage) -> None:
    """Persistent JSON with an id of its own, the payment id to correlate by, and the trace to go on with."""
    dispatch = await dispatch_of(
        stage, payment(), message_id="m-1", correlation_id="c-1", headers={"traceparent": PRODUCERS_TRACE}
    )
    properties = dispatch.properties
    assert dispatch.routing_key == "card.eur"
    assert (properties.delivery_mode, properties.content_type) == (2, "application/json")
    assert properties.message_id not in (None, "m-1")
    assert properties.correlation_id == "pay-1"
    assert dispatch.headers["dispatch-id"] == dispatch.json["dispatch_id"]
    assert dispatch.headers["traceparent"] == PRODUCERS_TRACE
    assert properties.timestamp is not None


async def test_routing_key_comes_from_the_payment_not_from_the_producer(stage: Stage) -> None:
    """A producer's mistaken routing key does not mislead a processor's bindings."""
    dispatch = await dispatch_of(stage, payment(currency="JPY", value="500"), "wallet.usd")
    assert dispatch.routing_key == "card.jpy"


async def test_expiration_of_the_producer_does_not_let_a_dispatch_expire(stage: Stage) -> None:
    """A dispatch waits for its processor however long it takes."""
    dispatch = await dispatch_of(stage, payment(), expiration="60000", priority=3)
    assert dispatch.properties.expiration is None


ODD_MEMBERS = (
    b'"order_total": 12345678901234567890123, "ratio": 0.10, "big": 1E2, "tiny": 1e-300, '
    b'"minus_zero": -0.0, "text": "\\u00e9 \\/ \xe2\x82\xac", "empty": {}, '
    b'"list": [ 1 , 2.50 ], "nothing": null'
)


async def test_unknown_members_are_passed_on_byte_for_byte(stage: Stage) -> None:
    """Members that the worker does not know reach the processor as the producer wrote them."""
    body = payment()[:-1] + b", " + ODD_MEMBERS + b"}"
    dispatch = await dispatch_of(stage, body)
    assert dispatch.body.endswith(b"," + body[1:])


async def test_pretty_printed_payment_keeps_its_form(stage: Stage) -> None:
    """Blanks and line breaks between members are the producer's too."""
    body = b" \n" + json.dumps(json.loads(payment()), indent=4).encode() + b"\r\n"
    dispatch = await dispatch_of(stage, body)
    assert dispatch.body.endswith(body.strip()[1:])
    Dispatch.model_validate_json(dispatch.body)


@pytest.mark.parametrize(
    ("value", "currency", "gross", "fees", "net"),
    [
        ("12.34", "EUR", "12.34", ["0.66"], "11.68"),
        ("100", "EUR", "100.00", ["3.20"], "96.80"),
        ("1000", "JPY", "1000", ["59"], "941"),
        ("3.050", "KWD", "3.050", ["0.188"], "2.862"),
        ("90071992547409.93", "EUR", "90071992547409.93", ["2612087783875.19"], "87459904763534.74"),
    ],
)
async def test_money_is_exact_at_each_currencys_exponent(
    stage: Stage, value: str, currency: str, gross: str, fees: list[str], net: str
) -> None:
    """Gross is what was paid, fees are rounded half even at the exponent, and net is the exact rest."""
    dispatch = (await dispatch_of(stage, payment(value=value, currency=currency))).json
    assert dispatch["gross"] == {"value": gross, "currency": currency}
    assert [fee["amount"] for fee in dispatch["fees"]] == [{"value": f, "currency": currency} for f in fees]
    assert dispatch["net"] == {"value": net, "currency": currency}
    assert dispatch["amount"]["value"] == value


@pytest.mark.parametrize("value", ["0.000125", "0.000000000001", "0.01", "1.999999999999"])
async def test_micro_amount_stays_exact(stage: Stage, value: str) -> None:
    """A payment below one minor unit loses nothing: gross is its value, and net and fees add up to it."""
    dispatch = (await dispatch_of(stage, payment(value=value, type="wallet"))).json
    assert Fraction(dispatch["gross"]["value"]) == Fraction(value)
    fees = sum(Fraction(fee["amount"]["value"]) for fee in dispatch["fees"])
    assert Fraction(dispatch["net"]["value"]) + fees == Fraction(value)
    assert not re.search("[eE]", dispatch["gross"]["value"] + dispatch["net"]["value"])


@pytest.mark.forgetful
async def test_same_payment_gives_the_same_bytes_under_the_same_dispatch_id(stage: Stage) -> None:
    """A payment that comes twice is dispatched twice alike, so that its processor can drop the repeat."""
    await stage.publish(payment())
    await stage.publish(payment())
    async with stage.working():
        first, second = await stage.dispatched("alpha", 2)
    assert first.body == second.body
    assert first.properties.message_id != second.properties.message_id


async def test_each_of_many_payments_is_dispatched_once_and_acknowledged(stage: Stage) -> None:
    """Of 500 payments none is lost, none repeated, and none is left for the broker to deliver again."""
    ids = [f"pay-{number}" for number in range(500)]
    for payment_id in ids:
        await stage.publish(payment(payment_id))
    async with stage.working(prefetch=100, max_batch=30) as worker:
        dispatches = await stage.dispatched("alpha", 500)
    assert Counter(one.json["payment_id"] for one in dispatches) == Counter(ids)
    assert len({one.properties.message_id for one in dispatches}) == 500
    assert len({one.json["dispatch_id"] for one in dispatches}) == 500
    assert worker.counts == Counter(dispatched=500)
    assert await stage.leftovers() == {}


async def test_two_workers_share_the_work(stage: Stage) -> None:
    """Two workers on one queue dispatch each payment once between them."""
    for number in range(200):
        await stage.publish(payment(f"pay-{number}"))
    async with stage.working(prefetch=5) as one, stage.working(prefetch=5) as other:
        dispatches = await stage.dispatched("alpha", 200)
    assert len({dispatch.json["payment_id"] for dispatch in dispatches}) == 200
    assert one.counts + other.counts == Counter(dispatched=200)
    assert await stage.leftovers() == {}


async def test_fallback_gets_what_nothing_bound_would_take(stage: Stage) -> None:
    """The broker returns the publish, which is definite, so the next candidate has the payment."""
    await stage.unbind("alpha")
    await stage.publish(payment(type="wallet"), "wallet.eur")
    async with stage.working() as worker:
        [dispatch] = await stage.dispatched("beta")
    assert (dispatch.json["processor"], dispatch.json["attempt"]) == ("beta", 2)
    assert worker.counts == Counter(dispatched=1)
    assert await stage.leftovers() == {}


async def test_fallback_gets_what_a_full_inbox_refuses(stage: Stage) -> None:
    """The broker nacks what a full queue rejects, which is definite; nobody is charged twice."""
    held = await _fill_inbox(stage, "alpha")
    await stage.publish(payment(type="wallet"), "wallet.eur")
    async with stage.working() as worker:
        [dispatch] = await stage.dispatched("beta")
    assert (dispatch.json["processor"], dispatch.json["attempt"]) == ("beta", 2)
    assert worker.counts == Counter(dispatched=1)
    assert await stage.leftovers() == {stage.inbox_of("alpha"): held}


async def test_payment_without_fallback_waits_for_a_full_inbox(stage: Stage) -> None:
    """A full inbox is a transient failure with its own code; once it has room, the payment is dispatched."""
    await _fill_inbox(stage, "alpha")
    await stage.publish(payment())
    watched = await stage.connection.channel()
    spy = f"{stage.prefix}.spy"
    await watched.queue_declare(spy, exclusive=True)
    await watched.queue_bind(spy, stage.names.delay(0.2), "#")
    async with stage.working():
        [delayed] = await stage.take(spy)
        await stage.channel.queue_purge(stage.inbox_of("alpha"))
        [dispatch] = await stage.dispatched()
    assert json.loads(delayed.headers["payment-attempts"])[0]["code"] == "publish_refused"
    assert dispatch.headers["payment-attempt"] >= 2
    await watched.close()


async def _fill_inbox(stage: Stage, processor: str) -> int:
    """Give a processor an inbox for one message and fill it until it refuses; return how many it holds."""
    inbox = stage.inbox_of(processor)
    await stage.channel.queue_delete(inbox)
    await stage.channel.queue_declare(inbox, durable=True, arguments=FULL_INBOX)
    await stage.bind(processor)
    for held in range(100):
        try:
            await stage.channel.basic_publish(b"full", routing_key=inbox, mandatory=True)
        except DeliveryError:
            await stage.waits_in(inbox, held)
            return held
    raise AssertionError(f"{inbox} takes more than its length")


@pytest.mark.forgetful
async def test_dispatch_ids_of_two_processors_differ(stage: Stage) -> None:
    """One dispatch id is one payment at one processor, so a fallback's is another."""
    await stage.publish(payment(type="wallet"))
    async with stage.working():
        [at_alpha] = await stage.dispatched("alpha")
        await stage.unbind("alpha")
        await stage.publish(payment(type="wallet"))
        [at_beta] = await stage.dispatched("beta")
    assert at_alpha.json["dispatch_id"] != at_beta.json["dispatch_id"]


@pytest.mark.forgetful
async def test_redelivered_payment_does_not_fall_back(stage: Stage) -> None:
    """It may have reached alpha unseen, so nobody else may have it, now or after delays."""
    await stage.unbind("alpha")
    await stage.publish(payment(type="wallet"), "wallet.eur")
    holding = await stage.connection.channel()
    await holding.basic_get(stage.names.incoming)
    await holding.close()
    async with stage.working() as worker:
        [dead] = await stage.dead()
    assert dead.letter.error_code == "retries_exhausted"
    assert [one.processor for one in dead.attempts] == ["alpha", "alpha", "alpha"]
    assert worker.counts == Counter(delayed=2, dead_lettered=1)
    assert await stage.leftovers() == {}


async def test_redelivered_payment_goes_to_its_first_candidate(stage: Stage) -> None:
    """Redelivery alone is no obstacle: alpha gets the same bytes under the same dispatch id."""
    await stage.publish(payment(type="wallet"), "wallet.eur")
    holding = await stage.connection.channel()
    await holding.basic_get(stage.names.incoming)
    await holding.close()
    async with stage.working() as worker:
        [dispatch] = await stage.dispatched("alpha")
    assert dispatch.json["attempt"] == 1
    assert worker.counts == Counter(dispatched=1)
