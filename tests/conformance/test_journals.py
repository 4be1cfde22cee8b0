"""What every journal does, whatever it is made of: the suite that each backend passes."""

import asyncio

import pytest

from tests.support.journals import JournalRig, Thirds, TooMuch, dispatched, ended, intent, later
from worker.errors import IllegalTransition, InvariantViolation, SecondDispatch
from worker.journal.books import Standing
from worker.journal.entries import Happening
from worker.journal.protocol import NEW, Amendment, Conflict, Done, Ending, Held, Intent, New, Resume, Unfit
from worker.journal.states import State
from worker.money import Carry


def happenings(rig: JournalRig, payment_id: str = "pay-1") -> list[Happening]:
    return [entry.happening for entry in rig.books().history(payment_id)]


def find(rig: JournalRig, name: str) -> Standing:
    standing = rig.books().find(name)
    assert standing is not None
    return standing


def remainders(rig: JournalRig) -> dict[str, Carry]:
    return {key: kept.remainder for key, kept in rig.books().remainders().items()}


def resume_of(of: Intent) -> Resume:
    return Resume(
        of.processor or "", of.exchange or "", of.routing_key or "", of.dispatch_id or "", of.body or b"",
        of.priority, of.candidate, of.rule or "", of.rules_version,
    )  # fmt: skip


async def test_new_payments_are_new(rig: JournalRig) -> None:
    """Payments that nobody knows are to be sent, and are on record as claimed."""
    journal = rig.worker("a")
    batch = [intent(f"pay-{number}") for number in range(700)]
    assert await journal.claim(batch, later(0)) == [NEW] * 700
    standing = find(rig, "pay-699")
    assert (standing.state, standing.owner, standing.gross, standing.net, standing.fees, standing.body) == (
        State.CLAIMED, "a", 1234, 1200, 34, batch[699].body,
    )  # fmt: skip


async def test_states_of_many_payments(rig: JournalRig) -> None:
    """Asked by payment id alone, all at once; what the journal does not know is left out."""
    journal = rig.worker("a")
    sent, dead = intent("sent"), intent("dead's \u20ac\"")
    await journal.claim([intent("claimed"), sent, dead], later(0))
    await journal.record([dispatched(sent), ended(State.DEAD_LETTERED, dead)], later(0))
    books = rig.books()
    assert books.states(["sent", "never", dead.payment_id, "claimed", sent.dispatch_id or ""]) == {
        "claimed": State.CLAIMED,
        "sent": State.DISPATCHED,
        dead.payment_id: State.DEAD_LETTERED,
    }
    assert books.states([]) == {}


async def test_finding_by_ids_alone(rig: JournalRig) -> None:
    """In the order asked, each as a repeat would be told; None for what the journal does not know."""
    journal, sent, claimed = rig.worker("a"), intent("sent"), intent("claimed")
    await journal.claim([claimed, sent], later(0))
    await journal.record([dispatched(sent)], later(0))
    found = await rig.worker("b").find(["claimed", "", "never", "sent", "claimed"], later(1))
    held = Done(State.CLAIMED, "alpha", claimed.dispatch_id)
    assert found == [held, None, None, Done(State.DISPATCHED, "alpha", sent.dispatch_id), held]


async def test_an_empty_batch(rig: JournalRig) -> None:
    """Nothing asked, nothing answered."""
    journal = rig.worker("a")
    assert await journal.claim([], later(0)) == []
    assert await journal.amend([], later(0)) == []
    await journal.record([], later(0))


async def test_a_dispatched_payment_is_done(rig: JournalRig) -> None:
    """A repeat of a dispatched payment is a duplicate, told where the payment went, and counted."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    await journal.record([dispatched(first)], later(1))
    again = await rig.worker("b").claim([intent(processor="beta", redelivered=True)], later(2))
    assert again == [Done(State.DISPATCHED, "alpha", first.dispatch_id)]
    standing = find(rig, "pay-1")
    assert (standing.state, standing.processor, standing.duplicates) == (State.DISPATCHED, "alpha", 1)
    assert happenings(rig) == [Happening.DISPATCHED, Happening.DUPLICATE]


async def test_what_a_live_worker_has_is_held(rig: JournalRig) -> None:
    """A repeat of a payment that is in hand has to wait for the lease's end."""
    await rig.worker("a").claim([intent()], later(0))
    for owner in ("a", "b"):
        assert await rig.worker(owner).claim([intent()], later(20)) == [Held(40.0)]
    assert happenings(rig) == []


