"""Fee schedules: what they may say, and what they refuse."""

import pytest

from worker.errors import FeeNotDefined, InvalidAmount, InvalidMoneyRule, NotSettleable
from worker.money import (
    ISO_4217,
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

EUR, JPY, XAU = (ISO_4217.lookup(code) for code in ("EUR", "JPY", "XAU"))
TEN = Percent.parse("10")


def eur(text: str) -> Prices:
    return Prices.of({"EUR": text})


def schedule(*terms: Term, minimum: Prices | None = None, maximum: Prices | None = None) -> FeeSchedule:
    return FeeSchedule("card", (FeeComponent("processing", terms, minimum, maximum),))


def tiers(*bounds: Prices | None) -> TieredTerm:
    return TieredTerm(TierKind.GRADUATED, tuple(Tier(bound, TEN) for bound in bounds))


def test_the_words_of_a_schedule_are_stable() -> None:
    """Rule files write these words, and leaving them out means the first of each."""
    assert [mode.value for mode in FeeMode] == ["inclusive", "exclusive"]
    assert [word.value for word in WhenFeeExceeds] == ["error", "clamp"]
    assert [kind.value for kind in TierKind] == ["graduated", "volume"]
    assert [base.value for base in FeeBase] == ["amount", "remaining"]
    plain = FeeSchedule("none", ())
    assert (plain.rounding, plain.mode, plain.when_fee_exceeds) == (
        Rounding.HALF_EVEN, FeeMode.INCLUSIVE, WhenFeeExceeds.ERROR,
    )  # fmt: skip
    assert FeeComponent("a", ()).base is FeeBase.AMOUNT


@pytest.mark.parametrize(
    "make, kind",
    [
        (lambda: FeeSchedule("x", (), "half_even"), "Rounding"),
        (lambda: FeeSchedule("x", (), mode="inclusive"), "FeeMode"),
        (lambda: FeeSchedule("x", (), when_fee_exceeds="clamp"), "WhenFeeExceeds"),
        (lambda: TieredTerm("graduated", (Tier(None, TEN),)), "TierKind"),
        (lambda: FeeComponent("x", (), base="remaining"), "FeeBase"),
    ],
)
def test_the_words_themselves_are_no_members(make: object, kind: str) -> None:
    """Text would pass for a member and then charge otherwise than it says."""
    with pytest.raises(InvalidMoneyRule, match=rf"^fee '\w+' is of type str: expected {kind}$"):
        make()


def test_a_price_is_found_by_currency_and_scaled_up() -> None:
    """Prices are exact at any larger scale."""
    prices = Prices.of({"JPY": "30", "EUR": "0.25"})
    assert (prices.in_units(EUR, 2, "x"), prices.in_units(EUR, 12, "x")) == (25, 250_000_000_000)
    assert prices.in_units(JPY, 0, "x") == 30
    assert prices.codes == {"EUR", "JPY"}


def test_a_price_with_more_digits_than_allowed_is_refused() -> None:
    """A minimum of half a cent cannot be charged."""
    with pytest.raises(InvalidMoneyRule) as caught:
        schedule(PercentTerm(TEN), minimum=eur("0.005")).compile(EUR)
    assert str(caught.value) == "fee processing, minimum: 0.005 EUR, expected 2 decimals at most"
    with pytest.raises(InvalidMoneyRule) as caught:
        schedule(PercentTerm(TEN), maximum=eur("0.005")).compile(EUR)
    assert str(caught.value) == "fee processing, maximum: 0.005 EUR, expected 2 decimals at most"


@pytest.mark.parametrize(
    "term, message",
    [
        (FixedTerm(eur("1")), "fee processing: no price in JPY; there are prices in EUR"),
        (
            PerItemTerm(Prices.of({"USD": "1", "EUR": "1"})),
            "fee processing: no price in JPY; there are prices in EUR, USD",
        ),
        (FixedTerm(Prices(())), "fee processing: no price in JPY; there are prices in none"),
        (tiers(eur("1"), None), "tier bound: no price in JPY; there are prices in EUR"),
        (
            TieredTerm(TierKind.VOLUME, (Tier(None, TEN, eur("1")),)),
            "fee processing: no price in JPY; there are prices in EUR",
        ),
    ],
)
def test_a_missing_price_names_the_prices_there_are(term: Term, message: str) -> None:
    """A currency without a price is not free of charge."""
    with pytest.raises(FeeNotDefined) as caught:
        schedule(term).compile(JPY)
    assert str(caught.value) == message


@pytest.mark.parametrize("limit", ["minimum", "maximum"])
def test_missing_limits_name_themselves(limit: str) -> None:
    """A minimum in euros says nothing about yen."""
    with pytest.raises(FeeNotDefined) as caught:
        schedule(PercentTerm(TEN), **{limit: eur("1")}).compile(JPY)
    assert str(caught.value) == f"fee processing, {limit}: no price in JPY; there are prices in EUR"


def test_prices_are_not_negative() -> None:
    """A fee is never a present; zero is a price."""
    assert eur("0").in_units(EUR, 2, "x") == 0
    with pytest.raises(InvalidMoneyRule) as caught:
        eur("-0.01")
    assert str(caught.value) == "price '-0.01' in EUR: it must not be negative"


def test_prices_are_amounts() -> None:
    """A price is written as amounts are."""
    with pytest.raises(InvalidAmount):
        eur("1e2")


def test_prices_name_each_currency_once() -> None:
    """Two prices of one currency contradict one another."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Prices((("EUR", "1"), ("USD", "1"), ("EUR", "2")))
    assert str(caught.value) == "prices name a currency twice: EUR, USD, EUR"


def test_the_maximum_is_not_below_the_minimum() -> None:
    """Equal limits are a flat fee; crossed ones are a mistake."""
    flat = schedule(PercentTerm(TEN), minimum=eur("1"), maximum=eur("1")).compile(EUR)
    assert flat.charge_units(1000, 2)[3] == (100,)
    with pytest.raises(InvalidMoneyRule) as caught:
        schedule(PercentTerm(TEN), minimum=eur("1"), maximum=eur("0.99")).compile(EUR)
    assert str(caught.value) == "fee processing: the maximum in EUR is below the minimum"


@pytest.mark.parametrize(
    "bounds, message",
    [
        ((), "tiers: the last one must be open-ended (without up_to)"),
        ((eur("1"),), "tiers: the last one must be open-ended (without up_to)"),
        ((eur("1"), None, None), "tiers: tier 2 is open-ended, so that later ones never apply"),
        ((None, None), "tiers: tier 1 is open-ended, so that later ones never apply"),
    ],
)
def test_only_the_last_tier_is_open_ended(bounds: tuple[Prices | None, ...], message: str) -> None:
    """Every amount is in exactly one tier."""
    with pytest.raises(InvalidMoneyRule) as caught:
        tiers(*bounds)
    assert str(caught.value) == message


def test_the_smallest_tier_bound_is_allowed() -> None:
    """A bound of one unit at twelve decimals is above zero."""
    assert schedule(tiers(eur("0.000000000001"), None)).compile(EUR).charge_units(100, 2)[3] == (10,)


@pytest.mark.parametrize("bounds", [("0",), ("2", "1"), ("1", "1"), ("1", "3", "2")])
def test_tier_bounds_rise_from_above_zero(bounds: tuple[str, ...]) -> None:
    """A tier that no amount can be in is a mistake."""
    with pytest.raises(InvalidMoneyRule) as caught:
        schedule(tiers(*map(eur, bounds), None)).compile(EUR)
    assert str(caught.value) == "tiers: the bounds in EUR must rise from above zero"


@pytest.mark.parametrize(
    "components, message",
    [
        ((FeeComponent("", ()),), "fees card: component '' needs a name of its own"),
        ((FeeComponent("a", ()), FeeComponent("a", ())), "fees card: component 'a' needs a name of its own"),
        ((FeeComponent("a", ()), TaxComponent("a", TEN)), "fees card: component 'a' needs a name of its own"),
        ((TaxComponent("vat", TEN, ("a",)),), "fees card: vat taxes 'a'; before it there are none"),
        (
            (FeeComponent("a", ()), FeeComponent("b", ()), TaxComponent("vat", TEN, ("a", "c"))),
            "fees card: vat taxes 'c'; before it there are a, b",
        ),
        (
            (TaxComponent("vat", TEN, ("a",)), FeeComponent("a", ())),
            "fees card: vat taxes 'a'; before it there are none",
        ),
        ((TaxComponent("vat", TEN, ("vat",)),), "fees card: vat taxes 'vat'; before it there are none"),
    ],
)
def test_components_have_names_and_tax_what_is_before_them(
    components: tuple[FeeComponent | TaxComponent, ...], message: str
) -> None:
    """A schedule is composed in order."""
    with pytest.raises(InvalidMoneyRule) as caught:
        FeeSchedule("card", components)
    assert str(caught.value) == message


def test_priced_currencies_are_those_of_every_price_list() -> None:
    """A schedule can charge where all of its lists have a price; None says anywhere."""
    both, euro = Prices.of({"EUR": "1", "USD": "1"}), eur("1")
    assert schedule(PercentTerm(TEN)).priced_currencies() is None
    assert FeeSchedule("tax", (TaxComponent("vat", TEN),)).priced_currencies() is None
    assert schedule(FixedTerm(both)).priced_currencies() == {"EUR", "USD"}
    for narrow in (
        schedule(FixedTerm(both), PerItemTerm(euro)),
        schedule(FixedTerm(both), minimum=euro),
        schedule(FixedTerm(both), maximum=euro),
        schedule(FixedTerm(both), tiers(euro, None)),
        schedule(FixedTerm(both), TieredTerm(TierKind.VOLUME, (Tier(None, TEN, euro),))),
    ):
        assert narrow.priced_currencies() == {"EUR"}


def test_schedules_do_not_compile_where_nothing_settles() -> None:
    """Gold is no money to charge in."""
    with pytest.raises(NotSettleable) as caught:
        schedule(PercentTerm(TEN)).compile(XAU)
    assert str(caught.value) == "currency XAU (Gold) is of kind metal: nothing settles in it"


def test_carry_does_not_go_with_clamp() -> None:
    """Cutting a fee would lose what carry promises to keep."""
    with pytest.raises(InvalidMoneyRule) as caught:
        FeeSchedule("card", (), Rounding.CARRY, when_fee_exceeds=WhenFeeExceeds.CLAMP)
    assert str(caught.value) == (
        "fees card: carry does not go with clamp, which would drop what carry is to keep"
    )
