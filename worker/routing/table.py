"""The compiled rule table: the first rule whose conditions hold decides, and one always does."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from schemas.payment import Payment
from worker.money import CurrencyRegistry
from worker.routing.actions import Action
from worker.routing.asking import Asking
from worker.routing.checks import Check
from worker.routing.conditions import Condition
from worker.routing.decision import Decision, Rejected
from worker.routing.fees import FeeBook
from worker.routing.fields import amount_units
from worker.routing.index import Index
from worker.routing.plugin_fees import PluginFees
from worker.routing.processors import Processor
from worker.routing.questions import NO_ANSWERS, Answers
from worker.routing.rates import Rates
from worker.routing.steps import Passed, Step, pass_steps

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
    """A rule to try, with the checks that the index leaves over; ``asking`` is what plugins decide, last."""

    rule: Rule
    checks: tuple[Check, ...]
    asking: Asking | None = None


@dataclass(frozen=True, slots=True)
class RuleTable:
    """Rules compiled once and asked many times. Immutable: what it remembers changes speed, never answers."""

    version: str
    processors: Mapping[str, Processor]
    fees: Mapping[str, FeeBook | PluginFees]
    currencies: CurrencyRegistry
    rules: tuple[Rule, ...]
    """In order, the default last; it has no condition."""
    index: Index[Try]
    steps: tuple[Step, ...] = ()
    rates: Rates | None = None
    assumed: Answers = field(default_factory=lambda: NO_ANSWERS)
    """Answers for those who route without any."""

    def route(
        self,
        payment: Payment,
        now: datetime,
        answers: Answers = NO_ANSWERS,
        amount: int | None = None,
    ) -> Decision:
        """Return what becomes of the payment; depends on nothing but the arguments and this table.

        ``now`` names its offset; ``amount`` is the payment's in units of 10^-12, where that is known already.
        Raises ``InvalidAmount`` for an amount that planning would have refused,
        ``PluginNeeded`` when a plugin decides and ``answers`` lack its answer, ``PluginFailed`` when that is
        no answer.
        """
        if amount is None:
            amount = amount_units(payment.amount.value)
        for one in self.index.candidates(payment, amount):
            for check in one.checks:
                if not check(payment, amount, now):
                    break
            else:
                if one.asking is not None and not one.asking(payment, amount, now, answers or self.assumed):
                    continue
                return one.rule.action.decide(payment, amount)
        return self.rules[-1].action.decide(payment, amount)

    def pass_steps(self, payment: Payment, now: datetime, answers: Answers) -> Passed | Rejected:
        """Return the payment as the rules see it, or a step's rejection; ``steps.pass_steps`` says more."""
        if not self.steps:
            return Passed(payment, {})
        return pass_steps(self.steps, payment, amount_units(payment.amount.value), now, answers)

    def assuming(self, answers: Answers) -> "RuleTable":
        """Return the same table with these answers of plugins, for those who can ask none."""
        return replace(self, assumed=answers)
