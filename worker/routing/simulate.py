"""Where payments would go: counted by rule, destination and currency, with exact sums of money."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, assert_never

from schemas.payment import Payment
from worker.errors import PermanentError, TransientError, WorkerError
from worker.money import parse_units
from worker.money.settled import not_settleable
from worker.routing.actions import cost_of
from worker.routing.alone import charge_alone
from worker.routing.decision import NO_SETTINGS, Decision, Held, Rejected, Routed
from worker.routing.fields import AMOUNT_SCALE, POWERS
from worker.routing.plugin_fees import PluginSchedule
from worker.routing.questions import Answers, Ask, PluginNeeded, answered
from worker.routing.refusals import PlanIt
from worker.routing.table import RuleTable

DestinationKind = Literal["processor", "rejected", "held", "refused", "undecided"]


@dataclass(frozen=True, slots=True, order=True)
class Destination:
    """Where a payment ends: a processor, or the dead letters with a code."""

    kind: DestinationKind
    name: str

    def __str__(self) -> str:
        if self.kind == "processor":
            return self.name
        return "held for review" if self.kind == "held" else f"{self.kind}: {self.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one payment. Amounts are in units of 10^-12, ``fees`` and ``cost`` in minor units.

    ``cost`` is what the processor charges us, None where the rules do not say.
    """

    rule: str
    destination: Destination
    currency: str
    amount: int
    fees: int
    cost: int | None


@dataclass(slots=True)
class Sums:
    """Totals of some payments in one currency; ``uncosted`` of them have no known cost."""

    payments: int = 0
    amount: int = 0
    fees: int = 0
    cost: int = 0
    uncosted: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one payment."""
        self.payments += 1
        self.amount += outcome.amount
        self.fees += outcome.fees
        if outcome.cost is None:
            self.uncosted += 1
        else:
            self.cost += outcome.cost


Key = tuple[str, Destination, str]


@dataclass(slots=True)
class Simulation:
    """Totals by (rule, destination, currency) of the payments given so far."""

    table: RuleTable
    now: datetime
    ask: Ask | None = None
    """Asks plugins; without it what they decide stays undecided."""
    plan: PlanIt | None = None
    """Plans what is routed, so that payments which planning refuses are counted as refused."""
    cells: dict[Key, Sums] = field(default_factory=dict)

    def add_all(self, payments: Iterable[Payment]) -> None:
        """Route payments and count them."""
        cells = self.cells
        for payment in payments:
            outcome = outcome_of(self.table, payment, self.now, self.ask, self.plan)
            key = (outcome.rule, outcome.destination, outcome.currency)
            sums = cells.get(key)
            if sums is None:
                sums = cells[key] = Sums()
            sums.add(outcome)


def destination_of(decision: Decision) -> Destination:
    """Return where a decision sends its payment first."""
    match decision:
        case Routed():
            return Destination("processor", decision.candidates[0].name)
        case Rejected():
            return Destination("rejected", decision.code)
        case Held():
            return Destination("held", "held")
        case _:
            assert_never(decision)


def outcome_of(
    table: RuleTable, payment: Payment, now: datetime, ask: Ask | None = None, plan: PlanIt | None = None
) -> Outcome:
    """Return what becomes of a payment; one that is refused before routing has no rule.

    It is undecided when a plugin decides that cannot be asked or does not answer, or when a rate is missing.
    Without ``plan``, expiry, accounts and settlement are not looked at.
    """
    try:
        return answered(lambda answers: _outcome(table, payment, now, answers, plan), ask)
    except PluginNeeded as needed:
        destination = Destination("undecided", f"plugin {needed.question.use.name}")
    except WorkerError as error:
        destination = _failed(error)
    return Outcome("-", destination, payment.amount.currency, 0, 0, 0)


def _outcome(
    table: RuleTable, payment: Payment, now: datetime, answers: Answers, plan: PlanIt | None
) -> Outcome:
    code, rule, amount = payment.amount.currency, "-", 0
    try:
        units, scale = parse_units(payment.amount.value)
        amount = units * POWERS[AMOUNT_SCALE - scale]
        currency = table.currencies.lookup(code)
        if not currency.settleable:
            raise not_settleable(currency)
        if units <= 0:
            return Outcome(rule, Destination("refused", "amount_not_positive"), code, amount, 0, 0)
        passed = table.pass_steps(payment, now, answers)
        if isinstance(passed, Rejected):
            return Outcome(passed.rule, destination_of(passed), code, amount, 0, 0)
        decision = table.route(passed.payment, now, answers)
        rule = decision.rule
        if not isinstance(decision, Routed):
            return Outcome(rule, destination_of(decision), code, amount, 0, 0)
        fees = _fees(decision, passed.payment, (units, scale), answers)
        if plan is not None and decision.settings is not NO_SETTINGS:
            plan(table, payment, now, answers)
    except WorkerError as error:
        return Outcome(rule, _failed(error), code, amount, 0, 0)
    cost, unknown = cost_of(decision.candidates[0], code, payment.amount.value)
    return Outcome(rule, destination_of(decision), code, amount, fees, None if unknown else cost)


def _failed(error: WorkerError) -> Destination:
    match error:
        case PermanentError():
            return Destination("refused", error.code)
        case TransientError():
            return Destination("undecided", error.code)
        case _:
            raise error


def _fees(decision: Routed, payment: Payment, amount: tuple[int, int], answers: Answers) -> int:
    """Return the sum of the fees in minor units; ``amount`` is units and scale."""
    if decision.fees is None:
        return 0
    if isinstance(decision.fees, PluginSchedule):
        return sum(decision.fees.bill(payment, *amount, answers).fees)
    return sum(charge_alone(decision.fees, *amount)[3])
