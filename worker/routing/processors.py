"""Processors: where dispatches go, and which payments each can take."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from schemas.rules import BatchSpec, Health, ProcessorSpec
from worker.money import FeeMode
from worker.routing.amounts import bounds_of, read_amount
from worker.routing.fees import FeeBook, build_fee_book
from worker.routing.fields import AMOUNT_SCALE, POWERS
from worker.routing.names import Names
from worker.routing.plugin_fees import PluginFees
from worker.routing.problems import Path, listing


@dataclass(frozen=True, slots=True)
class AmountLimit:
    """Amounts from ``low`` to below ``high`` (units of 10^-12), of one currency or, with None, of any."""

    currency: str | None
    low: int | None
    high: int | None
    text: str

    def excludes(self, currency: str, amount: int) -> bool:
        """Return whether the limit applies to this currency and the amount lies outside of it."""
        if self.currency is not None and self.currency != currency:
            return False
        return (self.low is not None and amount < self.low) or (self.high is not None and amount >= self.high)


@dataclass(frozen=True, slots=True)
class Batch:
    """A processor's wish for many dispatches in one message, and how long one that is not full may wait."""

    max_payments: int
    max_wait_ms: int


@dataclass(frozen=True, slots=True)
class Processor:
    """A payment processor as the rules describe it; None means that it takes any."""

    name: str
    exchange: str
    enabled: bool = True
    types: frozenset[str] | None = None
    currencies: frozenset[str] | None = None
    countries: frozenset[str] | None = None
    limits: tuple[AmountLimit, ...] = ()
    exponents: Mapping[str, int] | None = None
    cost: FeeBook | None = None
    health: Health | None = None
    batch: Batch | None = None

    def refusal(self, kind: str, currency: str, country: str | None) -> str | None:
        """Return why the processor cannot take payments of this kind, or None; amounts are `limited`'s."""
        if not self.enabled:
            return "it is switched off"
        if self.types is not None and kind not in self.types:
            return f"it takes {listing(sorted(self.types))}, not {kind}"
        if self.currencies is not None and currency not in self.currencies:
            return f"it takes {listing(sorted(self.currencies))}, not {currency}"
        if self.countries is not None and country not in self.countries:
            stated = f"not {country}" if country else "and the payment names no country"
            return f"it takes payments from {listing(sorted(self.countries))}, {stated}"
        return None

    def limited(self, currency: str, amount: int) -> str | None:
        """Return why the processor does not take this amount (units of 10^-12), or None."""
        for limit in self.limits:
            if limit.excludes(currency, amount):
                return f"it takes amounts {limit.text}, not {shown_amount(amount)} {currency}"
        exponent = (self.exponents or {}).get(currency)
        if exponent is not None and amount % POWERS[AMOUNT_SCALE - exponent]:
            written = shown_amount(amount)
            return f"it counts {currency} with {exponent} digits and would lose some of {written}"
        return None


def shown_amount(units: int) -> str:
    """Return units of 10^-12 as a decimal without superfluous zeros."""
    whole, fraction = divmod(abs(units), POWERS[AMOUNT_SCALE])
    digits = f"{fraction:0{AMOUNT_SCALE}}".rstrip("0")
    return f"{'-' if units < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def build_processor(
    name: str, spec: ProcessorSpec, fees: Mapping[str, FeeBook | PluginFees | None], names: Names
) -> Processor:
    """Return the processor that a document describes; problems are collected in ``names``."""
    here: Path = ("processors", name)
    if spec.health is not None and not 0 < Fraction(spec.health.failure_percent) <= 100:
        message = f"failure_percent is {spec.health.failure_percent}; expected more than 0 and at most 100"
        names.problems.add((*here, "health", "failure_percent"), message)
    for code in spec.exponents:
        names.check_value("currency", code, (*here, "exponents", code))
    return Processor(
        name=name,
        exchange=spec.exchange or f"processor.{name}",
        enabled=spec.enabled,
        types=_codes("type", spec.types, (*here, "types"), names),
        currencies=_codes("currency", spec.currencies, (*here, "currencies"), names),
        countries=_codes("country", spec.countries, (*here, "countries"), names),
        limits=tuple(_limits(spec, (*here, "amount"), names)),
        exponents=dict(spec.exponents),
        cost=_cost(name, spec, fees, names),
        health=spec.health,
        batch=_batch(spec.batch),
    )


def _batch(spec: BatchSpec | None) -> Batch | None:
    return None if spec is None else Batch(spec.max_payments, int(spec.max_wait.removesuffix("ms")))


def _codes(field: str, items: list[str] | None, path: Path, names: Names) -> frozenset[str] | None:
    return None if items is None else names.codes(field, items, path)


def _limits(spec: ProcessorSpec, path: Path, names: Names) -> list[AmountLimit]:
    if spec.amount is None:
        return []
    words = {"gt": "above", "gte": "from", "lt": "below", "lte": "up to"}
    limits = []
    for operator, word in words.items():
        written: str | list[str] | None = getattr(spec.amount, operator)
        if written is None:
            continue
        for i, text in enumerate(written if isinstance(written, list) else [written]):
            where = (*path, operator, i) if isinstance(written, list) else (*path, operator)
            amount = read_amount(text, where, names)
            if amount is not None:
                limits.append(AmountLimit(amount[1], *bounds_of(operator, amount[0]), f"{word} {text}"))
    return limits


def _cost(
    name: str, spec: ProcessorSpec, fees: Mapping[str, FeeBook | PluginFees | None], names: Names
) -> FeeBook | None:
    if spec.cost is None:
        return None
    path: Path = ("processors", name, "cost")
    if isinstance(spec.cost, str):
        names.known(spec.cost, fees, "fee schedule", path)
        book = fees.get(spec.cost)
        if isinstance(book, PluginFees):
            message = f"fee schedule {spec.cost} is a plugin's, which cannot say what a processor charges"
            names.problems.add(path, message)
            return None
        return book
    return build_fee_book(f"cost of {name}", spec.cost, path, names, mode=FeeMode.EXCLUSIVE)
