"""Why a payment goes where it goes: each rule tried, what failed first, who was skipped, what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from schemas.payment import Payment
from worker.routing.actions import ArmChoice, Send
from worker.routing.answers import Scalar
from worker.routing.decision import Decision, Rejected, Routed
from worker.routing.describe import describe
from worker.routing.failures import Failure, first_failure
from worker.routing.fields import amount_units
from worker.routing.price import NO_PRICE, Price, price
from worker.routing.questions import Answers, Ask, answered
from worker.routing.refusals import PlanIt, Refusal, refusal
from worker.routing.table import RuleTable


@dataclass(frozen=True, slots=True)
class Trial:
    """One rule that was tried; the one without a failure decided."""

    rule: str
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision with everything that led to it."""

    rules_version: str
    now: datetime
    trials: tuple[Trial, ...]
    decision: Decision
    conditions: str
    steps: tuple[str, ...] = ()
    added: Mapping[str, Scalar] = field(default_factory=dict)
    """Steps that looked at the payment, and what they added to it."""
    choice: ArmChoice | None = None
    """Which arm of a split the payment falls to."""
    price: Price = NO_PRICE
    """What it costs, where the rules route it."""
    refusal: Refusal | None = None
    """Why the payment is not sent although the rules route it."""


def explain(
    table: RuleTable, payment: Payment, now: datetime, ask: Ask | None = None, plan: PlanIt | None = None
) -> Explanation:
    """Return why the table decides as it does; the decision is the one that ``route`` gives.

    ``ask`` asks plugins. Without it ``PluginNeeded`` is raised where one decides; with it, whatever ``ask``
    raises, and ``PluginFailed`` for an answer that is none. ``plan`` plans the payment as the worker does, so
    that the explanation has its refusal; without it only fees and rates are looked at.
    """
    return answered(lambda answers: _explain(table, payment, now, answers, plan), ask)


def _explain(
    table: RuleTable, original: Payment, now: datetime, answers: Answers, plan: PlanIt | None
) -> Explanation:
    passed = table.pass_steps(original, now, answers)
    if isinstance(passed, Rejected):
        return Explanation(table.version, now, (), passed, f"{passed.rule} refuses it")
    payment = passed.payment
    amount = amount_units(payment.amount.value)
    trials: list[Trial] = []
    decider = table.rules[-1]
    for rule in table.rules:
        failure = first_failure(rule.condition, payment, amount, now, answers)
        trials.append(Trial(rule.name, failure))
        if failure is None:
            decider = rule
            break
    decision = decider.action.decide(payment, amount)
    found = Explanation(
        table.version,
        now,
        tuple(trials),
        decision,
        describe(decider.condition),
        steps=passed.asked,
        added=passed.added,
        choice=decider.action.choice(payment) if isinstance(decider.action, Send) else None,
    )
    if not isinstance(decision, Routed):
        return found
    cost = price(table, decision, payment, now, answers)
    refused = cost.refusal if plan is None else refusal(plan, table, original, now, answers)
    return replace(found, price=cost, refusal=refused)
