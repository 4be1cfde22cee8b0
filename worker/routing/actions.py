"""What a rule does once its conditions hold: a route with its candidates, a rejection, or a hold."""

from bisect import bisect_right
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from schemas.payment import Payment
from worker.errors import InvalidAmount
from worker.money import CompiledSchedule, parse_units
from worker.routing.decision import Decision, Held, Rejected, Routed, RouteSettings, Skipped
from worker.routing.fees import FeeBook
from worker.routing.plugin_fees import PluginFees, PluginSchedule
from worker.routing.processors import Processor

MEMO_LIMIT = 4096
"""Kinds of payment a route remembers before it starts afresh; producers choose types and countries."""


class Action(Protocol):
    """Decides what becomes of a payment whose rule holds."""

    @property
    def target(self) -> tuple[object, ...]:
        """What is done, without the rule's name: equal where it does not matter which rule decides."""

    def decide(self, payment: Payment, amount: int) -> Decision:
        """Return the decision; ``amount`` is the payment's in units of 10^-12."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuses every payment with one code."""

    decision: Rejected

    @property
    def target(self) -> tuple[object, ...]:
        """The code."""
        return ("reject", self.decision.code)

    def decide(self, _payment: Payment, _amount: int) -> Decision:
        """Return the rejection."""
        return self.decision


@dataclass(frozen=True, slots=True)
class Hold:
    """Holds every payment for a person."""

    decision: Held

    @property
    def target(self) -> tuple[object, ...]:
        """All holds end in one place."""
        return ("hold",)

    def decide(self, _payment: Payment, _amount: int) -> Decision:
        """Return the hold."""
        return self.decision


