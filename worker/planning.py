"""From a payment to what is sent for it: amount, route, fees, and the dispatch's bytes. Pure.

``plan`` is a function of the payment, the rule table, the time and what plugins answered, and a dispatch is a
function of the plan alone. Planned again after a crash, under the same rules and with the same answers, a
payment gives the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import NamedTuple, assert_never

import orjson

from schemas.payment import Payment
from worker.codec import Decoded
from worker.dispatch_members import (
    Charge,
    account_member,
    charge,
    charged_members,
    enrichment_member,
    expiry_member,
    settlement_member,
)
from worker.errors import AmountNotPositive, HeldForReview, NoRoute, PermanentError, RejectedByRule
from worker.journal import protocol as journal
from worker.money import Amount, Carry, CompiledSchedule, Currency, parse_units
from worker.money.settled import not_settleable
from worker.money.text import MAX_SCALE, POWERS
from worker.routing import (
    NO_ANSWERS,
    NO_SETTINGS,
    Answers,
    Held,
    Processor,
    Rejected,
    Routed,
    RouteSettings,
    RuleTable,
)
from worker.routing.alone import carries


class Dispatch(NamedTuple):
    """What one processor is sent, and by which rule. One ``dispatch_id`` is one payment at one processor."""

    dispatch_id: str
    processor: str
    exchange: str
    routing_key: str
    body: bytes
    rule: str
    rules_version: str
    priority: int | None = None


class Charged(NamedTuple):
    """What is charged, as integers at ``scale``; the fees are what gross and net differ by."""

    currency: str
    scale: int
    gross: int
    net: int


class Plan(NamedTuple):
    """Where a payment goes and what it costs."""

    payment_id: str
    rule: str
    rules_version: str
    candidates: tuple[Processor, ...]
    routing_key: str
    added: bytes
    """JSON members of the worker's own, those that every candidate gets."""
    members: bytes
    charged: Charged
    priority: int | None = None
    carrying: "CarriedFees | None" = None
    """For fees rounded by carry: the amounts above are as if no earlier payment had left a remainder."""

    def dispatch(self, candidate: int) -> Dispatch:
        """Return the dispatch for the candidate with this index (0 is the route's first)."""
        processor = self.candidates[candidate]
        name = processor.name
        dispatch_id = make_dispatch_id(self.payment_id, name)
        # Names of processors and rules, and the version, need no escapes: the rule schema sees to that.
        decided = (
            f'{{"dispatch_id":"{dispatch_id}","processor":"{name}","attempt":{candidate + 1},'
            f'"rule":"{self.rule}","rules_version":"{self.rules_version}"'
        )
        body = b"%b,%b,%b}" % (decided.encode(), self.added, self.members)
        return Dispatch(
            dispatch_id, name, processor.exchange, self.routing_key, body, self.rule, self.rules_version,
            self.priority,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CarriedFees:
    """Fees still to be rounded with what earlier payments of the same account left: ``journal.Carrying``.

    ``finish`` makes the plan again from what is charged; ``candidate`` is whose dispatch ``body`` returns.
    """

    schedule: CompiledSchedule
    amount: Amount
    account: str
    finish: Callable[[Charge], Plan]
    candidate: int = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """A key for each fee's remainder: account, schedule, fee and currency."""
        return tuple(f"{self.account}/{key}" for key in self.schedule.carry_keys)

    def charge(self, carries: Sequence[Carry]) -> tuple[journal.Charged, Sequence[Carry]]:
        """Round with the remainders so far; raises as the schedule does."""
        charge = self.schedule.charge_carrying(self.amount, carries)
        fees = tuple(fee.money.units for fee in charge.fees)
        trail = orjson.dumps([step.as_dict() for step in charge.trail]).decode()
        net = charge.net
        return journal.Charged(charge.gross.units, net.units, net.scale, fees, trail), charge.carries

    def plan(self, charged: journal.Charged) -> Plan:
        """Return the plan with these amounts."""
        integers = (charged.gross, charged.net, charged.scale, charged.fees)
        return self.finish(charged_members(self.amount.currency, self.schedule.names, integers))

    def body(self, charged: journal.Charged) -> bytes:
        """Return the candidate's dispatch with these amounts."""
        return self.plan(charged).dispatch(self.candidate).body


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans payments by one rule table; a reload replaces the whole planner."""

    table: RuleTable

    def plan(self, decoded: Decoded, now: datetime, answers: Answers = NO_ANSWERS) -> Plan:
        """Decide everything about a payment.

        Raises:
            PermanentError: the amount, the currency, the rules or a plugin leave no way for it.
            TransientError: a step asks for another try, or an exchange rate is too old.
            PluginNeeded: a plugin has a say that has not been asked yet.
            NotConserved: the fees do not add up, which is a bug.
        """
        payment, table = decoded.payment, self.table
        currency = table.currencies.lookup(payment.amount.currency)
        if not currency.settleable:
            raise not_settleable(currency)
        units, scale = parse_units(payment.amount.value)
        if units <= 0:
            raise AmountNotPositive(f"amount {payment.amount.value} {currency.code} is not more than zero")
        more = ""
        if table.steps:
            payment, more = self._pass_steps(payment, now, answers)
        decision = table.route(payment, now, answers, units * POWERS[MAX_SCALE - scale])
        match decision:
            case Routed():
                pass
            case Rejected():
                if decision.code == NoRoute.code:
                    raise NoRoute(decision.reason)
                raise RejectedByRule(decision.code, f"rule {decision.rule}: {decision.reason}")
            case Held():
                raise HeldForReview(f"rule {decision.rule} holds it for a person: {decision.reason}")
            case _:
                assert_never(decision)
        fees = decision.fees
        charged = charge(payment, (units, scale), currency, fees, answers)
        plan = self._finish(decoded, payment, currency, decision, more, charged, now, answers)
        if isinstance(fees, CompiledSchedule) and carries(fees):
            finish = partial(
                self._finish, decoded, payment, currency, decision, more, now=now, answers=answers
            )
            amount = Amount(units, scale, currency)
            return plan._replace(carrying=CarriedFees(fees, amount, payment.merchant_id, finish))
        return plan

    def _finish(  # noqa: PLR0913 - what a plan is made of
        self,
        decoded: Decoded,
        payment: Payment,
        currency: Currency,
        decision: Routed,
        more: str,
        charged: Charge,
        now: datetime,
        answers: Answers,
    ) -> Plan:
        """Return the plan of a routed payment, once it is known what it is charged."""
        added, gross, net, scale = charged
        settings = decision.settings
        if settings is not NO_SETTINGS:
            members = self._settings(settings, payment, Amount(net, scale, currency), now, answers)
            more += "".join([f",{member}" for member in members])
        return Plan(
            payment.payment_id,
            decision.rule,
            self.table.version,
            decision.candidates,
            f"{payment.type}.{currency.code.lower()}",
            (added + more if more else added).encode(),
            decoded.members,
            Charged(currency.code, scale, gross, net),
            settings.priority,
        )

    def gross(self, payment: Payment) -> Charged | None:
        """Return the amount of a payment that could not be planned, None where that is none either."""
        try:
            currency = self.table.currencies.lookup(payment.amount.currency)
            units, scale = parse_units(payment.amount.value)
        except PermanentError:
            return None
        return Charged(currency.code, scale, units, units)

    def _pass_steps(self, payment: Payment, now: datetime, answers: Answers) -> tuple[Payment, str]:
        """Return the payment as the rules see it, and what steps added to it as a JSON member."""
        passed = self.table.pass_steps(payment, now, answers)
        if isinstance(passed, Rejected):
            raise RejectedByRule(passed.code, f"{passed.rule}: {passed.reason}")
        return passed.payment, f",{enrichment_member(passed.added)}" if passed.added else ""

    def _settings(
        self, settings: RouteSettings, payment: Payment, net: Amount, now: datetime, answers: Answers
    ) -> Iterator[str]:
        """Yield what a route says beside the processor, as JSON members."""
        if settings.expires_after_seconds is not None:
            yield expiry_member(payment, settings.expires_after_seconds, now)
        if settings.accounts:
            yield account_member(settings.accounts, net)
        if settings.settlement_currency is not None:
            into = self.table.currencies.lookup(settings.settlement_currency)
            yield settlement_member(net, into, self.table.rates, now, answers)


def make_dispatch_id(payment_id: str, processor: str) -> str:
    """Return the id of one payment's dispatch to one processor: 32 hex digits, the same for ever."""
    return blake2b(f"{payment_id}\0{processor}".encode(), digest_size=16, person=b"dispatch").hexdigest()