async def test_a_repeat_within_a_batch_is_held(rig: JournalRig) -> None:
    """Of two deliveries of one payment in a batch, the first is sent."""
    answers = await rig.worker("a").claim([intent(), intent("pay-2"), intent()], later(0))
    assert answers == [NEW, NEW, Held(60.0)]


@pytest.mark.parametrize(("redelivered", "seconds"), [(True, 1), (False, 60)])
async def test_a_dead_workers_intent_is_resumed(rig: JournalRig, redelivered: bool, seconds: int) -> None:
    """Its bytes go to its processor, whatever the rules say now: redelivered, or its lease run out."""
    first = intent(priority=3, candidate=2)
    await rig.worker("a").claim([first], later(0))
    now = intent(
        processor="beta", redelivered=redelivered, rule="other", rules_version="v2", trace_id="1" * 32
    )
    journal = rig.worker("b")
    assert await journal.claim([now], later(seconds)) == [resume_of(first)]
    await journal.record([dispatched(first)], later(seconds + 1))
    standing = find(rig, "pay-1")
    assert (standing.state, standing.owner, standing.pinned) == (State.DISPATCHED, "b", True)
    assert happenings(rig) == [Happening.ABANDONED, Happening.DISPATCHED]
    assert [entry.owner for entry in rig.books().history("pay-1")] == ["a", "b"]


async def test_rules_that_reject_do_not_undo_an_intent(rig: JournalRig) -> None:
    """What may have been sent is resumed, even if the rules would now dead-letter the payment."""
    first = intent()
    await rig.worker("a").claim([first], later(0))
    rejected = intent(processor=None, redelivered=True)
    assert await rig.worker("b").claim([rejected], later(1)) == [resume_of(first)]


async def test_an_intent_to_dispatch_nothing_is_replaced(rig: JournalRig) -> None:
    """A dead worker that was about to dead-letter has sent nothing to a processor: the rules decide anew."""
    await rig.worker("a").claim([intent(processor=None)], later(0))
    assert await rig.worker("b").claim([intent(redelivered=True)], later(1)) == [NEW]
    standing = find(rig, "pay-1")
    assert (standing.owner, standing.processor, standing.pinned) == ("b", "alpha", False)
    assert happenings(rig) == [Happening.ABANDONED]


async def test_another_body_under_the_same_id(rig: JournalRig) -> None:
    """A conflict whatever the state: both fingerprints are shown, the known payment is untouched."""
    first, other = intent(), intent(text="something else")
    journal = rig.worker("a")
    await journal.claim([first], later(0))
    conflict = Conflict(first.fingerprint.hex(), other.fingerprint.hex())
    assert await journal.claim([other], later(1)) == [conflict]
    await journal.record([dispatched(first)], later(2))
    assert await journal.claim([other], later(3)) == [conflict]
    dead = Ending(State.DEAD_LETTERED, "pay-1", None, "idempotency_conflict", claimed=False)
    await journal.record([dead], later(4))
    standing = find(rig, "pay-1")
    assert (standing.state, standing.duplicates) == (State.DISPATCHED, 0)
    assert [(entry.happening, entry.claimed, entry.code) for entry in rig.books().history("pay-1")] == [
        (Happening.DISPATCHED, True, None),
        (Happening.DEAD_LETTERED, False, "idempotency_conflict"),
    ]


async def test_a_definite_refusal_lets_the_next_candidate_have_it(rig: JournalRig) -> None:
    """The amended intent is the one that is resumed after a crash."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    second = intent(processor="beta", candidate=2)
    amendment = Amendment(first.dispatch_id or "", "publish_refused", second)
    assert await journal.amend([amendment], later(1)) == [NEW]
    assert happenings(rig) == [Happening.REFUSED]
    assert rig.books().history("pay-1")[0].code == "publish_refused"
    assert await rig.worker("b").claim([intent(redelivered=True)], later(2)) == [resume_of(second)]


async def test_what_was_resumed_has_no_next_candidate(rig: JournalRig) -> None:
    """The dead worker's publish may have arrived: a refusal of the repeat says nothing of it."""
    first, second = intent(), intent(processor="beta")
    await rig.worker("a").claim([first], later(0))
    journal = rig.worker("b")
    await journal.claim([intent(redelivered=True)], later(1))
    amendment = Amendment(first.dispatch_id or "", "publish_refused", second)
    assert await journal.amend([amendment], later(2)) == [Held(59.0)]
    assert await rig.worker("a").amend([amendment], later(2)) == [Held(59.0)]


