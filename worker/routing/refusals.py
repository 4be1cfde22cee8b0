"""What becomes of a routed payment after all: planning may refuse it for its expiry, its fees or its rate."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from schemas.payment import Payment
from worker.errors import TransientError, WorkerError
from worker.routing.questions import Answers
from worker.routing.table import RuleTable

PlanIt: TypeAlias = Callable[[RuleTable, Payment, datetime, Answers], object]
"""Plans a payment as the worker does and raises as planning does; what it returns is not looked at."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a payment that has a route is not sent. ``retried`` ones are tried again, others dead-lettered."""

    code: str
    reason: str
    retried: bool

    @classmethod
    def of(cls, error: WorkerError) -> "Refusal":
        """Return the refusal that an error of planning stands for."""
        return cls(error.code, str(error), isinstance(error, TransientError))


def refusal(
    plan: PlanIt, table: RuleTable, payment: Payment, now: datetime, answers: Answers
) -> Refusal | None:
    """Return why planning refuses a payment, None where it plans it. Raises ``PluginNeeded``."""
    try:
        plan(table, payment, now, answers)
    except WorkerError as error:
        return Refusal.of(error)
    return None
