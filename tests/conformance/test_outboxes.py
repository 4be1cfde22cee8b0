"""The events of every journal: at least once, in order, to one publisher at a time."""

import orjson

from schemas.event import Event
from tests.support.journals import JournalRig, dispatched, ended, intent, later
from worker.journal.outbox import Due, Outbox
from worker.journal.protocol import Amendment, Ending
from worker.journal.states import State


def due(outbox: Outbox, seconds: float = 0, limit: int = 100) -> Due:
    found = outbox.due(later(seconds), limit)
    assert found is not None
    return found


def types(found: Due) -> list[tuple[str, str | None]]:
    return [(event.type, event.payment_id) for event in found.events]


async def test_each_event_as_its_schema_says(rig: JournalRig) -> None:
    """Dispatches with their money, others with their codes, a message without an id as well."""
    journal = rig.worker("a")
    first, second, third = intent("pay-1"), intent("pay-2"), intent("pay-3", processor=None)
    await journal.claim([first, second, third], later(0))
    await journal.record([dispatched(first)], later(1))
    await journal.record([ended(State.DELAYED, second), ended(State.HELD, third, "held")], later(2))
    await journal.claim([intent("pay-1", redelivered=True)], later(3))
    await journal.record(
        [Ending(State.DEAD_LETTERED, None, None, "malformed_message", claimed=False)], later(4)
    )
    outbox = rig.outbox("p")
    found = due(outbox)
    events = [Event.model_validate_json(event.body) for event in found.events]
    assert [(event.type, event.payment_id, event.in_hand, event.code) for event in events] == [
        ("payment.dispatched", "pay-1", True, None),
        ("payment.delayed", "pay-2", True, "unroutable"),
        ("payment.held", "pay-3", True, "held"),
        ("payment.duplicate", "pay-1", True, None),
        ("payment.dead_lettered", None, False, "malformed_message"),
    ]
    told = orjson.loads(found.events[0].body)
    assert (told["gross"], told["net"]) == (
        {"value": "12.34", "currency": "EUR"},
        {"value": "12.00", "currency": "EUR"},
    )
    assert told["fees"] == orjson.loads(first.body or b"")["fees"]
    assert (told["processor"], told["dispatch_id"]) == ("alpha", first.dispatch_id)
    assert [event.event_id for event in found.events] == [event.event_id for event in events]
    outbox.close()


async def test_events_are_due_until_they_are_done(rig: JournalRig) -> None:
    """What was not marked comes again, the same byte for byte; what was marked does not."""
    journal, batch = rig.worker("a"), [intent(f"pay-{number}") for number in range(5)]
    await journal.claim(batch, later(0))
    await journal.record([dispatched(each) for each in batch], later(1))
    outbox = rig.outbox("p")
    first = due(outbox, limit=3)
    assert due(outbox, limit=3) == first
    assert outbox.done(first.position)
    assert types(due(outbox, limit=3)) == [("payment.dispatched", f"pay-{number}") for number in (3, 4)]
    assert outbox.done(due(outbox).position)
    assert outbox.due(later(0), 3) is None
    outbox.close()


async def test_one_publisher_at_a_time(rig: JournalRig) -> None:
    """Another has to wait until the first is done for good, or silent for longer than its lease."""
    journal, payment = rig.worker("a"), intent()
    await journal.claim([payment], later(0))
    await journal.record([dispatched(payment)], later(1))
    first, second = rig.outbox("p"), rig.outbox("q")
    position = due(first).position
    assert second.due(later(29), 10) is None
    assert types(due(second, 30)) == [("payment.dispatched", "pay-1")]
    assert not first.done(position)
    second.close()
    assert types(due(first, 31)) == [("payment.dispatched", "pay-1")]
    first.close()


async def test_the_workers_own_affairs_are_not_told(rig: JournalRig) -> None:
    """Neither that a processor refused, nor that a claim was taken over; nor do they hold others up."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    second = intent(processor="beta")
    await journal.amend([Amendment(first.dispatch_id or "", "unroutable", second)], later(1))
    await rig.worker("b").claim([intent(redelivered=True)], later(2))
    outbox = rig.outbox("p")
    assert outbox.due(later(3), 10) is None
    await rig.worker("b").record([dispatched(second)], later(4))
    assert types(due(outbox)) == [("payment.dispatched", "pay-1")]
    outbox.close()


async def test_what_is_returned_was_dispatched(rig: JournalRig) -> None:
    """Books kept from events have the dispatch before its return, even one that nobody recorded."""
    slow, first = rig.worker("a"), intent()
    await slow.claim([first], later(0))
    second = intent(processor="beta", returned=first.dispatch_id)
    journal = rig.worker("b")
    await journal.claim([second], later(61))
    await slow.record([dispatched(first)], later(62))
    await journal.record([dispatched(second)], later(63))
    outbox = rig.outbox("p")
    events = [orjson.loads(event.body) for event in due(outbox).events]
    assert [(event["type"], event["processor"]) for event in events] == [
        ("payment.dispatched", "alpha"),
        ("payment.returned", "alpha"),
        ("payment.dispatched", "beta"),
    ]
    assert [event["fees"] for event in events] == [orjson.loads(first.body or b"")["fees"]] * 3
    outbox.close()
