"""A broker, workers that crash and processors, in small: whatever happens, no payment is paid twice or lost.

The model knows what really became of each publish. The journal does not: it has to keep payments apart from a
second processor by what it was told.
"""

import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.support.databases import Databases
from tests.support.journals import JournalRig, dispatched, ended, intent, journal_rig, later
from worker.bookkeeping.audit import audit
from worker.journal.protocol import Amendment, Done, Held, Intent, New, Resume
from worker.journal.states import State

PROCESSORS = ("alpha", "beta", "gamma")
WORKERS = ("a", "b")


@dataclass(frozen=True)
class Message:
    """What waits in the broker."""

    payment_id: str
    attempt: int = 1
    redelivered: bool = False
    returned: str | None = None


@dataclass
class Hand:
    """A delivery in a worker's hands, and how far it has come."""

    message: Message
    intent: Intent
    pinned: bool
    stage: Literal["to send", "confirmed", "refused", "delayed"] = "to send"
    tried: set[str] = field(default_factory=set)


class JournalMachine(RuleBasedStateMachine):
    """Deliveries, crashes, refusals, unknown outcomes, repeats, delays and returns, in any order."""

    backend = "memory"
    databases: Databases | None = None

    def __init__(self) -> None:
        super().__init__()
        self.loop = uvloop.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.rig: JournalRig = self.do(
            self.stack.enter_async_context(journal_rig(self.backend, Path(self.folder.name), self.databases))
        )
        self.seconds = 0.0
        self.queue: list[Message] = []
        self.hands: dict[str, list[Hand]] = {name: [] for name in WORKERS}
        self.seen: dict[str, set[str]] = {}
        """Processors that have taken a payment in, and drop repeats of it."""
        self.has: dict[str, set[str]] = {}
        """Processors that have a payment and have not given it back."""
        self.rejected: dict[str, set[str]] = {}
        """Processors that have given a payment back: by its attempts' history no candidates any more."""

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def back(self, worker: str, hand: Hand) -> None:
        """The broker delivers again what was not acknowledged."""
        self.hands[worker].remove(hand)
        self.queue.append(replace(hand.message, redelivered=True))

    @rule(number=st.integers(0, 1))
    def publish(self, number: int) -> None:
        self.queue.append(Message(f"pay-{number}"))
        for known in (self.seen, self.has, self.rejected):
            known.setdefault(f"pay-{number}", set())

    @precondition(lambda self: self.queue)
    @rule(data=st.data(), worker=st.sampled_from(WORKERS), first=st.sampled_from((*PROCESSORS, None)))
    def take(self, data: st.DataObject, worker: str, first: str | None) -> None:
        message = self.queue.pop(data.draw(st.integers(0, len(self.queue) - 1)))
        self.claim(worker, message, None if first in self.rejected[message.payment_id] else first)

    def claim(self, worker: str, message: Message, first: str | None) -> None:
        wanted = intent(
            message.payment_id, first, attempt=message.attempt, redelivered=message.redelivered,
            returned=message.returned,
        )  # fmt: skip
        answer = self.do(self.rig.worker(worker).claim([wanted], later(self.seconds)))[0]
        match answer:
            case New():
                stage: Any = "to send" if first else "refused"
                self.hands[worker].append(Hand(message, wanted, pinned=False, stage=stage))
            case Resume():
                resumed = intent(message.payment_id, answer.processor, attempt=message.attempt)
                assert (answer.dispatch_id, answer.body) == (resumed.dispatch_id, resumed.body)
                self.hands[worker].append(Hand(message, resumed, pinned=True))
            case Held():  # through a delay queue
                self.queue.append(replace(message, attempt=message.attempt + 1, redelivered=False))
            case _:
                assert isinstance(answer, Done)

    @precondition(lambda self: any(self.hands.values()))
    @rule(
        data=st.data(), outcome=st.sampled_from(("confirmed", "refused", "arrived unseen", "lost unseen")),
        processor=st.sampled_from(PROCESSORS),
    )  # fmt: skip
    def step(self, data: st.DataObject, outcome: str, processor: str) -> None:
        """One delivery takes its next step."""
        worker, hand = data.draw(
            st.sampled_from([(worker, hand) for worker, hands in self.hands.items() for hand in hands])
        )
        match hand.stage:
            case "to send":
                self.send(worker, hand, outcome)
            case "refused":
                self.go_on(worker, hand, processor)
            case _:
                self.record(worker, hand)

    def send(self, worker: str, hand: Hand, outcome: str) -> None:
        processor, payment_id = hand.intent.processor or "", hand.message.payment_id
        if outcome in ("confirmed", "arrived unseen"):
            self.arrive(payment_id, processor)
        if outcome == "confirmed":
            hand.stage = "confirmed"
        elif outcome == "refused":
            hand.stage = "refused"
            hand.tried.add(processor)
        else:
            self.back(worker, hand)

    def arrive(self, payment_id: str, processor: str) -> None:
        if processor not in self.seen[payment_id]:
            self.seen[payment_id].add(processor)
            self.has[payment_id].add(processor)
        assert len(self.has[payment_id]) <= 1, f"{payment_id} is paid at {self.has[payment_id]}"

    def record(self, worker: str, hand: Hand) -> None:
        ending = dispatched(hand.intent) if hand.stage == "confirmed" else ended(State.DELAYED, hand.intent)
        self.do(self.rig.worker(worker).record([ending], later(self.seconds)))
        self.hands[worker].remove(hand)

    def go_on(self, worker: str, hand: Hand, processor: str) -> None:
        """After a refusal: the next candidate where there is one, otherwise a delay."""
        rejected = self.rejected[hand.message.payment_id]
        if hand.pinned or hand.intent.processor is None or processor in hand.tried | rejected:
            hand.stage = "delayed"
            self.queue.append(replace(hand.message, attempt=hand.message.attempt + 1, redelivered=False))
            return
        following = intent(hand.message.payment_id, processor, attempt=hand.message.attempt)
        amendment = Amendment(hand.intent.dispatch_id or "", "publish_refused", following)
        answer = self.do(self.rig.worker(worker).amend([amendment], later(self.seconds)))[0]
        if isinstance(answer, New):
            hand.intent, hand.stage = following, "to send"
        else:
            assert isinstance(answer, Held)
            self.back(worker, hand)

    @rule(worker=st.sampled_from(WORKERS))
    def crash(self, worker: str) -> None:
        for hand in list(self.hands[worker]):
            self.back(worker, hand)

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """A processor rejects what it has taken in."""
        having = [(payment_id, name) for payment_id, names in self.has.items() for name in names]
        if not having:
            return
        payment_id, processor = data.draw(st.sampled_from(having))
        self.has[payment_id].discard(processor)
        self.rejected[payment_id].add(processor)
        self.queue.append(Message(payment_id, returned=intent(payment_id, processor).dispatch_id))

    @rule(seconds=st.sampled_from((1, 30, 61)))
    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    def teardown(self) -> None:
        try:
            self.drain()
            found = audit(self.rig.books())
            assert found.fits, found.misfits
        finally:
            self.do(self.stack.aclose())
            self.loop.close()
            self.folder.cleanup()

    def drain(self) -> None:
        """When faults have healed, each payment ends at one processor."""
        for worker in WORKERS:
            self.crash(worker)
        for _ in range(20 * (len(self.queue) + 1)):
            if not self.queue:
                break
            message = self.queue.pop(0)
            untried = [name for name in PROCESSORS if name not in self.rejected[message.payment_id]]
            self.claim("a", message, untried[0] if untried else None)
            self.seconds += 61
            for hand in list(self.hands["a"]):
                if hand.stage == "to send":
                    self.arrive(message.payment_id, hand.intent.processor or "")
                    ending = dispatched(hand.intent)
                else:
                    ending = ended(State.DEAD_LETTERED, hand.intent)
                self.do(self.rig.worker("a").record([ending], later(self.seconds)))
                self.hands["a"].remove(hand)
        assert not self.queue
        for payment_id, having in self.has.items():
            standing = self.rig.books().find(payment_id)
            assert standing is not None
            if having:
                assert (standing.state, {standing.processor}) == (State.DISPATCHED, having)
            else:  # every processor has rejected it
                assert standing.state is State.DEAD_LETTERED
                assert self.seen[payment_id] == set(PROCESSORS)


@pytest.mark.parametrize(
    ("backend", "examples"),
    [("memory", 200), ("sqlite", 15), ("sqlite, indexed at once", 15), ("postgresql", 15)],
)
def test_no_payment_is_paid_twice_or_lost(
    backend: str, examples: int, request: pytest.FixtureRequest
) -> None:
    """Two workers, three processors, any order of events."""
    databases = request.getfixturevalue("databases") if backend == "postgresql" else None
    machine = type("Machine", (JournalMachine,), {"backend": backend, "databases": databases})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )  # fmt: skip
