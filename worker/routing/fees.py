"""Fee schedules of the rule document, mapped onto the money engine and compiled once for each currency."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.rules import FeeComponent as ComponentSpec
from schemas.rules import FeeScheduleSpec
from schemas.rules import Tier as TierSpec
from worker.errors import FeeNotDefined, InvalidAmount, InvalidMoneyRule, NotSettleable, UnknownCurrency
from worker.money import (
    CompiledSchedule,
    CurrencyRegistry,
    FeeBase,
    FeeComponent,
    FeeMode,
    FeeSchedule,
    FixedTerm,
    Percent,
    PercentTerm,
    PerItemTerm,
    Prices,
    Rounding,
    TaxComponent,
    Tier,
    TieredTerm,
    TierKind,
    WhenFeeExceeds,
)
from worker.money.fees import Term
from worker.routing.names import Names
from worker.routing.problems import Path, listing

AMOUNT_PARTS = ("percent", "fixed", "per_item", "graduated", "volume")
UNDEFINED = (FeeNotDefined, NotSettleable, UnknownCurrency)


@dataclass(frozen=True, slots=True)
class FeeBook:
    """One named schedule with its compiled forms; ``currencies`` restricts it, None is no restriction."""

    name: str
    schedule: FeeSchedule = field(repr=False)
    registry: CurrencyRegistry = field(repr=False)
    currencies: frozenset[str] | None
    _compiled: dict[str, CompiledSchedule | str] = field(default_factory=dict, compare=False, repr=False)

    def in_currency(self, code: str) -> CompiledSchedule | None:
        """Return the schedule compiled for a currency, or None where it does not say what that costs."""
        found = self._compiled.get(code)
        if found is None:
            found = self._compile(code)
            if code in self.registry:
                self._compiled[code] = found
        return None if isinstance(found, str) else found

    def missing(self, code: str) -> str:
        """Return why there is no compiled schedule for a currency."""
        found = self._compile(code)
        return found if isinstance(found, str) else ""

    def _compile(self, code: str) -> CompiledSchedule | str:
        if self.currencies is not None and code not in self.currencies:
            return f"fee schedule {self.name} is for {listing(sorted(self.currencies))}, not {code}"
        try:
            return self.schedule.compile(self.registry.lookup(code))
        except UNDEFINED as error:
            return f"fee schedule {self.name}: {error}"


def build_fee_book(
    name: str, spec: FeeScheduleSpec, path: Path, names: Names, mode: FeeMode | None = None
) -> FeeBook | None:
    """Return the schedule that a document describes, or None after reporting what is wrong with it."""
    before = len(names.problems.found)
    if spec.plugin is not None:
        names.problems.add_key(
            (*path, "plugin"), "what a processor charges is no plugin's to say; write components"
        )
    elif spec.components is None:
        names.problems.add(path, "`components` is missing, or a `plugin` that knows the fees")
    if spec.rounding == "carry" and mode is not None:
        names.problems.add_key(
            (*path, "rounding"), "a cost is only compared, and nothing is carried from one to the next"
        )
    components = [
        _component(part, (*path, "components", i), names) for i, part in enumerate(spec.components or ())
    ]
    currencies = _currencies(spec, path, names)
    if len(names.problems.found) > before:
        return None
    try:
        schedule = FeeSchedule(
            name=name,
            components=tuple(part for part in components if part is not None),
            rounding=Rounding(spec.rounding),
            mode=mode or FeeMode(spec.mode),
            when_fee_exceeds=WhenFeeExceeds(spec.when_fee_exceeds),
        )
        book = FeeBook(name, schedule, names.registry, currencies)
        for code in sorted((schedule.priced_currencies() or frozenset()) & (currencies or names.currencies)):
            book.in_currency(code)
    except (InvalidMoneyRule, InvalidAmount) as error:
        names.problems.add((*path, "components"), str(error))
        return None
    return book


def _currencies(spec: FeeScheduleSpec, path: Path, names: Names) -> frozenset[str] | None:
    if spec.currencies is None:
        return None
    return names.codes("currency", spec.currencies, (*path, "currencies"))


def _component(spec: ComponentSpec, path: Path, names: Names) -> FeeComponent | TaxComponent | None:
    amount_parts = [part for part in (*AMOUNT_PARTS, "minimum", "maximum") if getattr(spec, part) is not None]
    if spec.tax is not None and amount_parts:
        names.problems.add_key(
            (*path, amount_parts[0]), f"a tax has no {amount_parts[0]}; make it a fee of its own"
        )
        return None
    if spec.tax is None and spec.of is not None:
        names.problems.add_key((*path, "of"), "`of` belongs to a `tax`")
        return None
    if spec.tax is None and not any(part in AMOUNT_PARTS for part in amount_parts):
        names.problems.add(path, f"fee {spec.name} needs one of {listing(AMOUNT_PARTS)}, or tax")
        return None
    for part in ("fixed", "per_item", "minimum", "maximum"):
        _check_codes(getattr(spec, part), (*path, part), names)
    for part in ("graduated", "volume"):
        for i, tier in enumerate(getattr(spec, part) or ()):
            _check_codes(tier.up_to, (*path, part, i, "up_to"), names)
            _check_codes(tier.fixed, (*path, part, i, "fixed"), names)
    try:
        if spec.tax is not None:
            return TaxComponent(spec.name, Percent.parse(spec.tax), tuple(spec.of or ()))
        return FeeComponent(
            name=spec.name,
            terms=tuple(_terms(spec)),
            minimum=_prices(spec.minimum),
            maximum=_prices(spec.maximum),
            base=FeeBase(spec.base),
        )
    except (InvalidMoneyRule, InvalidAmount) as error:
        names.problems.add(path, str(error))
        return None


def _check_codes(prices: Mapping[str, str] | None, path: Path, names: Names) -> None:
    for code in prices or ():
        if (problem := names.currency_problem(code)) is not None:
            names.problems.add_key((*path, code), problem)


def _prices(prices: Mapping[str, str] | None) -> Prices | None:
    return None if prices is None else Prices.of(prices)


def _terms(spec: ComponentSpec) -> list[Term]:
    terms: list[Term] = []
    if spec.percent is not None:
        terms.append(PercentTerm(Percent.parse(spec.percent)))
    if spec.fixed is not None:
        terms.append(FixedTerm(Prices.of(spec.fixed)))
    if spec.per_item is not None:
        terms.append(PerItemTerm(Prices.of(spec.per_item)))
    if spec.graduated is not None:
        terms.append(TieredTerm(TierKind.GRADUATED, _tiers(spec.graduated)))
    if spec.volume is not None:
        terms.append(TieredTerm(TierKind.VOLUME, _tiers(spec.volume)))
    return terms


def _tiers(tiers: list[TierSpec]) -> tuple[Tier, ...]:
    return tuple(
        Tier(_prices(tier.up_to), Percent.parse(tier.percent), _prices(tier.fixed)) for tier in tiers
    )
