"""From a payment to what is sent for it: amount, route, fees, and the dispatch's bytes. Pure.

``plan`` is a function of the payment, the rule table and the time alone, and a dispatch is a function of the
plan alone. Planned again after a crash, under the same rules, a payment gives the same bytes.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, assert_never

from worker.codec import Decoded
from worker.errors import AmountNotPositive, HeldForReview, NoRoute, RejectedByRule
from worker.money import CompiledSchedule, Currency, format_units, parse_units
from worker.money.settled import not_settleable
from worker.money.text import POWERS
from worker.routing import Held, Processor, Rejected, Routed, RuleTable


class Dispatch(NamedTuple):
    """What one processor is sent. One ``dispatch_id`` is one payment at one processor."""

    dispatch_id: str
    processor: str
    exchange: str
    routing_key: str
    body: bytes


class Plan(NamedTuple):
    """Where a payment goes and what it costs."""

    payment_id: str
    rule: str
    rules_version: str
    candidates: tuple[Processor, ...]
    routing_key: str
    money: bytes
    members: bytes

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
        body = b"%b,%b,%b}" % (decided.encode(), self.money, self.members)
        return Dispatch(dispatch_id, name, processor.exchange, self.routing_key, body)


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans payments by one rule table; a reload replaces the whole planner."""

    table: RuleTable

    def plan(self, decoded: Decoded, now: datetime) -> Plan:
        """Decide everything about a payment.

        Raises:
            PermanentError: the amount, the currency or the rules leave no way for it.
            NotConserved: the fees do not add up, which is a bug.
        """
        payment = decoded.payment
        currency = self.table.currencies.lookup(payment.amount.currency)
        if not currency.settleable:
            raise not_settleable(currency)
        units, scale = parse_units(payment.amount.value)
        if units <= 0:
            raise AmountNotPositive(f"amount {payment.amount.value} {currency.code} is not more than zero")
        decision = self.table.route(payment, now)
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
        return Plan(
            payment_id=payment.payment_id,
            rule=decision.rule,
            rules_version=self.table.version,
            candidates=decision.candidates,
            routing_key=f"{payment.type}.{currency.code.lower()}",
            money=_money(units, scale, currency, decision.fees),
            members=decoded.members,
        )


def make_dispatch_id(payment_id: str, processor: str) -> str:
    """Return the id of one payment's dispatch to one processor: 32 hex digits, the same for ever."""
    return blake2b(f"{payment_id}\0{processor}".encode(), digest_size=16, person=b"dispatch").hexdigest()


def _money(units: int, scale: int, currency: Currency, schedule: CompiledSchedule | None) -> bytes:
    """Write gross, fees and net as JSON members."""
    exponent = currency.exponent
    if schedule is None:
        if scale < exponent:
            units, scale = units * POWERS[exponent - scale], exponent
        text = format_units(units, scale)
        return (_money_template((), currency.code) % (text, text)).encode()
    gross, net, scale, fees = schedule.charge_units(units, scale)
    charged = [format_units(fee, exponent) for fee in fees]
    template = _money_template(schedule.names, currency.code)
    return (template % (format_units(gross, scale), *charged, format_units(net, scale))).encode()


@lru_cache(maxsize=4096)
def _money_template(fees: tuple[str, ...], code: str) -> str:
    """Return the JSON members with a ``%s`` for each amount; names of fees and currencies need no escapes."""
    amount = f'{{"value":"%s","currency":"{code}"}}'
    items = ",".join(f'{{"name":"{name}","amount":{amount}}}' for name in fees)
    return f'"gross":{amount},"fees":[{items}],"net":{amount}'
