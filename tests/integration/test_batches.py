"""Messages of many payments on a real broker."""

from collections import Counter

from tests.support.bodies import payment
from tests.support.stage import Stage

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
