"""Events on a real broker: what happens to payments is told to who listens, once it is in the journal."""

import orjson

from schemas.event import Event
from tests.support.bodies import payment
from tests.support.stage import Stage, eventually


async def listen(stage: Stage, *types: str) -> str:
    """Bind a queue of the test's own to some types of events."""
    queue = f"{stage.prefix}.listener"
    await stage.channel.queue_declare(queue, exclusive=True)
    for kind in types:
        await stage.channel.queue_bind(queue, stage.names.events, kind)
    return queue


async def test_a_dispatch_is_told(stage: Stage) -> None:
    """The event has the payment, its processor, and the amounts of the dispatch."""
    queue = await listen(stage, "#")
    await stage.publish(payment("told"))
    async with stage.working(events="on"):
        [dispatch] = await stage.dispatched()
        [message] = await stage.take(queue)
    event = Event.model_validate_json(message.body)
    assert (event.type, event.payment_id) == ("payment.dispatched", "told")
    assert event.dispatch_id == dispatch.json["dispatch_id"]
    assert orjson.loads(message.body)["net"] == dispatch.json["net"]
    assert message.routing_key == "payment.dispatched"
    assert message.properties.message_id == event.event_id


async def test_events_that_nobody_listens_to_hold_up_nothing(stage: Stage) -> None:
    """Others, bound to another type, have theirs."""
    queue = await listen(stage, "payment.dead_lettered")
    await stage.publish(payment("fine"))
    await stage.publish(b"nonsense")
    async with stage.working(events="on"):
        [message] = await stage.take(queue)
    assert Event.model_validate_json(message.body).code == "malformed_message"


async def test_what_happened_while_events_were_off_is_told_later(stage: Stage) -> None:
    """The journal keeps what has not been told."""
    queue = await listen(stage, "#")
    await stage.publish(payment("before"))
    async with stage.working():
        await stage.dispatched()
    async with stage.working(events="on"):
        [message] = await stage.take(queue)
    assert Event.model_validate_json(message.body).payment_id == "before"


async def test_a_full_queue_holds_events_back(stage: Stage) -> None:
    """They are published again, under the same ids, until every one of a batch is taken."""
    queue = f"{stage.prefix}.small"
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    await stage.channel.queue_declare(queue, exclusive=True, arguments=arguments)
    await stage.channel.queue_bind(queue, stage.names.events, "#")
    for number in range(3):
        await stage.publish(payment(f"held-{number}"))
    told: set[str] = set()

    async def all_told() -> bool:
        for message in await stage.take(queue):
            told.add(Event.model_validate_json(message.body).payment_id or "")
        return len(told) == 3

    async with stage.working(events="on"):
        await stage.dispatched(count=3)
        await eventually(all_told, "every event")
