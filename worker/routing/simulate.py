"""Where payments would go: counted by rule, destination and currency, with exact sums of money."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, assert_never

from schemas.payment import Payment
from worker.errors import PermanentError, TransientError
from worker.money import parse_units
from worker.routing.actions import cost_of
from worker.routing.decision import Decision, Held, Rejected, Routed
from worker.routing.fields import AMOUNT_SCALE, POWERS
from worker.routing.plugin_fees import PluginSchedule
from worker.routing.questions import Answers, Ask, PluginNeeded, answered
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
    cells: dict[Key, Sums] = field(default_factory=dict)

    def add_all(self, payments: Iterable[Payment]) -> None:
        """Route payments and count them."""
        cells = self.cells
        for payment in payments:
            outcome = outcome_of(self.table, payment, self.now, self.ask)
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


def outcome_of(table: RuleTable, payment: Payment, now: datetime, ask: Ask | None = None) -> Outcome:
    """Return what becomes of a payment; one that planning refuses before routing has no rule.

    It is undecided when a plugin decides that cannot be asked or does not answer.
    """
    try:
        return answered(lambda answers: _outcome(table, payment, now, answers), ask)
    except PluginNeeded as needed:
        undecided = Destination("undecided", f"plugin {needed.question.use.name}")
    except TransientError as error:
        undecided = Destination("undecided", error.code)
    return Outcome("-", undecided, payment.amount.currency, 0, 0, 0)


def _outcome(table: RuleTable, payment: Payment, now: datetime, answers: Answers) -> Outcome:
    code, text = payment.amount.currency, payment.amount.value
    try:
        table.currencies.lookup(code)
        units, scale = parse_units(text)
        if units <= 0:
            return Outcome("-", Destination("refused", "amount_not_positive"), code, 0, 0, 0)
        amount = units * POWERS[AMOUNT_SCALE - scale]
        passed = table.pass_steps(payment, now, answers)
        if isinstance(passed, Rejected):
            return Outcome(passed.rule, destination_of(passed), code, amount, 0, 0)
        payment = passed.payment
        decision = table.route(payment, now, answers)
        if not isinstance(decision, Routed):
            return Outcome(decision.rule, destination_of(decision), code, amount, 0, 0)
        if isinstance(decision.fees, PluginSchedule):
            fees = sum(decision.fees.bill(payment, units, scale, answers).fees)
        else:
            fees = sum(decision.fees.charge_units(units, scale)[3]) if decision.fees else 0
    except PermanentError as error:
        return Outcome("-", Destination("refused", error.code), code, 0, 0, 0)
    cost, unknown = cost_of(decision.candidates[0], code, text)
    return Outcome(decision.rule, destination_of(decision), code, amount, fees, None if unknown else cost)
