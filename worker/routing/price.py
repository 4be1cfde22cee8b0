"""What a route costs, whom it pays and until when it stands, each with how it came about."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
from worker.routing.actions import cost_of
from worker.routing.alone import explain_alone
from worker.routing.decision import AccountShare, Routed
from worker.routing.fields import POWERS
from worker.routing.plugin_fees import PluginSchedule
from worker.routing.processors import Processor
from worker.routing.questions import Answers
from worker.routing.refusals import Refusal
from worker.routing.table import RuleTable


@dataclass(frozen=True, slots=True)
class CandidateCost:
    """What a candidate charges for the payment in its currency, or None where it does not say."""

    processor: str
    cost: str | None


@dataclass(frozen=True, slots=True)
class Price:
    """What a route costs the payment. ``charge`` has the rounding trail."""

    charge: Charge | None = None
    charge_error: str | None = None
    costs: tuple[CandidateCost, ...] = ()
    exchange: Exchange | None = None
    exchange_error: str | None = None
    """The net in the settlement currency, or why there is none."""
    processor_converts_to: str | None = None
    """The settlement currency, where the rules have no rates of their own."""
    expires_at: datetime | None = None
    accounts: tuple[tuple[AccountShare, str | None], ...] = ()
    """Each account's share with its part of the net; None where nothing can be charged."""
    refusal: Refusal | None = None
    """Why the payment is not sent for it."""


NO_PRICE = Price()


def price(table: RuleTable, decision: Routed, payment: Payment, now: datetime, answers: Answers) -> Price:
    """Return what a decision costs; what cannot be had of it says why. Raises ``PluginNeeded``."""
    charge: Charge | None = None
    problem: WorkerError | None = None
    if decision.fees is not None:
        try:
            charge = _charge(decision.fees, payment, answers)
        except WorkerError as error:
            problem = error
    net = None if problem else _net(table, charge, payment)
    exchange, unsettled = _exchange(table, decision, net, now, answers)
    wanted = decision.settings.settlement_currency
    converts = table.rates is None and wanted != payment.amount.currency
    return Price(
        charge=charge,
        charge_error=str(problem) if problem else None,
        costs=tuple(_cost(one, payment) for one in decision.candidates),
        exchange=exchange,
        exchange_error=unsettled.reason if unsettled else None,
        processor_converts_to=wanted if converts else None,
        expires_at=_expiry(payment, decision.settings.expires_after_seconds),
        accounts=_accounts(decision.settings.accounts, net),
        refusal=Refusal.of(problem) if problem else unsettled,
    )


def _expiry(payment: Payment, seconds: int | None) -> datetime | None:
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
    return explain_alone(fees, Amount(units, scale, fees.currency))


def _exchange(
    table: RuleTable, decision: Routed, net: Amount | None, now: datetime, answers: Answers
) -> tuple[Exchange | None, Refusal | None]:
    """Return the net converted, where the route settles in another currency and the rules have rates."""
    wanted = decision.settings.settlement_currency
    if table.rates is None or wanted is None or net is None or wanted == net.currency.code:
        return None, None
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
