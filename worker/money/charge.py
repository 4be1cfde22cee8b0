"""Charging fees: a schedule compiled to integer arithmetic for one currency, and what it charges."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from worker.errors import (
    AmountNotPositive,
    CurrencyMismatch,
    FeeExceedsAmount,
    InvalidAmount,
    InvalidMoneyRule,
    NotConserved,
    TooManyDigits,
)
from worker.money.amount import Amount
from worker.money.carry import Carry
from worker.money.currency import Currency
from worker.money.fees import FeeComponent, FeeMode, FeeSchedule, TaxComponent, WhenFeeExceeds
from worker.money.rounding import Divider, Rounding, divider
from worker.money.settled import Money, not_settleable
from worker.money.steps import Step, amount_step, component_pieces, tax_step
from worker.money.straight import MAX_ITEMS, ChargedUnits, ChargeUnits, straight_line
from worker.money.text import MAX_SCALE, MAX_UNITS, POWERS, checked, format_units, shown
from worker.money.trail import RoundingStep


@dataclass(frozen=True, slots=True)
class Fee:
    """One line of the bill."""

    name: str
    money: Money


@dataclass(frozen=True, slots=True)
class Charge:
    """What a schedule charged: ``gross == net + sum(fees)`` to the unit.

    ``trail`` shows each rounding when it was asked for; ``carries`` are the remainders to keep, in the order
    of the fees, when the schedule rounds by ``carry``.
    """

    gross: Amount
    net: Amount
    fees: tuple[Fee, ...]
    trail: tuple[RoundingStep, ...] = ()
    carries: tuple[Carry, ...] = ()


class _Rounder(Protocol):
    def round(self, position: int, numerator: int, step: Step) -> int: ...


@dataclass(frozen=True, slots=True)
class CompiledSchedule:
    """A schedule as integer arithmetic for one currency, immutable and cheap to call.

    ``names`` are the fees in order, ``carry_keys`` the keys of their remainders. ``charge_units`` is the
    integer path, ``(units, scale, items=1)`` to gross, net, scale and fees: ``charge_carefully`` or, for
    ordinary amounts, the same written out in a straight line.
    """

    schedule: FeeSchedule
    currency: Currency
    names: tuple[str, ...]
    programs: tuple[tuple[Step, ...], ...]
    divide: Divider
    inclusive: bool
    charge_units: ChargeUnits = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mode, exponent = self.schedule.rounding, self.currency.exponent
        fast = straight_line(
            self.programs[0], exponent, mode, self.charge_carefully, inclusive=self.inclusive
        )
        object.__setattr__(self, "charge_units", fast)

    @property
    def carry_keys(self) -> tuple[str, ...]:
        """The key of each fee's remainder, in the order of the fees: schedule, component and currency."""
        return tuple(f"{self.schedule.name}/{name}/{self.currency.code}" for name in self.names)

    def charge_carefully(
        self, units: int, scale: int, items: int = 1, rounder: _Rounder | None = None
    ) -> ChargedUnits:
        """Charge an amount given as positive units at a scale, for a number of items.

        Raises ``AmountNotPositive``, ``FeeExceedsAmount`` if the schedule says so, ``TooManyDigits`` for a
        scale above 12, ``AmountOverflow``, ``InvalidAmount`` for items outside 0 to a million and
        ``NotConserved`` if the parts do not add up, which is a bug of ours.
        """
        if type(units) is not int or type(scale) is not int or units <= 0 or not 0 <= scale <= MAX_SCALE:
            raise _refusal(units, scale)
        if type(items) is not int or not 0 <= items <= MAX_ITEMS:
            raise InvalidAmount(f"items {shown(items)}: expected an integer from 0 to {MAX_ITEMS}")
        finer = scale - self.currency.exponent
        if finer < 0:
            units, scale, finer = units * POWERS[-finer], self.currency.exponent, 0
        if units > MAX_UNITS:
            checked(units, scale)
        lift = POWERS[finer]
        fees, total = self._fees(self.programs[finer], units, lift, items, rounder)
        taken = total * lift
        if self.inclusive:
            if taken > units:
                fees = self._excess(fees, units, scale)
                taken = sum(fees) * lift
            gross, net = units, units - taken
        else:
            gross, net = units + taken, units
            if gross > MAX_UNITS:
                checked(gross, scale)
        if gross != net + sum(fees) * lift:
            raise NotConserved(f"fees {self.schedule.name}: {gross} is not {net} and {fees} at scale {scale}")
        return gross, net, scale, tuple(fees)

    def charge(self, amount: Amount, items: int = 1) -> Charge:
        """Charge an amount; see ``charge_carefully`` for what it raises, besides ``CurrencyMismatch``."""
        return self._charge(amount, items, None)

    def explain(self, amount: Amount, items: int = 1) -> Charge:
        """Charge an amount and show every rounding in the trail."""
        return self._charge(amount, items, _Tracer(self))

    def charge_carrying(self, amount: Amount, carries: Sequence[Carry], items: int = 1) -> Charge:
        """Charge an amount by ``carry``: give each fee's remainder so far, get the remainders to keep.

        A fee at its minimum or maximum is what the contract says: it neither uses nor changes its remainder.
        Raises ``InvalidMoneyRule`` if the schedule rounds otherwise or the remainders are not one a fee.
        """
        if self.schedule.rounding is not Rounding.CARRY or len(carries) != len(self.names):
            raise InvalidMoneyRule(
                f"fees {self.schedule.name}: {len(carries)} remainders for {len(self.names)} fees rounded by "
                f"{self.schedule.rounding}; expected one a fee, and carry"
            )
        return self._charge(amount, items, _Tracer(self, list(carries)))

    def _charge(self, amount: Amount, items: int, tracer: "_Tracer | None") -> Charge:
        currency = self.currency
        if amount.currency != currency:
            raise CurrencyMismatch(
                f"fees {self.schedule.name} in {currency.code}: the amount is {amount} {amount.currency.code}"
            )
        if tracer is None:
            gross, net, scale, fees = self.charge_units(amount.units, amount.scale, items)
        else:
            gross, net, scale, fees = self.charge_carefully(amount.units, amount.scale, items, tracer)
        return Charge(
            Amount(gross, scale, currency),
            Amount(net, scale, currency),
            tuple(Fee(name, Money(fee, currency)) for name, fee in zip(self.names, fees, strict=True)),
            () if tracer is None else tuple(tracer.trail),
            () if tracer is None or tracer.carries is None else tuple(tracer.carries),
        )

    def _fees(
        self, program: tuple[Step, ...], amount: int, lift: int, items: int, rounder: _Rounder | None
    ) -> tuple[list[int], int]:
        fees: list[int] = []
        total = 0
        for step in program:
            taxed, remaining, bounds, lines, per_item, denominator, low, high = step
            if taxed is not None:
                base = sum(fees[position] for position in taxed)
            elif remaining:
                base = max(amount - total * lift, 0)
            else:
                base = amount
            slope, offset = lines[bisect_left(bounds, base)]
            numerator = base * slope + offset + per_item * items
            if rounder is None:
                fee = min(max(self.divide(numerator, denominator), low), high)
            else:
                fee = rounder.round(len(fees), numerator, step)
            fees.append(fee)
            total += fee
        return fees, total

    def _excess(self, fees: list[int], amount: int, scale: int) -> list[int]:
        available = amount // POWERS[scale - self.currency.exponent]
        if self.schedule.when_fee_exceeds is WhenFeeExceeds.ERROR:
            raise FeeExceedsAmount(
                f"fees {self.schedule.name}: {format_units(sum(fees), self.currency.exponent)} "
                f"{self.currency.code} of an amount of {format_units(amount, scale)}; "
                "lower the minimum, or let the schedule clamp its fees"
            )
        clamped = []
        for fee in fees:
            clamped.append(min(fee, available))
            available -= clamped[-1]
        return clamped


