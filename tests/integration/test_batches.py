"""Messages of many payments on a real broker."""

import json
from collections import Counter

from tests.support.bodies import RULES, payment, write_rules
from tests.support.stage import Stage
from worker.rules_file import load_rules

PRODUCERS_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NDJSON = "application/x-ndjson"


async def test_lines_are_dispatched_one_by_one(stage: Stage) -> None:
    """A good line is a dispatch in the message's trace, a bad one a dead letter of its bytes alone."""
    good = [payment(payment_id=f"p-{number}") for number in range(300)]
    bad = b'{"payment_id": "bad"} '
    message = b"\r\n".join([*good[:100], bad, b"", *good[100:], b""])
    await stage.publish(
        message, "many", content_type=NDJSON, message_id="m-1", headers={"traceparent": PRODUCERS_TRACE}
    )
    async with stage.working() as worker:
        dispatches = await stage.dispatched(count=300)
        (dead,) = await stage.dead()
    assert sorted(one.json["payment_id"] for one in dispatches) == sorted(f"p-{n}" for n in range(300))
    assert {one.headers["traceparent"] for one in dispatches} == {PRODUCERS_TRACE}
    assert {one.routing_key for one in dispatches} == {"card.eur"}
    assert (dead.body, dead.properties.content_type) == (bad, "application/json")
    assert (dead.letter.message_id, dead.letter.line, dead.letter.payment_id) == ("m-1", 101, "bad")
    assert worker.counts == Counter(dispatched=300, dead_lettered=1)
    assert await stage.leftovers() == {}


async def test_a_message_beyond_the_limit_is_one_dead_letter(stage: Stage) -> None:
    """It comes back as it was when the limit is raised, and its lines are dispatched."""
    message = b"\n".join(payment(payment_id=f"p-{number}") for number in range(11))
    await stage.publish(message, content_type=NDJSON)
    async with stage.working(max_batch_lines=10):
        (dead,) = await stage.dead()
    assert (dead.body, dead.properties.content_type) == (message, NDJSON)
    assert dead.letter.error_code == "batch_too_large"
    assert await stage.leftovers() == {}


async def test_a_processor_is_sent_many_at_once_and_gives_them_back(stage: Stage) -> None:
    """Its inbox has one message of them; when its connector rejects that, each goes on by itself."""
    asking = RULES.replace('proc.alpha"', 'proc.alpha", batch: {{max_payments: 50}}')
    stage.table = load_rules((write_rules(stage.rules, stage.prefix, asking),))
    ids = sorted(f"p-{number:02}" for number in range(50))
    message = b"\n".join(payment(payment_id=one, type="wallet") for one in ids)
    await stage.publish(message, "wallet.eur", content_type=NDJSON)
    async with stage.working() as worker:
        await stage.waits_in(stage.inbox_of("alpha"), 1)
        sent = await stage.channel.basic_get(stage.inbox_of("alpha"))
        properties = sent.header.properties
        assert (properties.headers or {})["dispatch-count"] == 50
        assert properties.content_type == NDJSON
        assert [json.loads(line)["payment_id"] for line in sent.body.split(b"\n")] == ids
        await stage.channel.basic_reject(sent.delivery.delivery_tag or 0, requeue=False)
        given = await stage.dispatched("beta", 50)
    assert sorted(one.json["payment_id"] for one in given) == ids
    assert worker.counts == Counter(dispatched=100, returned=50)
    assert await stage.leftovers() == {}