async def test_a_delayed_payment_comes_back_as_the_next_attempt(rig: JournalRig) -> None:
    """Refused by all, it was delayed: what comes back is planned anew; the delivery before is a leftover."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    await journal.record([ended(State.DELAYED, first)], later(1))
    leftover = await rig.worker("b").claim([intent(redelivered=True)], later(2))
    assert leftover == [Done(State.DELAYED, "alpha", first.dispatch_id)]
    back = intent(processor="beta", attempt=2)
    assert await journal.claim([back], later(3)) == [NEW]
    assert await journal.claim([intent(redelivered=True)], later(4)) == [
        Done(State.CLAIMED, "beta", back.dispatch_id)
    ]
    await journal.record([dispatched(back)], later(5))
    assert happenings(rig) == [
        Happening.DELAYED, Happening.DUPLICATE, Happening.DUPLICATE, Happening.DISPATCHED,
    ]  # fmt: skip


async def test_a_resumed_payment_stays_with_its_processor_through_delays(rig: JournalRig) -> None:
    """What may have been sent once is never planned anew, delayed or dead-lettered and redriven."""
    first = intent()
    await rig.worker("a").claim([first], later(0))
    journal = rig.worker("b")
    await journal.claim([intent(redelivered=True)], later(1))
    await journal.record([ended(State.DELAYED, first)], later(2))
    back = intent(processor="beta", attempt=2)
    assert await journal.claim([back], later(3)) == [resume_of(first)]
    await journal.record([ended(State.DEAD_LETTERED, first._replace(attempt=2))], later(4))
    redriven = intent(processor="beta", redrives=1)
    assert await journal.claim([redriven], later(5)) == [resume_of(first)]


async def test_a_dead_letter_is_taken_up_by_a_redrive_alone(rig: JournalRig) -> None:
    """A repeat of a dead-lettered payment is a duplicate; the redriven one is planned anew."""
    journal, first = rig.worker("a"), intent(attempt=3)
    await journal.claim([first], later(0))
    await journal.record([ended(State.DEAD_LETTERED, first, "retries_exhausted")], later(1))
    standing = find(rig, "pay-1")
    assert standing.code == "retries_exhausted"
    repeat = await journal.claim([intent()], later(2))
    assert repeat == [Done(State.DEAD_LETTERED, "alpha", first.dispatch_id)]
    assert await journal.claim([intent(processor="beta", redrives=1)], later(3)) == [NEW]


async def test_a_processor_gives_a_payment_back(rig: JournalRig) -> None:
    """What it returned goes to the next candidate; a stale return of the same changes nothing."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    await journal.record([dispatched(first)], later(1))
    second = intent(processor="beta", candidate=2, returned=first.dispatch_id)
    assert await journal.claim([second], later(2)) == [NEW]
    await journal.record([dispatched(second)], later(3))
    stale = intent(processor="beta", candidate=2, returned=first.dispatch_id, redelivered=True)
    assert await journal.claim([stale], later(4)) == [Done(State.DISPATCHED, "beta", second.dispatch_id)]
    assert happenings(rig) == [
        Happening.DISPATCHED, Happening.RETURNED, Happening.DISPATCHED, Happening.DUPLICATE,
    ]  # fmt: skip


async def test_a_return_before_its_dispatch_is_on_record(rig: JournalRig) -> None:
    """Held while the worker that sent it may yet record it, then given to the next candidate."""
    first = intent()
    await rig.worker("a").claim([first], later(0))
    back = intent(processor="beta", returned=first.dispatch_id)
    journal = rig.worker("b")
    assert await journal.claim([back], later(1)) == [Held(59.0)]
    assert await journal.claim([back], later(61)) == [NEW]
    assert happenings(rig) == [Happening.DISPATCHED, Happening.RETURNED]


