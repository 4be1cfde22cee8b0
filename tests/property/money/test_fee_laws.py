"""Laws of fees and carry: every schedule against its own definition in fractions."""

import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import FeeExceedsAmount
from worker.money import (
    ISO_4217,
    Amount,
    Carry,
    Currency,
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
    settle_carrying,
)
from worker.money.fees import Term
from worker.money.trail import Rule

UNITS = [ISO_4217.lookup("EUR"), ISO_4217.lookup("JPY"), ISO_4217.lookup("KWD"), Currency("GEM", 8)]
MODES = [mode for mode in Rounding if mode is not Rounding.CARRY]

percents = st.integers(0, 12).flatmap(
    lambda scale: st.builds(Percent, st.integers(0, 100 * 10**scale), st.just(scale))
)


def prices(currency: Currency, most: int = 50, decimals: int = 12) -> st.SearchStrategy[Prices]:
    text = st.decimals(0, most, places=decimals).map(lambda number: f"{number:f}")
    return text.map(lambda number: Prices.of({currency.code: number}))


@st.composite
def tiered_terms(draw: st.DrawFn, currency: Currency) -> TieredTerm:
    limits = sorted(draw(st.sets(st.decimals("0.01", 400, places=4), max_size=4)))
    bounds = [Prices.of({currency.code: f"{limit:f}"}) for limit in limits]
    tiers = [Tier(bound, draw(percents), draw(st.none() | prices(currency, 5))) for bound in (*bounds, None)]
    return TieredTerm(draw(st.sampled_from(TierKind)), tuple(tiers))


def terms(currency: Currency) -> st.SearchStrategy[Term]:
    return st.one_of(
        st.builds(PercentTerm, percents),
        st.builds(FixedTerm, prices(currency)),
        st.builds(PerItemTerm, prices(currency, 1)),
        tiered_terms(currency),
    )