def split_point(rule: str, payment_id: str, whole: int) -> int:
    """Return a number from 0 to below ``whole`` that depends on nothing but the two texts.

    It is the first 8 bytes, big-endian, of SHA-256 over ``rule`` + newline + ``payment_id``, scaled to
    ``whole``: the same in every process, on every retry, in every Python.
    """
    digest = sha256(f"{rule}\n{payment_id}".encode()).digest()
    return int.from_bytes(digest[:8]) * whole >> 64


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a route does with payments of one type, currency and country.

    ``decision`` stands for amounts from ``low`` to below ``high``, which no candidate's limits exclude.
    For others, and where candidates compete by cost, each payment is weighed by itself. None is unbounded.
    """

    decision: Decision
    low: int
    high: int | None


Kind = tuple[int, str, str, str | None]


@dataclass(frozen=True, slots=True)
class ArmChoice:
    """Why a split sends a payment to one arm: its hash ``point`` of ``whole`` lies below ``end``."""

    point: int
    whole: int
    arm: int
    weight: int
    names: tuple[str, ...]

    def percent(self, part: int) -> str:
        """Return a part of the whole in percent, cut after 6 decimals."""
        millionths = part * 100_000_000 // self.whole
        whole, fraction = divmod(millionths, 1_000_000)
        digits = f"{fraction:06}".rstrip("0")
        return f"{whole}{'.' if digits else ''}{digits}"


@dataclass(frozen=True, slots=True)
class Send:
    """Routes to the first candidate that accepts. ``orders`` holds one candidate list for each arm.

    ``ends`` are the arms' cumulative weights; without a split there is one arm. ``cheapest`` is how many
    leading candidates are sorted by their own cost for the payment.
    """

    rule: str
    orders: tuple[tuple[Processor, ...], ...]
    ends: tuple[int, ...]
    cheapest: int
    fees: FeeBook | PluginFees | None
    settings: RouteSettings
    _memo: dict[Kind, _Plan] = field(default_factory=dict, compare=False, repr=False)

    @property
    def target(self) -> tuple[object, ...]:
        """Candidates and how they are chosen, fees and settings."""
        orders = tuple(tuple(one.name for one in order) for order in self.orders)
        fees = self.fees.name if self.fees else None
        return ("send", orders, self.ends, self.cheapest, fees, self.settings)

    @property
    def processors(self) -> tuple[Processor, ...]:
        """Every processor that the route names, once."""
        return tuple({one.name: one for order in self.orders for one in order}.values())

    def choice(self, payment: Payment) -> ArmChoice | None:
        """Return which arm of a split the payment falls to, None without a split."""
        if len(self.ends) < 2:
            return None
        point = split_point(self.rule, payment.payment_id, self.ends[-1])
        arm = bisect_right(self.ends, point)
        weight = self.ends[arm] - (self.ends[arm - 1] if arm else 0)
        return ArmChoice(point, self.ends[-1], arm, weight, tuple(one.name for one in self.orders[arm]))

    def decide(self, payment: Payment, amount: int) -> Decision:
        """Return the route with the candidates that accept, or a rejection that says why none does."""
        money = payment.amount
        arm = 0
        if len(self.ends) > 1:
            arm = bisect_right(self.ends, split_point(self.rule, payment.payment_id, self.ends[-1]))
        kind = (arm, payment.type, money.currency, payment.country)
        plan = self._memo.get(kind)
        if plan is None:
            plan = self._remember(kind)
        if plan.low <= amount and (plan.high is None or amount < plan.high):
            return plan.decision
        return self._weigh(kind, amount, money.value)

    def _remember(self, kind: Kind) -> _Plan:
        if len(self._memo) >= MEMO_LIMIT:
            self._memo.clear()
        arm, type_, currency, country = kind
        accepted, skipped = [], []
        for processor in self.orders[arm]:
            reason = processor.refusal(type_, currency, country)
            if reason is None:
                accepted.append(processor)
            else:
                skipped.append(Skipped(processor.name, reason))
        limits = [
            one for processor in accepted for one in processor.limits if one.currency in (None, currency)
        ]
        low = max((one.low for one in limits if one.low is not None), default=0)
        high = min((one.high for one in limits if one.high is not None), default=None)
        if self.cheapest or any(currency in (processor.exponents or ()) for processor in accepted):
            high = low  # nothing is decided before the cost, or each payment's digits, are known
        plan = _Plan(self._decision(tuple(accepted), tuple(skipped), currency), low, high)
        self._memo[kind] = plan
        return plan

    def _weigh(self, kind: Kind, amount: int, text: str) -> Decision:
        """Decide for one payment: leave out whom its amount excludes, sort those that compete by cost."""
        arm, type_, currency, country = kind
        accepted: list[tuple[int, Processor]] = []
        skipped = []
        for position, processor in enumerate(self.orders[arm]):
            reason = processor.refusal(type_, currency, country) or processor.limited(currency, amount)
            cost = 0
            if reason is None and position < self.cheapest:
                cost, reason = cost_of(processor, currency, text)
            if reason is None:
                accepted.append((cost if position < self.cheapest else -1, processor))
            else:
                skipped.append(Skipped(processor.name, reason))
        competing = sorted((entry for entry in accepted if entry[0] >= 0), key=lambda entry: entry[0])
        others = [processor for cost, processor in accepted if cost < 0]
        ordered = (*(processor for _, processor in competing), *others)
        return self._decision(ordered, tuple(skipped), currency)

    def _decision(
        self, accepted: tuple[Processor, ...], skipped: tuple[Skipped, ...], currency: str
    ) -> Decision:
        if not accepted:
            reasons = "; ".join(f"{skip.processor}: {skip.reason}" for skip in skipped)
            return Rejected(
                self.rule, "no_route", f"rule {self.rule}: no processor accepts it ({reasons})", skipped
            )
        fees: CompiledSchedule | PluginSchedule | None = None
        if self.fees is not None:
            fees = self.fees.in_currency(currency)
            if fees is None:
                reason = f"rule {self.rule}: {self.fees.missing(currency)}"
                return Rejected(self.rule, "no_fee_schedule", reason, skipped)
        return Routed(self.rule, accepted, fees, skipped, self.settings)


def cost_of(processor: Processor, currency: str, amount: str) -> tuple[int, str | None]:
    """Return what the processor charges for an amount, in minor units, or 0 and why that is unknown."""
    if processor.cost is None:
        return 0, "it states no cost"
    compiled = processor.cost.in_currency(currency)
    if compiled is None:
        return 0, processor.cost.missing(currency)
    try:
        fees = compiled.charge_units(*parse_units(amount))[3]
    except InvalidAmount as error:
        return 0, f"its cost is unknown: {error}"
    return sum(fees), None