async def test_a_late_confirm_is_a_fact(rig: JournalRig) -> None:
    """A worker that lost its claim reports that its publish was confirmed: the payment is dispatched."""
    first = intent()
    slow, fast = rig.worker("a"), rig.worker("b")
    await slow.claim([first], later(0))
    await fast.claim([intent(redelivered=True)], later(1))
    await fast.record([ended(State.DELAYED, first)], later(2))
    await slow.record([dispatched(first)], later(3))
    assert await fast.claim([intent(attempt=2)], later(4)) == [
        Done(State.DISPATCHED, "alpha", first.dispatch_id)
    ]
    await fast.record([dispatched(first)], later(5))
    assert happenings(rig) == [
        Happening.ABANDONED, Happening.DELAYED, Happening.DISPATCHED, Happening.DUPLICATE,
    ]  # fmt: skip


async def test_who_lost_the_claim_ends_nothing(rig: JournalRig) -> None:
    """A delay or dead letter by a worker that lost its claim is on record, and the payment in other hands."""
    first = intent()
    slow = rig.worker("a")
    await slow.claim([first], later(0))
    await rig.worker("b").claim([intent(redelivered=True)], later(1))
    await slow.record([ended(State.DEAD_LETTERED, first)], later(2))
    standing = find(rig, "pay-1")
    assert (standing.state, standing.owner, standing.code) == (State.CLAIMED, "b", None)
    assert [(entry.happening, entry.claimed) for entry in rig.books().history("pay-1")] == [
        (Happening.ABANDONED, True),
        (Happening.DEAD_LETTERED, False),
    ]


async def test_an_earlier_deliverys_ending_ends_nothing(rig: JournalRig) -> None:
    """A delay that is reported only when the delayed payment is back in hand is not this attempt's end."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    back = intent(attempt=2, redelivered=True)
    assert isinstance((await journal.claim([back], later(61)))[0], Resume)
    await journal.record([ended(State.DELAYED, first)], later(62))
    assert find(rig, "pay-1").state is State.CLAIMED


async def test_an_ending_of_another_intent_ends_nothing(rig: JournalRig) -> None:
    """A delivery that was about to be delayed lost its claim to a repeat, which is about to be dispatched."""
    journal, first = rig.worker("a"), intent(processor=None)
    await journal.claim([first], later(0))
    assert await journal.claim([intent()], later(61)) == [NEW]
    await journal.record([ended(State.DELAYED, first)], later(62))
    assert find(rig, "pay-1").state is State.CLAIMED


async def test_a_late_confirm_of_what_was_given_back(rig: JournalRig) -> None:
    """The processor was faster than the record of its dispatch: what followed stands."""
    slow, first = rig.worker("a"), intent()
    await slow.claim([first], later(0))
    second = intent(processor="beta", returned=first.dispatch_id)
    assert await rig.worker("b").claim([second], later(61)) == [NEW]
    await slow.record([dispatched(first)], later(62))
    standing = find(rig, "pay-1")
    assert (standing.state, standing.processor) == (State.CLAIMED, "beta")


async def test_two_workers_at_once(rig: JournalRig) -> None:
    """Two workers claim the same payments at the same time: each payment is one worker's."""
    batches = [[intent(f"pay-{number}") for number in range(at, at + 50)] for at in range(0, 500, 50)]
    first, second = await asyncio.gather(
        *(asyncio.gather(*(rig.worker(name).claim(batch, later(0)) for batch in batches)) for name in "ab")
    )
    pairs = [
        {type(mine), type(theirs)}
        for ours, others in zip(first, second, strict=True)
        for mine, theirs in zip(ours, others, strict=True)
    ]
    assert pairs == [{New, Held}] * 500


async def test_a_message_without_an_id(rig: JournalRig) -> None:
    """A dead letter that is no payment is on record all the same."""
    journal = rig.worker("a")
    await journal.record(
        [Ending(State.DEAD_LETTERED, None, None, "malformed_message", claimed=False)], later(0)
    )
    assert rig.books().find("pay-1") is None


