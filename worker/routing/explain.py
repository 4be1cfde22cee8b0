"""Why a payment goes where it goes: each rule tried, what failed first, who was skipped, what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any as Anything

from schemas.payment import Payment
from worker.errors import WorkerError
from worker.money import (
    REST,
    Amount,
    Charge,
    CompiledSchedule,
    Exchange,
    Percent,
    Share,
    Split,
    format_units,
    parse_units,
)
from worker.routing.actions import ArmChoice, Send, cost_of
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
from worker.routing.decision import AccountShare, Decision, Rejected, Routed
from worker.routing.describe import MOST_SHOWN, describe, type_name, value_text
from worker.routing.fields import POWERS, Kind, amount_units, kind_of, raw_getter
from worker.routing.plugin_fees import PluginSchedule
from worker.routing.processors import Processor
from worker.routing.questions import NO_ANSWERS, Answers, Ask, answered
from worker.routing.refusals import PlanIt, Refusal, refusal
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
    refusal: Refusal | None = None
    """Why the payment is not sent although the rules route it."""
    choice: ArmChoice | None = None
    """Which arm of a split the payment falls to."""
    expires_at: datetime | None = None
    accounts: tuple[tuple[AccountShare, str | None], ...] = ()
    """Each account's share with its part of the net; None where nothing can be charged."""


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
    found = Explanation(
        table.version,
        now,
        tuple(trials),
        decision,
        describe(decider.condition),
        charge=None,
        charge_error=None,
        costs=(),
        steps=passed.asked,
        added=passed.added,
        choice=decider.action.choice(payment) if isinstance(decider.action, Send) else None,
    )
    if not isinstance(decision, Routed):
        return found
    found = _priced(found, decision, table, payment, answers)
    if plan is None:
        return found
    return replace(found, refusal=refusal(plan, table, original, now, answers))


def _priced(
    found: Explanation, decision: Routed, table: RuleTable, payment: Payment, answers: Answers
) -> Explanation:
    """Add what a route costs, whom it pays and until when it stands."""
    charge: Charge | None = None
    problem: WorkerError | None = None
    if decision.fees is not None:
        try:
            charge = _charge(decision.fees, payment, answers)
        except WorkerError as error:
            problem = error
    refused = Refusal.of(problem) if problem else None
    exchange, unsettled = (
        (None, None) if problem else _exchange(table, decision, charge, payment, found.now, answers)
    )
    net = None if problem else _net(table, charge, payment)
    return replace(
        found,
        charge=charge,
        charge_error=str(problem) if problem else None,
        costs=tuple(_cost(one, payment) for one in decision.candidates),
        exchange=exchange,
        exchange_error=unsettled.reason if unsettled else None,
        refusal=refused or unsettled,
        expires_at=expiry(payment, decision.settings.expires_after_seconds),
        accounts=_accounts(decision.settings.accounts, net),
    )


def expiry(payment: Payment, seconds: int | None) -> datetime | None:
    """Return until when a payment may be begun with, None for always or beyond all calendars."""
    if seconds is None:
        return None
    try:
        return (datetime.fromisoformat(payment.created_at) + timedelta(seconds=seconds)).astimezone(UTC)
    except OverflowError:
        return None


def _net(table: RuleTable, charge: Charge | None, payment: Payment) -> Amount:
    if charge is not None:
        return charge.net
    currency = table.currencies.lookup(payment.amount.currency)
    units, scale = parse_units(payment.amount.value)
    if scale < currency.exponent:
        units, scale = units * POWERS[currency.exponent - scale], currency.exponent
    return Amount(units, scale, currency)


def _accounts(
    shares: tuple[AccountShare, ...], net: Amount | None
) -> tuple[tuple[AccountShare, str | None], ...]:
    if net is None or not shares:
        return tuple((share, None) for share in shares)
    weights = [REST if share.percent is None else Percent.parse(share.percent) for share in shares]
    split = Split(tuple(Share(str(i), weight) for i, weight in enumerate(weights)))
    texts = [f"{format_units(part, net.scale)} {net.currency.code}" for part in split.units(net.units)]
    return tuple(zip(shares, texts, strict=True))


def _charge(fees: CompiledSchedule | PluginSchedule, payment: Payment, answers: Answers) -> Charge:
    units, scale = parse_units(payment.amount.value)
    if isinstance(fees, PluginSchedule):
        return fees.charge(payment, units, scale, answers)
    return fees.explain(Amount(units, scale, fees.currency))


def _exchange(  # noqa: PLR0913 - it looks at all that led to the decision
    table: RuleTable,
    decision: Routed,
    charge: Charge | None,
    payment: Payment,
    now: datetime,
    answers: Answers,
) -> tuple[Exchange | None, Refusal | None]:
    """Return the net converted, where the route settles in another currency and the rules have rates."""
    wanted, own = decision.settings.settlement_currency, payment.amount.currency
    if table.rates is None or wanted is None or wanted == own:
        return None, None
    net = _net(table, charge, payment)
    try:
        return table.rates.convert(net, table.currencies.lookup(wanted), now, answers), None
    except WorkerError as problem:
        return None, Refusal.of(problem)


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
    clash = isinstance(condition, Among | Range) and _other_type(
        condition, raw_getter(condition.field)(payment)
    )
    return Failure(describe(condition, typed=clash), actual(condition, payment, now))


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
            value = raw_getter(condition.field)(payment)
            typed = isinstance(condition, Among | Range) and _other_type(condition, value)
            return f"{condition.field} is {_shown(condition.field, value, typed=typed)}"


def _other_type(condition: Among | Range, value: Anything) -> bool:
    """Return whether a field that may hold any scalar holds another type than the condition asks for."""
    if value is None or kind_of(condition.field) is not Kind.OPEN:
        return False
    if isinstance(condition, Range):
        return type_name(value) != "number"
    return type_name(value) not in {type_name(one) for one in condition.values}


def _shown(field: str, value: Anything, *, typed: bool) -> str:
    if value is None:
        return "missing"
    if kind_of(field) is not Kind.OPEN:
        text = value if isinstance(value, str) else repr(value)
        return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
    return value_text(value, typed=typed)
