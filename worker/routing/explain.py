"""Why a payment goes where it goes: each rule tried, what failed first, who was skipped, what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any as Anything

from schemas.payment import Payment
from worker.errors import WorkerError
from worker.money import Amount, Charge, CompiledSchedule, Exchange, format_units, parse_units
from worker.routing.actions import cost_of
from worker.routing.answers import Scalar
from worker.routing.asking import compile_asking
from worker.routing.conditions import (
    All,
    Among,
    Any,
    Bins,
    Condition,
    Exists,
    Glob,
    Not,
    Plugin,
    Prefix,
    Range,
    Suffix,
    Window,
)
from worker.routing.decision import Decision, Rejected, Routed
from worker.routing.describe import describe
from worker.routing.fields import amount_units, raw_getter
from worker.routing.plugin_fees import PluginSchedule
from worker.routing.processors import Processor
from worker.routing.questions import NO_ANSWERS, Answers, Ask, answered
from worker.routing.table import RuleTable


@dataclass(frozen=True, slots=True)
class Failure:
    """The first condition of a rule that did not hold, and what the payment had instead."""

    condition: str
    actual: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One rule that was tried; the one without a failure decided."""

    rule: str
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class CandidateCost:
    """What a candidate charges for the payment in its currency, or None where it does not say."""

    processor: str
    cost: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision with everything that led to it. ``charge`` has the rounding trail."""

    rules_version: str
    now: datetime
    trials: tuple[Trial, ...]
    decision: Decision
    conditions: str
    charge: Charge | None
    charge_error: str | None
    costs: tuple[CandidateCost, ...]
    steps: tuple[str, ...] = ()
    added: Mapping[str, Scalar] = field(default_factory=dict)
    """Steps that looked at the payment, and what they added to it."""
    exchange: Exchange | None = None
    exchange_error: str | None = None
    """The net in the settlement currency, or why there is none."""


def explain(table: RuleTable, payment: Payment, now: datetime, ask: Ask | None = None) -> Explanation:
    """Return why the table decides as it does; the decision is the one that ``route`` gives.

    ``ask`` asks plugins. Without it ``PluginNeeded`` is raised where one decides; with it, whatever ``ask``
    raises, and ``PluginFailed`` for an answer that is none.
    """
    return answered(lambda answers: _explain(table, payment, now, answers), ask)


def _explain(table: RuleTable, payment: Payment, now: datetime, answers: Answers) -> Explanation:
    passed = table.pass_steps(payment, now, answers)
    if isinstance(passed, Rejected):
        return Explanation(table.version, now, (), passed, f"{passed.rule} refuses it", None, None, ())
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
    charge: Charge | None = None
    error: str | None = None
    costs: tuple[CandidateCost, ...] = ()
    if isinstance(decision, Routed):
        costs = tuple(_cost(one, payment) for one in decision.candidates)
        if decision.fees is not None:
            try:
                charge = _charge(decision.fees, payment, answers)
            except WorkerError as problem:
                error = str(problem)
    exchange, exchange_error = _exchange(table, decision, charge, payment, now, answers)
    conditions = describe(decider.condition)
    return Explanation(
        table.version,
        now,
        tuple(trials),
        decision,
        conditions,
        charge,
        error,
        costs,
        passed.asked,
        passed.added,
        exchange,
        exchange_error,
    )


def _charge(fees: CompiledSchedule | PluginSchedule, payment: Payment, answers: Answers) -> Charge:
    units, scale = parse_units(payment.amount.value)
    if isinstance(fees, PluginSchedule):
        return fees.charge(payment, units, scale, answers)
    return fees.explain(Amount(units, scale, fees.currency))


def _exchange(  # noqa: PLR0913 - it looks at all that led to the decision
    table: RuleTable,
    decision: Decision,
    charge: Charge | None,
    payment: Payment,
    now: datetime,
    answers: Answers,
) -> tuple[Exchange | None, str | None]:
    """Return the net converted, where the route settles in another currency and the rules have rates."""
    if not isinstance(decision, Routed) or table.rates is None:
        return None, None
    wanted, own = decision.settings.settlement_currency, payment.amount.currency
    if wanted in (None, own) or (charge is None and decision.fees is not None):
        return None, None
    net = charge.net if charge else Amount.parse(payment.amount.value, table.currencies.lookup(own))
    try:
        return table.rates.convert(net, table.currencies.lookup(str(wanted)), now, answers), None
    except WorkerError as problem:
        return None, str(problem)


def _cost(processor: Processor, payment: Payment) -> CandidateCost:
    compiled = processor.cost.in_currency(payment.amount.currency) if processor.cost else None
    if compiled is None:
        return CandidateCost(processor.name, None)
    minor, unknown = cost_of(processor, payment.amount.currency, payment.amount.value)
    return CandidateCost(processor.name, None if unknown else format_units(minor, compiled.currency.exponent))


def first_failure(
    condition: Condition, payment: Payment, amount: int, now: datetime, answers: Answers = NO_ANSWERS
) -> Failure | None:
    """Return the first part of a condition that does not hold with the payment's own value, or None."""
    if isinstance(condition, All):
        for part in condition.parts:
            failure = first_failure(part, payment, amount, now, answers)
            if failure is not None:
                return failure
        return None
    if compile_asking(condition)(payment, amount, now, answers):
        return None
    return Failure(describe(condition), actual(condition, payment, now))


def actual(condition: Condition, payment: Payment, now: datetime) -> str:
    """Return what the payment has where the condition looks."""
    match condition:
        case Window():
            local = now.astimezone(condition.zone)
            return f"it is {local:%a %Y-%m-%d %H:%M} in {condition.zone_name}"
        case Plugin(use):
            return f"plugin {use.name} says no"
        case Not(part):
            return actual(part, payment, now)
        case Any(parts) | All(parts):
            return (
                "; ".join(dict.fromkeys(actual(part, payment, now) for part in parts)) or "nothing could hold"
            )
        case Among() | Range() | Prefix() | Suffix() | Glob() | Bins() | Exists():
            return f"{condition.field} is {_shown(raw_getter(condition.field)(payment))}"


def _shown(value: Anything) -> str:
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return str(value).lower()
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