async def test_another_dispatch_than_the_intent_is_a_bug(rig: JournalRig) -> None:
    """One payment, one dispatch id: anything else stops the worker, and nothing of the batch is on record."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first, intent("pay-2")], later(0))
    with pytest.raises(SecondDispatch, match="pay-1"):
        await journal.record([dispatched(intent("pay-2")), dispatched(intent(processor="beta"))], later(1))
    assert happenings(rig, "pay-2") == []


async def test_an_ending_without_a_claim_is_a_bug(rig: JournalRig) -> None:
    """Nothing is sent without an intent."""
    with pytest.raises(InvariantViolation, match="pay-1"):
        await rig.worker("a").record([dispatched(intent())], later(0))


async def test_an_illegal_transition_is_a_bug(rig: JournalRig) -> None:
    """A delivery ends in a state, never in ``claimed`` or ``returned``."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    with pytest.raises(IllegalTransition, match="returned may not follow claimed"):
        await journal.record([ended(State.RETURNED, first)], later(1))


async def test_carry_counts_each_payment_once(rig: JournalRig) -> None:
    """A third of a cent each: one cent after three payments, however often each is delivered."""
    journal = rig.worker("a")
    fees = []
    for number in range(6):
        payment = intent(f"pay-{number}", carrying=Thirds())
        answer = (await journal.claim([payment], later(number)))[0]
        assert isinstance(answer, New)
        assert answer.charged is not None
        fees.append(answer.charged.fees[0])
        resumed = (await rig.worker("b").claim([payment._replace(redelivered=True)], later(number)))[0]
        assert isinstance(resumed, Resume)
        assert resumed.body == Thirds().body(answer.charged)
    assert fees == [0, 1, 0, 0, 1, 0]
    assert remainders(rig) == {Thirds().keys[0]: Carry()}
    standing = find(rig, "pay-1")
    assert (standing.gross, standing.net, standing.fees, standing.trail) == (
        1234,
        1233,
        1,
        '[{"result":"1"}]',
    )


async def test_carry_within_a_batch(rig: JournalRig) -> None:
    """Payments of one batch share the remainders in their order."""
    batch = [intent(f"pay-{number}", carrying=Thirds()) for number in range(4)]
    answers = await rig.worker("a").claim(batch, later(0))
    assert [answer.charged.fees for answer in answers if isinstance(answer, New) and answer.charged] == [
        (0,), (1,), (0,), (0,),
    ]  # fmt: skip
    assert remainders(rig) == {Thirds().keys[0]: Carry(1, 3)}


async def test_carry_stays_as_first_charged(rig: JournalRig) -> None:
    """The next candidate, and the next attempt, charge what was charged first."""
    journal, first = rig.worker("a"), intent(carrying=Thirds())
    charged = (await journal.claim([first], later(0)))[0]
    second = intent(processor="beta", carrying=Thirds())
    assert await journal.amend([Amendment(first.dispatch_id or "", "unroutable", second)], later(1)) == [
        charged
    ]
    await journal.record([ended(State.DELAYED, second)], later(2))
    assert await journal.claim([intent(attempt=2, carrying=Thirds())], later(3)) == [charged]
    assert remainders(rig) == {Thirds().keys[0]: Carry(1, 3)}


async def test_carry_under_changed_rules(rig: JournalRig) -> None:
    """A delayed payment whose fees are others by now is charged those, and changes no remainder again."""
    journal, first = rig.worker("a"), intent(carrying=Thirds())
    await journal.claim([first], later(0))
    await journal.record([ended(State.DELAYED, first)], later(1))
    for attempt, keys in ((2, ("other",)), (3, Thirds().keys)):
        back = intent(attempt=attempt, carrying=Thirds(keys))
        assert isinstance((await journal.claim([back], later(2)))[0], New)
        await journal.record([ended(State.DELAYED, back)], later(3))
    assert remainders(rig) == {Thirds().keys[0]: Carry(1, 3)}


async def test_a_payment_that_cannot_be_charged(rig: JournalRig) -> None:
    """Nothing is claimed and nothing kept of it; the others of its batch are."""
    answers = await rig.worker("a").claim([intent(carrying=TooMuch()), intent("pay-2")], later(0))
    assert [type(answer) for answer in answers] == [Unfit, New]
    assert rig.books().find("pay-1") is None
    assert remainders(rig) == {}


async def test_a_payment_is_found_by_any_dispatch_id(rig: JournalRig) -> None:
    """Also by that of a dispatch that was refused."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    second = intent(processor="beta", candidate=2)
    await journal.amend([Amendment(first.dispatch_id or "", "unroutable", second)], later(1))
    for dispatch_id in (first.dispatch_id, second.dispatch_id):
        assert find(rig, dispatch_id or "").payment_id == "pay-1"
    assert rig.books().find("0" * 32) is None
