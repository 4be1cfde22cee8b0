"""Charging fees: a schedule compiled to integer arithmetic for one currency, and what it charges."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

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
from worker.money.settled import Money, not_settleable, require_amount
from worker.money.steps import Step, amount_step, component_pieces, tax_step
from worker.money.straight import MAX_ITEMS, ChargedUnits, ChargeUnits, straight_line
from worker.money.text import MAX_SCALE, MAX_UNITS, POWERS, checked, format_units, shown
from worker.money.trail import RoundingStep, Rule


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
    def round(self, position: int, numerator: int, step: Step, most: int) -> int: ...


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
        program = self.programs[finer]
        if self.inclusive and self.schedule.rounding is Rounding.CARRY and rounder is not None:
            self._require_affordable(self._fees(program, units, lift, items, _OWN_FEES)[1], units, scale)
        fees, total = self._fees(program, units, lift, items, rounder)
        taken = total * lift
        if self.inclusive:
            self._require_affordable(total, units, scale)
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

        An inclusive schedule takes at most the whole minor units of the amount; what is due beyond stays owed
        in the remainder, and payments to come pay it. It refuses only amounts that their own fees exceed,
        remainders apart. A fee at its minimum or maximum is what the contract says: it does not use its
        remainder.
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
        if require_amount(amount).currency != currency:
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
        bounded = self.inclusive and (
            self.schedule.when_fee_exceeds is WhenFeeExceeds.CLAMP or self.schedule.rounding is Rounding.CARRY
        )
        whole, most = amount // lift, MAX_UNITS
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
            if bounded:
                most = whole - total
            if rounder is None:
                fee = min(max(self.divide(numerator, denominator), low), high, most)
            else:
                fee = rounder.round(len(fees), numerator, step, most)
            fees.append(fee)
            total += fee
        return fees, total

    def _require_affordable(self, fees: int, amount: int, scale: int) -> None:
        if fees * POWERS[scale - self.currency.exponent] > amount:
            clamp = "" if self.schedule.rounding is Rounding.CARRY else ", let the schedule clamp its fees"
            raise FeeExceedsAmount(
                f"fees {self.schedule.name}: {format_units(fees, self.currency.exponent)} "
                f"{self.currency.code} of an amount of {format_units(amount, scale)}; "
                f"lower the minimum or the fixed sums{clamp}, or charge them on top"
            )


class _OwnFees:
    """Rounds down, whatever is owed: what an amount must bear by itself, to be charged by carry at all."""

    def round(self, _position: int, numerator: int, step: Step, _most: int) -> int:
        return min(max(numerator // step.denominator, step.low), step.high)


_OWN_FEES: Final = _OwnFees()


@dataclass(slots=True)
class _Tracer:
    """Rounds as the schedule says, or with carries, and writes down every step of one charge."""

    compiled: CompiledSchedule
    carries: list[Carry] | None = None
    trail: list[RoundingStep] = field(default_factory=list)

    def round(self, position: int, numerator: int, step: Step, most: int) -> int:
        compiled, denominator, carries = self.compiled, step.denominator, self.carries
        name = compiled.names[position]
        if numerator < step.low * denominator:
            fee = self._note(f"{name} (minimum)", numerator, denominator, Rule.MINIMUM, step.low)
        elif numerator > step.high * denominator:
            fee = self._note(f"{name} (maximum)", numerator, denominator, Rule.MAXIMUM, step.high)
        elif carries is None:
            fee = compiled.divide(numerator, denominator)
            self._note(name, numerator, denominator, compiled.schedule.rounding, fee)
        else:
            fee, carries[position] = carries[position].round(numerator, denominator)
            self._note(name, numerator, denominator, Rounding.CARRY, fee)
        if fee <= most:
            return fee
        if carries is None:
            return self._note(f"{name} (clamped)", fee, 1, Rule.CLAMPED, most)
        carries[position] = carries[position].owing(fee - most)
        return self._note(f"{name} (owed)", fee, 1, Rule.OWED, most)

    def _note(self, label: str, numerator: int, denominator: int, mode: Rounding | Rule, result: int) -> int:
        currency = self.compiled.currency
        self.trail.append(
            RoundingStep(label, numerator, denominator, mode, result, currency.exponent, currency.code)
        )
        return result


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
