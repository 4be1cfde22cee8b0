"""The compiled rule table: the first rule whose conditions hold decides, and one always does."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.payment import Payment
from worker.money import CurrencyRegistry
from worker.routing.actions import Action
from worker.routing.checks import Check
from worker.routing.conditions import Condition
from worker.routing.decision import Decision
from worker.routing.fees import FeeBook
from worker.routing.fields import amount_units
from worker.routing.index import Index
from worker.routing.processors import Processor

DEFAULT_RULE = "default"
"""The name under which the document's ``default:`` decides; no rule may have it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its condition as written, and what it does."""

    name: str
    source: int
    """Its position in the document's list of rules."""
    condition: Condition
    action: Action


@dataclass(frozen=True, slots=True)
class Try:
    """A rule to try, with the checks that the index leaves over."""

    rule: Rule
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class RuleTable:
    """Rules compiled once and asked many times. Immutable: what it remembers changes speed, never answers."""

    version: str
    processors: Mapping[str, Processor]
    fees: Mapping[str, FeeBook]
    currencies: CurrencyRegistry
    rules: tuple[Rule, ...]
    """In order, the default last; it has no condition."""
    index: Index[Try]

    def route(self, payment: Payment, now: datetime) -> Decision:
        """Return what becomes of the payment; depends on nothing but the payment, this table and ``now``.

        ``now`` names its offset. Raises ``InvalidAmount`` for an amount that planning would have refused.
        """
        amount = amount_units(payment.amount.value)
        for one in self.index.candidates(payment, amount):
            for check in one.checks:
                if not check(payment, amount, now):
                    break
            else:
                return one.rule.action.decide(payment, amount)
        return self.rules[-1].action.decide(payment, amount)
