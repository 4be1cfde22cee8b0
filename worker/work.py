"""One delivery in the pipeline's hands, and the steps it can take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from schemas.dead_letter import Attempt
from worker.amqp.lane import Delivery, Properties
from worker.codec import Decoded
from worker.envelope import Arrival
from worker.errors import InvariantViolation, PermanentError
from worker.journal.protocol import Charged as JournalCharged
from worker.lines import Parts
from worker.planning import CarriedFees, Charged, Dispatch, Plan, Planner
from worker.routing import Question
from worker.telemetry.tracing import PaymentTrace


@dataclass(frozen=True, slots=True)
class ToProcessor:
    """Next step: dispatch to the plan's candidate with this index."""

    candidate: int


@dataclass(frozen=True, slots=True)
class ToDelay:
    """Next step: wait in the broker, then come back as the next attempt."""

    seconds: float
    failure: Attempt


@dataclass(frozen=True, slots=True)
class ToDead:
    """Next step: the dead-letter queue."""

    error: PermanentError
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class ToAsk:
    """Next step: ask a plugin, then plan again, by the same rules and as of the same time."""

    decoded: Decoded
    planner: Planner
    now: datetime
    question: Question
    answers: Mapping[Question, object]


@dataclass(frozen=True, slots=True)
class ToAside:
    """Next step: the queue of what may crash the worker, after ``crashes`` sessions that ended over it."""

    exchange: str
    routing_key: str
    crashes: int


Step: TypeAlias = ToProcessor | ToDelay | ToDead | ToAsk | ToAside
FIRST_CANDIDATE = ToProcessor(0)


@dataclass(slots=True)
class Work:
    """A delivery on its way to being settled. ``tries`` counts in-process tries of the current step.

    ``gross`` is the amount of a payment that has no plan. ``dispatch`` is what is sent to a processor, or was
    last; ``resumed`` says that an earlier worker has written it. ``claimed`` says that the journal knows of
    this delivery, and ``intended`` which dispatch id it expects. Where a processor gave the payment back,
    ``returned`` is the dispatch id, and ``behind`` how many candidates it has passed with that. ``alone``: it
    was set aside by whoever came after the worker that had it. ``parts`` is there where the delivery is one
    line of a message. ``unread`` is how to read a message that is about to die unread.
    """

    delivery: Delivery
    properties: Properties
    arrival: Arrival
    trace: PaymentTrace
    step: Step = FIRST_CANDIDATE
    plan: Plan | None = None
    decoded: Decoded | None = None
    gross: Charged | None = None
    payment_id: str | None = None
    dispatch: Dispatch | None = None
    resumed: bool = False
    claimed: bool = False
    intended: str | None = None
    returned: str | None = None
    behind: int = 0
    alone: bool = False
    unread: Callable[[], None] | None = None
    parts: Parts | None = None
    tries: int = 1
    refused_since: float | None = None
    failure: Attempt | None = None

    def planned(self) -> Plan:
        """Return the plan of a payment that is being dispatched."""
        if self.plan is None:
            raise InvariantViolation("a payment without a plan is about to be dispatched")
        return self.plan

    @property
    def has_past(self) -> bool:
        """Whether attempts have to be carried along, in case a processor gives the payment back."""
        return bool(self.arrival.attempts or self.arrival.passed)

    def settles(self) -> bool:
        """Note that the payment is where it belongs; whether its delivery can be acknowledged with that."""
        return self.parts is None or self.parts.one_done()

    @property
    def orphaned(self) -> bool:
        """Whether whoever had it in hand before is gone."""
        return self.delivery.redelivered or self.alone

    @property
    def charged(self) -> Charged | None:
        """What the payment is charged, or its amount; None where neither is known."""
        return self.gross if self.plan is None else self.plan.charged

    def prepared(self) -> Dispatch:
        """Return the dispatch that is the next step."""
        if not isinstance(self.step, ToProcessor):
            raise InvariantViolation("a payment that is not to be dispatched is about to be")
        return self.prepare(self.step.candidate)

    def prepare(self, candidate: int) -> Dispatch:
        """Return what is sent to the candidate with this index; always the same where it is resumed."""
        if self.resumed and self.dispatch is not None:
            return self.dispatch
        plan = self.planned()
        dispatch = self.dispatch
        if dispatch is None or dispatch.processor != plan.candidates[candidate].name:
            dispatch = self.dispatch = plan.dispatch(candidate)
        return dispatch

    def carrying(self) -> CarriedFees | None:
        """Return what the fees of the candidate that is next still wait for, or None."""
        fees = None if self.plan is None else self.plan.carrying
        if fees is None or not isinstance(self.step, ToProcessor):
            return None
        return replace(fees, candidate=self.step.candidate)

    def recharge(self, charged: JournalCharged) -> None:
        """Go on with the amounts as the journal has rounded them."""
        carrying = self.carrying()
        if carrying is None:
            raise InvariantViolation("the journal has rounded fees that nobody carries")
        self.plan, self.dispatch = carrying.plan(charged), None

    def resume(self, dispatch: Dispatch) -> None:
        """Send from now on what an earlier worker may have sent, and nothing to another processor."""
        self.dispatch, self.resumed = dispatch, True
        self.arrival = self.arrival._replace(pinned=True, pinned_to=dispatch.processor)
        self.step = FIRST_CANDIDATE

    def attempt(self, at: str, code: str, processor: str | None = None) -> Attempt:
        """Describe how this delivery's attempt failed; ``at`` is RFC 3339."""
        return Attempt(attempt=self.arrival.attempt, at=at, code=code, processor=processor)
