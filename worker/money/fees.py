"""Fee schedules as people agree on them; ``FeeSchedule.compile`` makes them arithmetic for one currency."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from worker.errors import FeeNotDefined, InvalidMoneyRule
from worker.money.currency import Currency
from worker.money.percent import Percent
from worker.money.rounding import Rounding
from worker.money.text import MAX_SCALE, POWERS, parse_units, shown

if TYPE_CHECKING:
    from worker.money.charge import CompiledSchedule


class FeeMode(StrEnum):
    """``inclusive``: taken out of the amount; ``exclusive``: added on top of it."""

    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"


class WhenFeeExceeds(StrEnum):
    """What an inclusive schedule says of fees larger than the amount: refuse it, or cut the last fees."""

    ERROR = "error"
    CLAMP = "clamp"


class TierKind(StrEnum):
    """``graduated``: each slice at its own rate; ``volume``: the whole at the rate of its tier."""

    GRADUATED = "graduated"
    VOLUME = "volume"


class FeeBase(StrEnum):
    """What percentages and tiers of a component look at: the amount, or what earlier fees have left of it."""

    AMOUNT = "amount"
    REMAINING = "remaining"


@dataclass(frozen=True, slots=True)
class Prices:
    """Sums that are zero or more, as decimal text by currency code."""

    by_currency: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, prices: Mapping[str, str]) -> "Prices":
        """Return the prices of a mapping such as ``{"EUR": "0.25"}``."""
        return cls(tuple(prices.items()))

    def __post_init__(self) -> None:
        for code, text in self.by_currency:
            if parse_units(text)[0] < 0:
                raise InvalidMoneyRule(f"price {shown(text)} in {code}: it must not be negative")
        if len(self.codes) < len(self.by_currency):
            raise InvalidMoneyRule(
                f"prices name a currency twice: {', '.join(c for c, _ in self.by_currency)}"
            )

    @property
    def codes(self) -> frozenset[str]:
        """The codes that have a price."""
        return frozenset(code for code, _ in self.by_currency)

    def in_units(self, currency: Currency, scale: int, what: str) -> int:
        """Return the price as units at a scale.

        Raises ``FeeNotDefined`` without one, ``InvalidMoneyRule`` if it has more digits.
        """
        for code, text in self.by_currency:
            if code == currency.code:
                units, digits = parse_units(text)
                if digits > scale:
                    raise InvalidMoneyRule(f"{what}: {text} {code}, expected {scale} decimals at most")
                return units * POWERS[scale - digits]
        priced = ", ".join(sorted(self.codes)) or "none"
        raise FeeNotDefined(f"{what}: no price in {currency.code}; there are prices in {priced}")


def _require(value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise InvalidMoneyRule(
            f"fee {shown(value)} is of type {type(value).__name__}: expected {kind.__name__}"
        )


@dataclass(frozen=True, slots=True)
class PercentTerm:
    """A percentage of the base; raises ``InvalidMoneyRule`` for anything but a ``Percent``."""

    percent: Percent

    def __post_init__(self) -> None:
        _require(self.percent, Percent)


@dataclass(frozen=True, slots=True)
class FixedTerm:
    """A sum a payment, of up to 12 decimals; raises ``InvalidMoneyRule`` for anything but ``Prices``."""

    prices: Prices

    def __post_init__(self) -> None:
        _require(self.prices, Prices)


@dataclass(frozen=True, slots=True)
class PerItemTerm:
    """A sum an item, of up to 12 decimals; raises ``InvalidMoneyRule`` for anything but ``Prices``."""

    prices: Prices

    def __post_init__(self) -> None:
        _require(self.prices, Prices)


@dataclass(frozen=True, slots=True)
class Tier:
    """A step of a tiered fee: up to and with a base, or open-ended; ``fixed`` is due once it is reached."""

    up_to: Prices | None
    percent: Percent
    fixed: Prices | None = None

    def __post_init__(self) -> None:
        _require(self.percent, Percent)
        for prices in (self.up_to, self.fixed):
            if prices is not None:
                _require(prices, Prices)


@dataclass(frozen=True, slots=True)
class TieredTerm:
    """Percentages by size of the base; the last tier is the open-ended one, and no other."""

    kind: TierKind
    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        _require(self.kind, TierKind)
        if not self.tiers or self.tiers[-1].up_to is not None:
            raise InvalidMoneyRule("tiers: the last one must be open-ended (without up_to)")
        for number, tier in enumerate(self.tiers[:-1], start=1):
            if tier.up_to is None:
                raise InvalidMoneyRule(f"tiers: tier {number} is open-ended, so that later ones never apply")

    def bounds(self, currency: Currency) -> tuple[int, ...]:
        """Return the upper bounds in units at scale 12; raises ``InvalidMoneyRule`` if they do not rise."""
        limits = [tier.up_to for tier in self.tiers if tier.up_to is not None]
        bounds = tuple(limit.in_units(currency, MAX_SCALE, "tier bound") for limit in limits)
        if any(high <= low for low, high in pairwise((0, *bounds))):
            raise InvalidMoneyRule(f"tiers: the bounds in {currency.code} must rise from above zero")
        return bounds


Term = PercentTerm | FixedTerm | PerItemTerm | TieredTerm


@dataclass(frozen=True, slots=True)
class FeeComponent:
    """One line of a bill: the exact sum of its terms, rounded once, kept within minimum and maximum."""

    name: str
    terms: tuple[Term, ...]
    minimum: Prices | None = None
    maximum: Prices | None = None
    base: FeeBase = FeeBase.AMOUNT

    def __post_init__(self) -> None:
        _require(self.base, FeeBase)

    def prices(self) -> Iterator[Prices]:
        """Yield every price list that the component needs."""
        for term in self.terms:
            if isinstance(term, FixedTerm | PerItemTerm):
                yield term.prices
            elif isinstance(term, TieredTerm):
                for tier in term.tiers:
                    yield from (prices for prices in (tier.up_to, tier.fixed) if prices is not None)
        yield from (prices for prices in (self.minimum, self.maximum) if prices is not None)


@dataclass(frozen=True, slots=True)
class TaxComponent:
    """Tax on the rounded fees of earlier components: those named in ``on``, or all of them."""

    name: str
    percent: Percent
    on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.percent, Percent)


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """Fees in the order they are composed, with the words on rounding, mode and excess.

    Raises ``InvalidMoneyRule`` for names that are empty, repeated, or taxed before they are there, for
    ``carry`` with ``clamp``, and for text in place of the words themselves.
    """

    name: str
    components: tuple[FeeComponent | TaxComponent, ...]
    rounding: Rounding = Rounding.HALF_EVEN
    mode: FeeMode = FeeMode.INCLUSIVE
    when_fee_exceeds: WhenFeeExceeds = WhenFeeExceeds.ERROR

    def __post_init__(self) -> None:
        for word, kind in (
            (self.rounding, Rounding),
            (self.mode, FeeMode),
            (self.when_fee_exceeds, WhenFeeExceeds),
        ):
            _require(word, kind)
        if self.rounding is Rounding.CARRY and self.when_fee_exceeds is WhenFeeExceeds.CLAMP:
            raise InvalidMoneyRule(
                f"fees {self.name}: carry does not go with clamp, which would drop what carry is to keep"
            )
        earlier: list[str] = []
        for component in self.components:
            name = component.name
            if not name or name in earlier:
                raise InvalidMoneyRule(f"fees {self.name}: component {shown(name)} needs a name of its own")
            if isinstance(component, TaxComponent):
                for taxed in component.on:
                    if taxed not in earlier:
                        before = ", ".join(earlier) or "none"
                        raise InvalidMoneyRule(
                            f"fees {self.name}: {name} taxes {shown(taxed)}; before it there are {before}"
                        )
            earlier.append(name)

    def priced_currencies(self) -> frozenset[str] | None:
        """Return the codes that every price list covers, or None if the schedule has no price list."""
        lists = [
            prices.codes
            for component in self.components
            if isinstance(component, FeeComponent)
            for prices in component.prices()
        ]
        return frozenset.intersection(*lists) if lists else None

    def compile(self, currency: Currency) -> "CompiledSchedule":
        """Return the schedule as integer arithmetic for one currency.

        Raises ``NotSettleable``, ``FeeNotDefined`` if a price is missing and ``InvalidMoneyRule`` if one
        has too many decimals, a maximum is below its minimum or bounds do not rise.
        """
        from worker.money.charge import compile_schedule

        return compile_schedule(self, currency)