@dataclass(slots=True)
class _Tracer:
    """Rounds as the schedule says, or with carries, and writes down every step of one charge."""

    compiled: CompiledSchedule
    carries: list[Carry] | None = None
    trail: list[RoundingStep] = field(default_factory=list)

    def round(self, position: int, numerator: int, step: Step) -> int:
        compiled, denominator = self.compiled, step.denominator
        label = compiled.names[position]
        if numerator < step.low * denominator:
            fee, label = step.low, f"{label} (minimum)"
        elif numerator > step.high * denominator:
            fee, label = step.high, f"{label} (maximum)"
        elif self.carries is None:
            fee = compiled.divide(numerator, denominator)
        else:
            fee, self.carries[position] = self.carries[position].round(numerator, denominator)
        currency, mode = compiled.currency, compiled.schedule.rounding
        self.trail.append(
            RoundingStep(label, numerator, denominator, mode, fee, currency.exponent, currency.code)
        )
        return fee


def compile_schedule(schedule: FeeSchedule, currency: Currency) -> CompiledSchedule:
    """Return a schedule as integer arithmetic for one currency; see ``FeeSchedule.compile``."""
    if not currency.settleable:
        raise not_settleable(currency)
    names = tuple(component.name for component in schedule.components)
    pieces = {
        component.name: component_pieces(component, currency)
        for component in schedule.components
        if isinstance(component, FeeComponent)
    }

    def step(position: int, component: FeeComponent | TaxComponent, scale: int) -> Step:
        if isinstance(component, FeeComponent):
            return amount_step(pieces[component.name], component.base, scale, currency.exponent)
        taxed = tuple(map(names.index, component.on)) if component.on else tuple(range(position))
        return tax_step(component, taxed)

    programs = tuple(
        tuple(step(position, component, scale) for position, component in enumerate(schedule.components))
        for scale in range(currency.exponent, MAX_SCALE + 1)
    )
    inclusive = schedule.mode is FeeMode.INCLUSIVE
    return CompiledSchedule(schedule, currency, names, programs, divider(schedule.rounding), inclusive)


def _refusal(units: object, scale: object) -> InvalidAmount:
    if type(units) is not int or type(scale) is not int:
        return InvalidAmount(f"units {shown(units)} at scale {shown(scale)}: only int is exact here")
    if not 0 <= scale <= MAX_SCALE:
        return TooManyDigits(f"scale {scale}: expected 0 to {MAX_SCALE} digits after the point")
    return AmountNotPositive(f"amount {format_units(units, scale)}: fees are charged on amounts above zero")
