"""What is no exact integer, or not the type that is meant, is refused wherever money can be handed in."""

import pytest

from worker.errors import InvalidAmount, InvalidMoneyRule
from worker.money import (
    ISO_4217,
    STRIPE_CHARGES,
    Amount,
    Carry,
    FeeSchedule,
    FixedTerm,
    Money,
    Percent,
    PercentTerm,
    PerItemTerm,
    Prices,
    Rate,
    RateBook,
    Rounding,
    Share,
    Split,
    TaxComponent,
    Tier,
    divide,
    format_units,
    formatter,
    rescale,
    settle,
    settle_carrying,
    to_google_money,
    to_iso_20022,
)

EUR, USD = ISO_4217.lookup("EUR"), ISO_4217.lookup("USD")
MODE = Rounding.HALF_EVEN
FREE = FeeSchedule("free", ()).compile(EUR)
RATE = Rate.parse("1.25", EUR, USD, source="bank", as_of=100)


@pytest.mark.parametrize("wrong", [1.5, True, "1", None])
@pytest.mark.parametrize(
    "compute, name",
    [
        (lambda x: rescale(x, 3, 2, MODE), "units"),
        (lambda x: rescale(1, x, 2, MODE), "scale"),
        (lambda x: rescale(1, 3, x, MODE), "scale"),
        (lambda x: divide(x, 2, MODE), "numerator"),
        (lambda x: divide(1, x, MODE), "denominator"),
        (lambda x: format_units(x, 2), "units"),
        (lambda x: format_units(1, x), "scale"),
        (lambda x: formatter(0)(x), "units"),
        (lambda x: formatter(2)(x), "units"),
        (lambda x: formatter(8)(x), "units"),
        (formatter, "scale"),
        (lambda x: Carry().round(x, 2), "numerator"),
        (lambda x: Carry().round(1, x), "denominator"),
        (lambda x: Carry().owing(x), "units"),
        (lambda x: RATE.fresh(x, 60), "now"),
        (lambda x: RATE.fresh(100, x), "max_age_seconds"),
        (lambda x: RateBook((RATE,)).find(EUR, USD, now=x, max_age_seconds=60), "now"),
    ],
)
def test_only_integers_are_computed_with(compute: object, name: str, wrong: object) -> None:
    """A float is never exact, a bool is a slip; the refusal names what it was."""
    with pytest.raises(InvalidAmount) as caught:
        compute(wrong)
    kind = type(wrong).__name__
    assert str(caught.value) == f"{name} {wrong!r} is of type {kind}: only int is exact here"


@pytest.mark.parametrize("denominator", [0, -2])
def test_denominators_are_above_zero(denominator: int) -> None:
    """A negative one would turn the modes around."""
    for compute in (lambda: divide(1, denominator, MODE), lambda: Carry().round(1, denominator)):
        with pytest.raises(InvalidAmount) as caught:
            compute()
        assert str(caught.value) == f"denominator {denominator}: expected above zero"
    assert divide(3, 1, MODE) == 3


def test_scales_of_text_are_not_negative() -> None:
    """Zeros before the point are units, not a scale."""
    with pytest.raises(InvalidAmount) as caught:
        format_units(1, -1)
    assert str(caught.value) == "scale -1: expected zero or more digits after the point"


@pytest.mark.parametrize("parse", [Money.parse, Amount.parse])
def test_a_code_is_not_a_currency(parse: object) -> None:
    """Looking a code up is the registry's, which refuses what it does not know."""
    with pytest.raises(InvalidAmount) as caught:
        parse("1.00", "EUR")
    assert str(caught.value) == "currency 'EUR': expected a Currency, as a registry looks it up"


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: settle(x, MODE),
        lambda x: settle_carrying(x, Carry()),
        Money.of,
        FREE.charge,
        FREE.explain,
    ],
)
def test_only_amounts_are_settled_and_charged(compute: object) -> None:
    """Money is settled already, and a number has no currency."""
    with pytest.raises(InvalidAmount) as caught:
        compute(Money(100, EUR))
    assert str(caught.value) == "Money('1.00', 'EUR') is of type Money: expected an Amount"
    with pytest.raises(InvalidAmount) as caught:
        compute(1.5)
    assert str(caught.value) == "1.5 is of type float: expected an Amount"


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: RATE.convert(x, MODE),
        STRIPE_CHARGES.to_integer,
        to_iso_20022,
        to_google_money,
    ],
)
def test_only_amounts_are_converted(compute: object) -> None:
    """Rates and wire forms take an Amount or Money, no number."""
    assert compute(Money(100, EUR)) == compute(Amount(100, 2, EUR))
    for number in (1.5, True, "1.00"):
        with pytest.raises(InvalidAmount) as caught:
            compute(number)
        assert str(caught.value) == f"{number!r} is of type {type(number).__name__}: expected an Amount"


def test_only_money_is_split() -> None:
    """An amount must be settled first, and a number has no currency."""
    split = Split((Share("all", 1),))
    for wrong, kind in ((Amount(100, 2, EUR), "Amount"), (1.5, "float")):
        with pytest.raises(InvalidAmount) as caught:
            split.allocate(wrong)
        assert str(caught.value) == f"{wrong!r} is of type {kind}: expected Money"


@pytest.mark.parametrize(
    "make, kind",
    [
        (PercentTerm, "Percent"),
        (FixedTerm, "Prices"),
        (PerItemTerm, "Prices"),
        (lambda x: Tier(None, x), "Percent"),
        (lambda x: Tier(x, Percent(1)), "Prices"),
        (lambda x: Tier(None, Percent(1), x), "Prices"),
        (lambda x: TaxComponent("vat", x), "Percent"),
    ],
)
def test_terms_take_percentages_and_prices(make: object, kind: str) -> None:
    """A float would only fail at the first payment."""
    with pytest.raises(InvalidMoneyRule) as caught:
        make(2.9)
    assert str(caught.value) == f"fee 2.9 is of type float: expected {kind}"
    assert PercentTerm(Percent(1)) != FixedTerm(Prices.of({"EUR": "1"}))