@st.composite
def components(draw: st.DrawFn, currency: Currency, earlier: list[str]) -> FeeComponent | TaxComponent:
    name = f"fee{len(earlier)}"
    if draw(st.integers(0, 3)) == 0:
        taxed = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        return TaxComponent(name, draw(percents), tuple(taxed))
    limits = draw(st.none() | st.tuples(st.integers(0, 10), st.integers(0, 90)))
    low, high = (None, None) if limits is None else (limits[0], sum(limits))
    return FeeComponent(
        name,
        tuple(draw(st.lists(terms(currency), max_size=3))),
        None if low is None or draw(st.booleans()) else Prices.of({currency.code: str(low)}),
        None if high is None or draw(st.booleans()) else Prices.of({currency.code: str(high)}),
        draw(st.sampled_from(FeeBase)),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[FeeSchedule, Amount, int]:
    currency = draw(st.sampled_from(UNITS))
    made: list[FeeComponent | TaxComponent] = []
    for _ in range(draw(st.integers(0, 4))):
        made.append(draw(components(currency, [component.name for component in made])))
    schedule = FeeSchedule(
        "law",
        tuple(made),
        draw(st.sampled_from(MODES)),
        draw(st.sampled_from(FeeMode)),
        draw(st.sampled_from(WhenFeeExceeds)),
    )
    scale = draw(st.integers(0, 12))
    units = draw(st.integers(1, min(1000 * 10**scale, 9 * 10**15)))
    return schedule, Amount(units, scale, currency), draw(st.integers(0, 20))


def value(amount: Amount) -> Fraction:
    return Fraction(amount.units, 10**amount.scale)


def price(listed: Prices | None, currency: Currency) -> Fraction:
    return Fraction(Decimal(dict(listed.by_currency)[currency.code])) if listed is not None else Fraction(0)


def rate(percent: Percent) -> Fraction:
    return Fraction(percent.units, 100 * 10**percent.scale)


def exact_tiers(term: TieredTerm, base: Fraction, currency: Currency) -> Fraction:
    """Walk the tiers slice by slice, as a bill would."""
    fee, lower = Fraction(0), Fraction(0)
    for tier in term.tiers:
        upper = base if tier.up_to is None else price(tier.up_to, currency)
        if term.kind is TierKind.GRADUATED:
            fee += max(min(base, upper) - lower, 0) * rate(tier.percent) + price(tier.fixed, currency)
        else:
            fee = base * rate(tier.percent) + price(tier.fixed, currency)
        if base <= upper:
            return fee
        lower = upper
    raise AssertionError


def exact_fee(component: FeeComponent, base: Fraction, items: int, currency: Currency) -> Fraction:
    """Add the terms up in fractions of the currency."""
    fee = Fraction(0)
    for term in component.terms:
        match term:
            case PercentTerm(percent):
                fee += base * rate(percent)
            case FixedTerm(listed):
                fee += price(listed, currency)
            case PerItemTerm(listed):
                fee += price(listed, currency) * items
            case TieredTerm():
                fee += exact_tiers(term, base, currency)
    return fee


def rounded(exact: Fraction, mode: Rounding) -> int:
    below, above = floor(exact), ceil(exact)
    nearest = below if exact - below < above - exact else above
    tie = exact - below == above - exact
    match mode:
        case Rounding.FLOOR | Rounding.DOWN:
            return below
        case Rounding.CEILING | Rounding.UP:
            return above
        case Rounding.HALF_EVEN:
            return (below if below % 2 == 0 else above) if tie else nearest
        case Rounding.HALF_UP:
            return above if tie else nearest
        case _:
            return below if tie else nearest


def expected_fees(schedule: FeeSchedule, amount: Amount, items: int) -> list[int]:
    """Charge by the definition of each component, in minor units."""
    currency, minor = amount.currency, 10**amount.currency.exponent
    fees: dict[str, int] = {}
    for component in schedule.components:
        if isinstance(component, TaxComponent):
            taxed = component.on or tuple(fees)
            exact = sum(fees[name] for name in taxed) * rate(component.percent)
            fees[component.name] = rounded(exact, schedule.rounding)
            continue
        base = value(amount)
        if component.base is FeeBase.REMAINING:
            base = max(base - Fraction(sum(fees.values()), minor), Fraction(0))
        fee = rounded(exact_fee(component, base, items, currency) * minor, schedule.rounding)
        fee = max(fee, int(price(component.minimum, currency) * minor))
        if component.maximum is not None:
            fee = min(fee, int(price(component.maximum, currency) * minor))
        fees[component.name] = fee
    return list(fees.values())


@given(cases())
@settings(max_examples=300)
def test_charges_are_what_the_schedule_says_and_conserve(case: tuple[FeeSchedule, Amount, int]) -> None:
    """Every fee is its definition rounded once, and gross is net plus fees, to the unit."""
    schedule, amount, items = case
    expected = expected_fees(schedule, amount, items)
    minor = 10**amount.currency.exponent
    total = Fraction(sum(expected), minor)
    inclusive = schedule.mode is FeeMode.INCLUSIVE
    exceeds = inclusive and total > value(amount)
    compiled = schedule.compile(amount.currency)
    try:
        charge = compiled.charge(amount, items)
    except FeeExceedsAmount:
        assert exceeds
        assert schedule.when_fee_exceeds is WhenFeeExceeds.ERROR
        return
    fees = [fee.money.units for fee in charge.fees]
    assert value(charge.gross) == value(charge.net) + Fraction(sum(fees), minor)
    assert value(charge.gross if inclusive else charge.net) == value(amount)
    if exceeds:
        assert schedule.when_fee_exceeds is WhenFeeExceeds.CLAMP
        assert all(0 <= fee <= whole for fee, whole in zip(fees, expected, strict=True))
        assert 0 <= value(charge.net) < Fraction(1, minor)
    else:
        assert fees == expected


@given(cases(), st.booleans())
def test_the_straight_line_is_the_careful_path(
    case: tuple[FeeSchedule, Amount, int], at_exponent: bool
) -> None:
    """Written out or interpreted, the same steps give the same integers or the same refusal."""
    schedule, amount, items = case
    compiled = schedule.compile(amount.currency)
    scale = amount.currency.exponent if at_exponent else amount.scale
    outcomes = []
    for charge in (compiled.charge_carefully, compiled.charge_units):
        try:
            outcomes.append(charge(amount.units, scale, items))
        except FeeExceedsAmount as refusal:
            outcomes.append(str(refusal))
    assert outcomes[0] == outcomes[1]


@given(cases())
def test_explaining_changes_nothing(case: tuple[FeeSchedule, Amount, int]) -> None:
    """The trail is of the same charge, its last step of a fee is the bill, each within a unit or bounded."""
    schedule, amount, items = case
    schedule = replace(schedule, when_fee_exceeds=WhenFeeExceeds.CLAMP)
    compiled = schedule.compile(amount.currency)
    explained = compiled.explain(amount, items)
    assert replace(explained, trail=()) == compiled.charge(amount, items)
    last = {step.label.partition(" (")[0]: step.result for step in explained.trail}
    assert last == {fee.name: fee.money.units for fee in explained.fees}
    for step in explained.trail:
        error = abs(Fraction(step.exact) - Fraction(Decimal(step.rounded)))
        assert isinstance(step.mode, Rule) or error < Fraction(1, 10**step.exponent)


@given(st.integers(0, 2**32), percents, st.sampled_from(UNITS))
@settings(max_examples=6, deadline=None)
def test_carry_never_drifts_over_ten_thousand_charges(
    seed: int, percent: Percent, currency: Currency
) -> None:
    """At every moment the rounded total is within half a unit of the exact one, and the carry is the rest."""
    fee = FeeComponent("fee", (PercentTerm(percent),))
    compiled = FeeSchedule("micro", (fee,), Rounding.CARRY, FeeMode.EXCLUSIVE).compile(currency)
    source, carries = random.Random(seed), (Carry(),)  # noqa: S311 - reproducible amounts, not secrets
    parts = 10**20  # of a minor unit: 6 decimals of the amount and 14 of the factor
    exact, total = 0, 0
    for _ in range(10_000):
        scale = source.randint(0, 6)
        amount = Amount(source.randint(1, 10**6), scale, currency)
        charge = compiled.charge_carrying(amount, carries)
        carries = charge.carries
        exact += amount.units * 10 ** (6 - scale) * percent.per_1e14 * 10**currency.exponent
        total += charge.fees[0].money.units
        numerator, denominator = carries[0].numerator, carries[0].denominator
        assert (exact - total * parts) * denominator == numerator * parts
        assert abs(numerator) * 2 <= denominator


@given(st.integers(0, 2**32), st.integers(0, 50 * 10**4), st.sampled_from([1, 9, 120]))
@settings(max_examples=6, deadline=None)
def test_inclusive_carry_never_gets_stuck_on_micro_payments(seed: int, percent: int, largest: int) -> None:
    """Of 10,000 payments none is refused: what is due is charged or still owed, exactly."""
    euro = UNITS[0]
    fee = FeeComponent("fee", (PercentTerm(Percent(percent, 4)),))
    compiled = FeeSchedule("micro", (fee,), Rounding.CARRY).compile(euro)
    source, carry = random.Random(seed), Carry()  # noqa: S311 - reproducible amounts, not secrets
    exact, total = Fraction(0), 0
    for _ in range(10_000):
        amount = Amount(source.randint(1, largest), 3, euro)
        due = Fraction(amount.units * percent, 10 * 100 * 10**4)
        could_bear = amount.units // 10 >= Fraction(carry.numerator, carry.denominator) + due
        charge = compiled.charge_carrying(amount, (carry,))
        (carry,) = charge.carries
        exact, total = exact + due, total + charge.fees[0].money.units
        assert charge.gross == charge.net + charge.fees[0].money.precise()
        assert charge.net.units >= 0
        assert exact - total == Fraction(carry.numerator, carry.denominator)
        assert abs(exact - total) < 1 or not could_bear
    charge = compiled.charge_carrying(Amount(10**9, 2, euro), (carry,))
    assert 2 * charge.carries[0].numerator <= charge.carries[0].denominator


@given(st.lists(st.tuples(st.integers(-(10**9), 10**9), st.integers(0, 12)), max_size=60))
def test_settling_by_carry_is_exact_in_total(parts: list[tuple[int, int]]) -> None:
    """Money plus the last remainder is the sum of the amounts, and every remainder survives its text."""
    euro, carry, money, exact = UNITS[0], Carry(), 0, Fraction(0)
    for units, scale in parts:
        amount = Amount(units, scale, euro)
        settled, carry = settle_carrying(amount, Carry.parse(str(carry)))
        money += settled.money.units
        exact += value(amount)
        assert value(settled.money.precise()) + value(settled.remainder) == value(amount)
    assert Fraction(money) + Fraction(carry.numerator, carry.denominator) == exact * 100
    assert abs(Fraction(carry.numerator, carry.denominator)) <= Fraction(1, 2)


@given(cases(), st.integers(0, 12))
def test_charges_do_not_depend_on_how_the_amount_is_written(
    case: tuple[FeeSchedule, Amount, int], scale: int
) -> None:
    """Zeros at the end change neither a fee nor what the net is worth."""
    schedule, amount, items = case
    schedule = replace(schedule, when_fee_exceeds=WhenFeeExceeds.CLAMP)
    if amount.scale < scale and amount.units * 10 ** (scale - amount.scale) < 10**15:
        compiled = schedule.compile(amount.currency)
        one, other = compiled.charge(amount, items), compiled.charge(amount.at_scale(scale), items)
        assert (one.fees, one.net, one.gross) == (other.fees, other.net, other.gross)
