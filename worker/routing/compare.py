"""Two rule tables on the same payments: which would move, from where to where, and what that costs."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from schemas.payment import Payment
from worker.routing.questions import Ask
from worker.routing.refusals import PlanIt
from worker.routing.simulate import Destination, Outcome, outcome_of
from worker.routing.table import RuleTable

MAX_EXAMPLES = 5


@dataclass(slots=True)
class Flow:
    """Payments of one currency that go from one destination to another. Money is in ``Outcome``'s units."""

    payments: int = 0
    amount: int = 0
    fees_before: int = 0
    fees_after: int = 0
    cost_before: int = 0
    cost_after: int = 0
    uncosted: int = 0
    """Payments whose cost changes by nobody knows how much; they are in neither cost."""
    rules: dict[tuple[str, str], int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, payment_id: str, before: Outcome, after: Outcome) -> None:
        """Count one payment."""
        self.payments += 1
        self.amount += max(before.amount, after.amount)
        self.fees_before += before.fees
        self.fees_after += after.fees
        if before.cost is not None and after.cost is not None:
            self.cost_before += before.cost
            self.cost_after += after.cost
        elif before.cost != after.cost or before.destination != after.destination:
            self.uncosted += 1
        pair = (before.rule, after.rule)
        self.rules[pair] = self.rules.get(pair, 0) + 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(payment_id)


FlowKey = tuple[Destination, Destination, str]


@dataclass(slots=True)
class Comparison:
    """Flows of all payments by (from, to, currency).

    ``moved`` counts payments with another destination, ``repriced`` those that stay and pay other fees.
    """

    old: RuleTable
    new: RuleTable
    now: datetime
    ask: Ask | None = None
    plan: PlanIt | None = None
    flows: dict[FlowKey, Flow] = field(default_factory=dict)
    payments: int = 0
    moved: int = 0
    repriced: int = 0

    def add_all(self, payments: Iterable[Payment]) -> None:
        """Route payments by both tables and compare."""
        for payment in payments:
            before = outcome_of(self.old, payment, self.now, self.ask, self.plan)
            after = outcome_of(self.new, payment, self.now, self.ask, self.plan)
            self.payments += 1
            if before.destination != after.destination:
                self.moved += 1
            elif before.fees != after.fees:
                self.repriced += 1
            key = (before.destination, after.destination, before.currency)
            flow = self.flows.get(key)
            if flow is None:
                flow = self.flows[key] = Flow()
            flow.add(payment.payment_id, before, after)

    @property
    def changed(self) -> bool:
        """Whether the new rules treat any payment otherwise."""
        return bool(self.moved or self.repriced)

    def moves(self) -> list[tuple[FlowKey, Flow]]:
        """Return the flows that change something, the largest first."""
        found = [(key, flow) for key, flow in self.flows.items() if _changes(key, flow)]
        return sorted(found, key=lambda one: (-one[1].payments, str(one[0][0]), str(one[0][1]), one[0][2]))


def _changes(key: FlowKey, flow: Flow) -> bool:
    return key[0] != key[1] or flow.fees_before != flow.fees_after
