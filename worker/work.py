"""One delivery in the pipeline's hands, and the steps it can take."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from schemas.dead_letter import Attempt
from worker.amqp.lane import Delivery, Properties
from worker.codec import Decoded
from worker.envelope import Arrival
from worker.errors import InvariantViolation, PermanentError
from worker.planning import Dispatch, Plan, Planner
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


Step: TypeAlias = ToProcessor | ToDelay | ToDead | ToAsk
FIRST_CANDIDATE = ToProcessor(0)


@dataclass(slots=True)
class Work:
    """A delivery on its way to being settled. ``tries`` counts in-process tries of the current step."""

    delivery: Delivery
    properties: Properties
    arrival: Arrival
    trace: PaymentTrace
    step: Step = FIRST_CANDIDATE
    plan: Plan | None = None
    payment_id: str | None = None
    dispatch: Dispatch | None = None
    tries: int = 1
    refused_since: float | None = None
    failure: Attempt | None = None

    def planned(self) -> Plan:
        """Return the plan of a payment that is being dispatched."""
        if self.plan is None:
            raise InvariantViolation("a payment without a plan is about to be dispatched")
        return self.plan

    def attempt(self, at: str, code: str, processor: str | None = None) -> Attempt:
        """Describe how this delivery's attempt failed; ``at`` is RFC 3339."""
        return Attempt(attempt=self.arrival.attempt, at=at, code=code, processor=processor)
