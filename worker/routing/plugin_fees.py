"""A fee schedule that a plugin knows: asked for each payment, its answer checked as our own arithmetic is."""

from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.payment import Payment
from schemas.rules import FeeScheduleSpec
from worker.errors import FeeExceedsAmount, NotConserved, NotSettleable, UnknownCurrency
from worker.money import MAX_UNITS, Amount, Charge, Currency, CurrencyRegistry, Fee, Money, format_units
from worker.money.text import POWERS, checked
from worker.routing.answers import read_fees
from worker.routing.names import Names
from worker.routing.problems import Path, listing
from worker.routing.questions import Answers, Kind, Question, Use, answer_to
from worker.routing.uses import Uses


class Bill(NamedTuple):
    """What a payment is charged: gross and net at ``scale``, each fee in minor units of its currency."""

    gross: int
    net: int
    scale: int
    names: tuple[str, ...]
    fees: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PluginSchedule:
    """A plugin's schedule in one currency. ``inclusive`` takes fees from the amount, else they are added."""

    use: Use
    currency: Currency
    inclusive: bool
    clamp: bool

    def bill(self, payment: Payment, units: int, scale: int, answers: Answers) -> Bill:
        """Return what the payment is charged, its amount given as positive units at a scale.

        Raises:
            PluginNeeded: the plugin has not answered yet.
            PluginFailed: its answer is no fees.
            FeeExceedsAmount: the fees are more than the amount and are not to be clamped.
            AmountOverflow: amount and fees together do not fit in 64 bits.
            NotConserved: gross is not net plus fees, which is a bug of ours.
        """
        exponent = self.currency.exponent
        if scale < exponent:
            units, scale = checked(units * POWERS[exponent - scale], exponent), exponent
        amount = Amount(units, scale, self.currency)
        question = Question(self.use, (self.currency.code,), (payment, amount))
        fees = read_fees(self.use, answer_to(question, answers))
        lift = POWERS[scale - exponent]
        if self.inclusive:
            fees = self._within(fees, units // lift, amount)
            gross, net = units, units - sum(fees.values()) * lift
        else:
            gross, net = units + sum(fees.values()) * lift, units
            if gross > MAX_UNITS:
                checked(gross, scale)
        if net < 0 or gross != net + sum(fees.values()) * lift:
            raise NotConserved(f"{self.use}: {gross} is not {net} and {fees} at scale {scale}")
        return Bill(gross, net, scale, tuple(fees), tuple(fees.values()))

    def charge(self, payment: Payment, units: int, scale: int, answers: Answers) -> Charge:
        """Return the bill as a charge without a rounding trail: the plugin keeps that to itself."""
        bill = self.bill(payment, units, scale, answers)
        items = zip(bill.names, bill.fees, strict=True)
        return Charge(
            Amount(bill.gross, bill.scale, self.currency),
            Amount(bill.net, bill.scale, self.currency),
            tuple(Fee(name, Money(fee, self.currency)) for name, fee in items),
        )

    def _within(self, fees: dict[str, int], available: int, amount: Amount) -> dict[str, int]:
        """Return fees of at most ``available`` minor units, the last ones cut where that is allowed."""
        total = sum(fees.values())
        if total <= available:
            return fees
        if not self.clamp:
            raise FeeExceedsAmount(
                f"{self.use}: {format_units(total, self.currency.exponent)} {self.currency.code} of an "
                f"amount of {amount}; let the schedule clamp its fees, or route such payments otherwise"
            )
        clamped = {}
        for name, fee in fees.items():
            clamped[name] = min(fee, available)
            available -= clamped[name]
        return clamped


@dataclass(frozen=True, slots=True)
class PluginFees:
    """A named schedule of a plugin; ``currencies`` restricts it, None is no restriction."""

    name: str
    use: Use
    registry: CurrencyRegistry = field(repr=False)
    currencies: frozenset[str] | None
    inclusive: bool
    clamp: bool
    _made: dict[str, PluginSchedule] = field(default_factory=dict, compare=False, repr=False)

    def in_currency(self, code: str) -> PluginSchedule | None:
        """Return the schedule in a currency, or None where it has none."""
        found = self._made.get(code)
        if found is None and not self.missing(code):
            found = PluginSchedule(self.use, self.registry.lookup(code), self.inclusive, self.clamp)
            self._made[code] = found
        return found

    def missing(self, code: str) -> str:
        """Return why there is no schedule in a currency."""
        if self.currencies is not None and code not in self.currencies:
            return f"fee schedule {self.name} is for {listing(sorted(self.currencies))}, not {code}"
        try:
            Money(0, self.registry.lookup(code))
        except (NotSettleable, UnknownCurrency) as error:
            return f"fee schedule {self.name}: {error}"
        return ""


def build_plugin_fees(
    name: str, spec: FeeScheduleSpec, path: Path, names: Names, uses: Uses
) -> PluginFees | None:
    """Return the plugin's schedule that a document describes, or None after reporting what is wrong."""
    if spec.components is not None:
        names.problems.add_key((*path, "plugin"), "a fee schedule has `components` or a `plugin`, not both")
        return None
    currencies = None
    if spec.currencies is not None:
        currencies = names.codes("currency", spec.currencies, (*path, "currencies"))
    if spec.rounding != "half_even":
        names.problems.add_key(
            (*path, "rounding"), "a plugin's fees are whole minor units; nothing is rounded"
        )
    for use in uses.read(Kind.FEES, spec.plugin or {}, (*path, "plugin")):
        clamp = spec.when_fee_exceeds == "clamp"
        return PluginFees(name, use, names.registry, currencies, spec.mode == "inclusive", clamp)
    return None
