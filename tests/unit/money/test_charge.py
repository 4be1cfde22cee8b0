"""Charging: compiled schedules on amounts."""

from dataclasses import replace

import pytest

from worker.errors import (
    AmountNotPositive,
    AmountOverflow,
    CurrencyMismatch,
    FeeExceedsAmount,
    InvalidAmount,
    InvalidMoneyRule,
    NotConserved,
    TooManyDigits,
)
from worker.money import (
    ISO_4217,
    MAX_UNITS,
    Amount,
    Carry,
    Charge,
    Currency,
    Fee,
    FeeBase,
    FeeComponent,
    FeeMode,
    FeeSchedule,
    FixedTerm,
    Money,
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

EUR, USD, JPY, KWD = (ISO_4217.lookup(code) for code in ("EUR", "USD", "JPY", "KWD"))
GEM = Currency("GEM", 12)


def eur(text: str) -> Prices:
    return Prices.of({"EUR": text})


def share(text: str) -> PercentTerm:
    return PercentTerm(Percent.parse(text))


CARD = FeeSchedule(
    "card",
    (
        FeeComponent("processing", (share("2.9"), FixedTerm(eur("0.30"))), minimum=eur("0.50")),
        TaxComponent("vat", Percent.parse("20")),
    ),
)


PER_CENT = FeeSchedule("x", (FeeComponent("items", (PerItemTerm(eur("0.01")),)),))


def charged(schedule: FeeSchedule, text: str, items: int = 1) -> tuple[str, str, tuple[str, ...]]:
    charge = schedule.compile(EUR).charge(Amount.parse(text, EUR), items)
    return str(charge.gross), str(charge.net), tuple(str(fee.money) for fee in charge.fees)


@pytest.mark.parametrize(
    "text, gross, net, fees",
    [
        ("12.34", "12.34", "11.55", ("0.66", "0.13")),
        ("5.00", "5.00", "4.40", ("0.50", "0.10")),
        ("1000", "1000.00", "964.84", ("29.30", "5.86")),
        ("12.345", "12.345", "11.555", ("0.66", "0.13")),
        ("0.600000000001", "0.600000000001", "0.000000000001", ("0.50", "0.10")),
    ],
)
def test_percent_fixed_minimum_and_tax(text: str, gross: str, net: str, fees: tuple[str, ...]) -> None:
    """Fees are rounded to the cent; the gross keeps its scale and the net takes the larger one."""
    assert charged(CARD, text) == (gross, net, fees)


def test_the_charge_names_its_fees() -> None:
    """Each fee is money under its component's name; there is no trail unless asked for."""
    charge = CARD.compile(EUR).charge(Amount.parse("12.34", EUR))
    assert charge == Charge(
        Amount.parse("12.34", EUR),
        Amount.parse("11.55", EUR),
        (Fee("processing", Money(66, EUR)), Fee("vat", Money(13, EUR))),
        (),
        (),
    )


def test_the_integer_path_gives_the_same_units() -> None:
    """Gross, net, their scale and the fees, as plain integers."""
    compiled = CARD.compile(EUR)
    assert compiled.charge_units(1234, 2) == (1234, 1155, 2, (66, 13))
    assert compiled.charge_units(12345, 3) == (12345, 11555, 3, (66, 13))
    assert compiled.charge_units(1000, 0) == (100000, 96484, 2, (2930, 586))
    assert (compiled.names, compiled.currency, compiled.schedule) == (("processing", "vat"), EUR, CARD)


def test_the_careful_path_takes_the_ordinary_case_too() -> None:
    """Interpreted, the same steps give the same units, at every bound of items and amount."""
    careful = CARD.compile(EUR).charge_carefully
    assert careful(1234, 2) == (1234, 1155, 2, (66, 13))
    assert careful(60, 2) == (60, 0, 2, (50, 10))
    assert careful(100_000, 2, 0) == careful(100_000, 2, 1_000_000) == (100_000, 96_484, 2, (2930, 586))
    assert PER_CENT.compile(EUR).charge_carefully(900, 2) == (900, 899, 2, (1,))
    for items in (-1, 1_000_001, True, 1.0):
        with pytest.raises(InvalidAmount):
            careful(1234, 2, items)


def test_the_ordinary_case_does_not_need_the_careful_path() -> None:
    """An amount at the exponent that affords its fees is charged by the straight line alone."""

    def refuse(_numerator: int, _denominator: int) -> int:
        raise AssertionError

    compiled = replace(CARD.compile(EUR), divide=refuse)
    assert compiled.charge_units(1234, 2) == (1234, 1155, 2, (66, 13))
    with pytest.raises(AssertionError):
        compiled.charge_units(12340, 3)


def test_exclusive_fees_are_added_on_top() -> None:
    """The net is what was asked for, the gross what the payer pays, even when fees are the larger part."""
    schedule = replace(CARD, mode=FeeMode.EXCLUSIVE)
    assert charged(schedule, "12.34") == ("13.13", "12.34", ("0.66", "0.13"))
    assert charged(schedule, "0.1") == ("0.70", "0.10", ("0.50", "0.10"))
    assert charged(schedule, "0.0001") == ("0.6001", "0.0001", ("0.50", "0.10"))


@pytest.mark.parametrize(
    "text, fee",
    [
        ("10.00", "0.29"),
        ("20.00", "0.58"),
        ("1000.00", "1.00"),
        ("1000.001", "1.00"),
        ("1.00", "0.10"),
        ("1.001", "0.10"),
    ],
)
def test_minimum_and_maximum(text: str, fee: str) -> None:
    """A fee is kept within both limits, whatever the scale of the amount."""
    schedule = FeeSchedule("x", (FeeComponent("fee", (share("2.9"),), eur("0.10"), eur("1.00")),))
    assert charged(schedule, text)[2] == (fee,)


def test_per_item_fees_count_items() -> None:
    """Each item costs its price, of any decimals; the sum is rounded once."""
    schedule = FeeSchedule("x", (FeeComponent("items", (PerItemTerm(eur("0.0035")), FixedTerm(eur("1")))),))
    assert [fee.money.units for fee in schedule.compile(EUR).charge(Amount.parse("9", EUR)).fees] == [100]
    assert schedule.compile(EUR).charge_units(9, 0)[3] == (100,)
    assert [charged(schedule, "9.00", items)[2] for items in (0, 1, 3, 10)] == [
        ("1.00",), ("1.00",), ("1.01",), ("1.04",),
    ]  # fmt: skip


@pytest.mark.parametrize("items", [-1, 1_000_001, True, 1.0])
def test_items_are_a_number_from_0_to_a_million(items: int) -> None:
    """Other numbers of items are refused."""
    compiled = CARD.compile(EUR)
    assert compiled.charge_units(1234, 2, 1_000_000)[3] == (66, 13)
    with pytest.raises(InvalidAmount) as caught:
        compiled.charge_units(1234, 2, items)
    assert str(caught.value) == f"items {items!r}: expected an integer from 0 to 1000000"


def tiered(kind: TierKind, *tiers: tuple[str | None, str, str | None]) -> FeeSchedule:
    term = TieredTerm(
        kind,
        tuple(
            Tier(eur(up_to) if up_to else None, Percent.parse(rate), eur(fixed) if fixed else None)
            for up_to, rate, fixed in tiers
        ),
    )
    return FeeSchedule("tiered", (FeeComponent("fee", (term,)),))


@pytest.mark.parametrize(
    "text, fee",
    [
        ("50", "1.50"),
        ("100", "3.00"),
        ("100.01", "3.00"),
        ("150", "4.00"),
        ("500", "11.00"),
        ("1500", "21.00"),
    ],
)
def test_graduated_tiers_charge_each_slice_at_its_rate(text: str, fee: str) -> None:
    """3 % up to 100, 2 % up to 500, 1 % of the rest."""
    schedule = tiered(TierKind.GRADUATED, ("100", "3", None), ("500", "2", None), (None, "1", None))
    assert charged(schedule, text)[2] == (fee,)


@pytest.mark.parametrize(
    "text, fee",
    [
        ("50", "1.50"),
        ("100", "3.00"),
        ("100.01", "2.00"),
        ("500", "10.00"),
        ("500.000001", "5.00"),
        ("1500", "15.00"),
    ],
)
def test_volume_tiers_charge_the_whole_at_one_rate(text: str, fee: str) -> None:
    """3 % up to and with 100, 2 % up to and with 500, 1 % beyond."""
    schedule = tiered(TierKind.VOLUME, ("100", "3", None), ("500", "2", None), (None, "1", None))
    assert charged(schedule, text)[2] == (fee,)


@pytest.mark.parametrize(
    "kind, fees",
    [(TierKind.GRADUATED, ["1.50", "4.00", "6.02"]), (TierKind.VOLUME, ["1.50", "4.00", "4.02"])],
)
def test_fixed_parts_of_tiers(kind: TierKind, fees: list[str]) -> None:
    """Graduated tiers add up the fixed parts that were reached; volume tiers charge only their own."""
    schedule = tiered(kind, ("100", "1", "1"), ("200", "1", "2"), (None, "1", "2"))
    assert [charged(schedule, text)[2][0] for text in ("50", "200", "202")][:1] == fees[:1]
    assert charged(schedule, "150")[2] == (("4.50",) if kind is TierKind.GRADUATED else ("3.50",))
    assert charged(schedule, "202")[2] == (("7.02",) if kind is TierKind.GRADUATED else ("4.02",))


def test_tiers_without_fixed_parts_add_nothing() -> None:
    """Rounded up, the smallest stray part would show."""
    schedule = tiered(TierKind.GRADUATED, ("100", "1", None), (None, "1", None))
    assert charged(replace(schedule, rounding=Rounding.UP), "200")[2] == ("2.00",)


def test_bounds_finer_than_the_amount_still_decide() -> None:
    """A bound of 100.005 keeps 100.00 below and 100.01 above, at any scale of the amount."""
    schedule = tiered(TierKind.VOLUME, ("100.005", "3", None), (None, "1", None))
    assert [charged(schedule, text)[2] for text in ("100", "100.01", "100.005", "100.0050001")] == [
        ("3.00",), ("1.00",), ("3.00",), ("1.00",),
    ]  # fmt: skip


def test_bounds_of_sixteen_digits_are_exact() -> None:
    """A bound that no binary fraction holds still belongs to its tier."""
    schedule = tiered(TierKind.VOLUME, ("9007.199254740993", "3", None), (None, "1", None))
    assert charged(schedule, "9007.199254740993")[2] == ("270.22",)
    assert charged(schedule, "9007.199254740994")[2] == ("90.07",)


def test_terms_of_a_component_add_up_across_their_tiers() -> None:
    """Two tiered terms with other bounds, a percentage and a fixed sum are one fee, rounded once."""
    first = TieredTerm(
        TierKind.GRADUATED, (Tier(eur("100"), Percent.parse("1")), Tier(None, Percent.parse("2")))
    )
    second = TieredTerm(
        TierKind.VOLUME, (Tier(eur("150"), Percent.parse("3")), Tier(None, Percent.parse("4")))
    )
    schedule = FeeSchedule("x", (FeeComponent("fee", (first, share("5"), second, FixedTerm(eur("1")))),))
    # 50: .5+2.5+1.5+1; 120: (1+.4)+6+3.6+1; 150: (1+1)+7.5+4.5+1; 200: (1+2)+10+8+1
    assert [charged(schedule, text)[2][0] for text in ("50", "120", "150", "200")] == [
        "5.50", "12.00", "15.00", "22.00",
    ]  # fmt: skip


def test_a_component_can_look_at_what_earlier_fees_left() -> None:
    """Ten percent of the amount, then ten percent of the remaining ninety."""
    schedule = FeeSchedule(
        "x",
        (
            FeeComponent("first", (share("10"),)),
            FeeComponent("second", (share("10"),), base=FeeBase.REMAINING),
        ),
    )
    assert charged(schedule, "100") == ("100.00", "81.00", ("10.00", "9.00"))
    assert charged(schedule, "100.0001") == ("100.0001", "81.0001", ("10.00", "9.00"))


def test_nothing_remaining_is_no_base_below_zero() -> None:
    """When earlier fees exceed the amount, a later percentage is of nothing, and rounds up to nothing."""
    schedule = FeeSchedule(
        "x",
        (
            FeeComponent("first", (FixedTerm(eur("2")),)),
            FeeComponent("second", (share("50"),), base=FeeBase.REMAINING),
        ),
        Rounding.UP,
        FeeMode.EXCLUSIVE,
    )
    assert charged(schedule, "1") == ("3.00", "1.00", ("2.00", "0.00"))


def test_taxes_are_on_rounded_fees_by_name() -> None:
    """A tax is on the fees it names, or on all before it, taxes included."""
    schedule = FeeSchedule(
        "x",
        (
            FeeComponent("a", (FixedTerm(eur("1.00")),)),
            FeeComponent("b", (FixedTerm(eur("2.00")),)),
            TaxComponent("on_b", Percent.parse("10"), ("b",)),
            TaxComponent("on_both", Percent.parse("10"), ("a", "b")),
            TaxComponent("on_all", Percent.parse("10")),
        ),
    )
    assert charged(schedule, "10.00")[2] == ("1.00", "2.00", "0.20", "0.30", "0.35")


@pytest.mark.parametrize("rate, tax", [("19", "1.90"), ("8.1", "0.81"), ("0", "0.00"), ("100", "10.00")])
def test_taxes_of_any_rate_are_exact(rate: str, tax: str) -> None:
    """Rates that do not divide a hundred, none at all, and everything."""
    fee = FeeComponent("a", (FixedTerm(eur("10.00")),))
    schedule = FeeSchedule("x", (fee, TaxComponent("vat", Percent.parse(rate))))
    assert charged(schedule, "50.00")[2] == ("10.00", tax)


def test_a_tax_on_nothing_is_nothing() -> None:
    """A first component that taxes what is before it has no base."""
    assert charged(FeeSchedule("x", (TaxComponent("vat", Percent.parse("20")),)), "10")[2] == ("0.00",)


def test_a_schedule_without_components_charges_nothing() -> None:
    """No fees leave the amount as it is, at the currency's decimals."""
    assert charged(FeeSchedule("free", ()), "10.5") == ("10.50", "10.50", ())


@pytest.mark.parametrize(
    "mode, fee",
    [
        (Rounding.HALF_EVEN, "0.12"),
        (Rounding.HALF_UP, "0.13"),
        (Rounding.HALF_DOWN, "0.12"),
        (Rounding.UP, "0.13"),
        (Rounding.DOWN, "0.12"),
        (Rounding.CEILING, "0.13"),
        (Rounding.FLOOR, "0.12"),
    ],
)
def test_fees_are_rounded_by_the_schedules_mode(mode: Rounding, fee: str) -> None:
    """Ten percent of 1.25 is a tie."""
    schedule = FeeSchedule("x", (FeeComponent("fee", (share("10"),)),), mode)
    assert charged(schedule, "1.25")[2] == (fee,)


def test_fees_larger_than_the_amount_are_an_error_by_default() -> None:
    """The refusal says how much of what, and what to do; at any scale of the amount."""
    for text in ("0.59", "0.599999"):
        with pytest.raises(FeeExceedsAmount) as caught:
            charged(CARD, text)
        assert str(caught.value) == (
            f"fees card: 0.60 EUR of an amount of {text}; lower the minimum or the fixed sums, let the "
            "schedule clamp its fees, or charge them on top"
        )
    assert charged(CARD, "0.60") == ("0.60", "0.00", ("0.50", "0.10"))


def test_fees_larger_than_the_amount_are_clamped_if_the_schedule_says_so() -> None:
    """Later fees give way, and what no cent can express stays with the net."""
    schedule = replace(CARD, when_fee_exceeds=WhenFeeExceeds.CLAMP)
    assert charged(schedule, "0.59") == ("0.59", "0.00", ("0.50", "0.09"))
    assert charged(schedule, "0.40") == ("0.40", "0.00", ("0.40", "0.00"))
    assert charged(schedule, "0.4077") == ("0.4077", "0.0077", ("0.40", "0.00"))
    assert charged(schedule, "0.60") == ("0.60", "0.00", ("0.50", "0.10"))


def test_amounts_are_above_zero() -> None:
    """A payment of nothing, or of less, is not charged."""
    compiled = CARD.compile(EUR)
    for units, scale, text in ((0, 2, "0.00"), (-5, 2, "-0.05"), (0, 0, "0"), (-1, 12, "-0.000000000001")):
        with pytest.raises(AmountNotPositive) as caught:
            compiled.charge_units(units, scale)
        assert str(caught.value) == f"amount {text}: fees are charged on amounts above zero"
    assert FeeSchedule("free", ()).compile(EUR).charge_units(1, 12) == (1, 1, 12, ())


@pytest.mark.parametrize(
    "units, scale, message",
    [
        (True, 2, "units True at scale 2: only int is exact here"),
        (1.5, 2, "units 1.5 at scale 2: only int is exact here"),
        (1, 2.0, "units 1 at scale 2.0: only int is exact here"),
        (1, True, "units 1 at scale True: only int is exact here"),
    ],
)
def test_the_integer_path_takes_integers_only(units: int, scale: int, message: str) -> None:
    """Floats and booleans are refused at this door too."""
    with pytest.raises(InvalidAmount) as caught:
        CARD.compile(EUR).charge_units(units, scale)
    assert str(caught.value) == message


@pytest.mark.parametrize("scale", [-1, 13])
def test_the_integer_path_takes_scales_up_to_twelve(scale: int) -> None:
    """There is no program for other scales."""
    with pytest.raises(TooManyDigits) as caught:
        CARD.compile(EUR).charge_units(1, scale)
    assert str(caught.value) == f"scale {scale}: expected 0 to 12 digits after the point"


def test_gross_stays_within_64_bits() -> None:
    """An amount that does not fit at the currency's scale is refused, and one fee more than fits."""
    free = FeeSchedule("free", ()).compile(EUR)
    assert free.charge_units(MAX_UNITS, 2)[0] == MAX_UNITS
    with pytest.raises(AmountOverflow, match=r"amount 92233720368547759\.00 "):
        free.charge_units(MAX_UNITS // 100 + 1, 0)
    on_top = FeeSchedule("x", (FeeComponent("fee", (FixedTerm(eur("0.01")),)),), mode=FeeMode.EXCLUSIVE)
    assert on_top.compile(EUR).charge_units(MAX_UNITS - 1, 2)[0] == MAX_UNITS
    with pytest.raises(AmountOverflow, match=r"amount 92233720368547758\.08 "):
        on_top.compile(EUR).charge_units(MAX_UNITS, 2)


def test_the_integer_path_refuses_units_over_64_bits() -> None:
    """More than fits is no amount, at the scale it was given in."""
    with pytest.raises(AmountOverflow, match=r"amount 9223372036854775\.808 "):
        FeeSchedule("free", ()).compile(EUR).charge_units(MAX_UNITS + 1, 3)


def test_amounts_in_another_currency_are_refused() -> None:
    """A schedule is compiled for one currency."""
    with pytest.raises(CurrencyMismatch) as caught:
        CARD.compile(EUR).charge(Amount.parse("1.5", USD))
    assert str(caught.value) == "fees card in EUR: the amount is 1.5 USD"


@pytest.mark.parametrize(
    "currency, text, fee, net",
    [
        (JPY, "1234", "36", "1198"),
        (KWD, "12.34", "0.358", "11.982"),
        (GEM, "1.000000000003", "0.029", "0.971"),
    ],
)
def test_fees_are_at_the_currencys_exponent(currency: Currency, text: str, fee: str, net: str) -> None:
    """No decimals, three, and the most a unit may have."""
    compiled = FeeSchedule("x", (FeeComponent("fee", (share("2.9"),)),)).compile(currency)
    charge = compiled.charge(Amount.parse(text, currency))
    assert str(charge.fees[0].money).startswith(fee)
    assert str(charge.net).startswith(net)
    assert charge.gross == charge.net + charge.fees[0].money.precise()


def test_the_trail_shows_every_rounding() -> None:
    """Asked to explain, a charge says the same and how."""
    compiled = CARD.compile(EUR)
    amount = Amount.parse("12.345", EUR)
    explained = compiled.explain(amount)
    assert replace(explained, trail=()) == compiled.charge(amount)
    assert [str(step) for step in explained.trail] == [
        "processing: 0.658005 -> 0.66 EUR (half_even, remainder -0.001995)",
        "vat: 0.132 -> 0.13 EUR (half_even, remainder 0.002)",
    ]


def test_the_trail_says_when_a_limit_decided() -> None:
    """A fee at its minimum or maximum was not rounded, and is labelled so."""
    schedule = FeeSchedule("x", (FeeComponent("fee", (share("2.9"),), eur("0.10"), eur("1.00")),))
    compiled = schedule.compile(EUR)
    exactly = FeeSchedule("x", (FeeComponent("fee", (share("10"),), eur("0.10"), eur("0.20")),)).compile(EUR)
    assert [exactly.explain(Amount.parse(text, EUR)).trail[0].label for text in ("1", "2")] == ["fee", "fee"]
    labels = {
        text: (step.label, step.mode, step.exact, step.rounded)
        for text in ("1", "3.45", "10", "34.49", "1000")
        for step in compiled.explain(Amount.parse(text, EUR)).trail
    }
    assert labels == {
        "1": ("fee (minimum)", "minimum", "0.029", "0.10"),
        "3.45": ("fee", "half_even", "0.10005", "0.10"),
        "10": ("fee", "half_even", "0.29", "0.29"),
        "34.49": ("fee (maximum)", "maximum", "1.00021", "1.00"),
        "1000": ("fee (maximum)", "maximum", "29", "1.00"),
    }


def test_items_reach_explanations_and_carries() -> None:
    """Every way to charge counts the items."""
    schedule = FeeSchedule("x", (FeeComponent("items", (PerItemTerm(eur("0.50")),)),))
    amount = Amount.parse("9", EUR)
    assert str(schedule.compile(EUR).explain(amount, 3).fees[0].money) == "1.50"
    carrying = replace(schedule, rounding=Rounding.CARRY).compile(EUR)
    assert str(carrying.charge_carrying(amount, [Carry()], 3).fees[0].money) == "1.50"
    assert str(schedule.compile(EUR).explain(amount).fees[0].money) == "0.50"
    assert str(carrying.charge_carrying(amount, [Carry()]).fees[0].money) == "0.50"


def test_prices_of_several_items_add_up() -> None:
    """Two prices an item in one component are both due, and a single item is the default."""
    schedule = FeeSchedule(
        "x", (FeeComponent("items", (PerItemTerm(eur("0.50")), PerItemTerm(eur("0.25")))),)
    )
    assert [charged(schedule, "9", items)[2] for items in (1, 2)] == [("0.75",), ("1.50",)]
    assert str(schedule.compile(EUR).charge(Amount.parse("9", EUR)).fees[0].money) == "0.75"
    half_a_cent = FeeSchedule("x", (FeeComponent("items", (PerItemTerm(eur("0.005")),)),), Rounding.UP)
    assert half_a_cent.compile(EUR).charge_units(900, 2)[3] == (1,)
    assert half_a_cent.compile(EUR).charge_units(900, 2, 2)[3] == (1,)
    assert half_a_cent.compile(EUR).charge_units(900, 2, 3)[3] == (2,)
    assert PER_CENT.compile(EUR).charge_units(900, 2)[3] == (1,)
    assert str(PER_CENT.compile(EUR).charge(Amount.parse("9", EUR)).net) == "8.99"
    assert str(PER_CENT.compile(EUR).explain(Amount.parse("9", EUR)).net) == "8.99"


def test_the_trail_says_what_was_clamped() -> None:
    """The sum that the bill shows is the last step of its fee, and tax is on what is charged."""
    schedule = FeeSchedule(
        "x",
        (FeeComponent("fee", (share("1"),), eur("2.00")), TaxComponent("vat", Percent.parse("20"))),
        when_fee_exceeds=WhenFeeExceeds.CLAMP,
    )
    charge = schedule.compile(EUR).explain(Amount.parse("1.50", EUR))
    assert [str(fee.money) for fee in charge.fees] == ["1.50", "0.00"]
    assert [str(step) for step in charge.trail] == [
        "fee (minimum): 0.015 -> 2.00 EUR (minimum, remainder -1.985)",
        "fee (clamped): 2 -> 1.50 EUR (clamped, remainder 0.5)",
        "vat: 0.3 -> 0.30 EUR (half_even, remainder 0)",
        "vat (clamped): 0.3 -> 0.00 EUR (clamped, remainder 0.3)",
    ]
    assert [step.verb for step in charge.trail] == ["bounded", "bounded", "exact", "bounded"]
    whole = schedule.compile(EUR).explain(Amount.parse("2.00", EUR))
    assert [step.label for step in whole.trail] == ["fee (minimum)", "vat", "vat (clamped)"]


CARRYING = FeeSchedule(
    "micro",
    (FeeComponent("fee", (share("1"),)), TaxComponent("vat", Percent.parse("20"))),
    Rounding.CARRY,
)


def test_carrying_charges_keep_each_fees_remainder() -> None:
    """A fee of a quarter of a cent becomes a cent every fourth payment, and the state says what is owed."""
    compiled = CARRYING.compile(EUR)
    carries: tuple[Carry, ...] = (Carry(), Carry())
    seen = []
    for _ in range(4):
        charge = compiled.charge_carrying(Amount.parse("0.25", EUR), carries)
        carries = charge.carries
        seen.append((str(charge.fees[0].money), str(carries[0]), str(carries[1])))
    assert seen == [
        ("0.00", "1/4", "0"), ("0.00", "1/2", "0"), ("0.01", "-1/4", "1/5"), ("0.00", "0", "1/5"),
    ]  # fmt: skip
    assert [step.mode for step in charge.trail] == [Rounding.CARRY, Rounding.CARRY]
    assert compiled.carry_keys == ("micro/fee/EUR", "micro/vat/EUR")


def test_a_fee_at_its_limit_leaves_its_remainder_alone() -> None:
    """A minimum is what the contract says: it neither uses nor changes what is carried."""
    schedule = FeeSchedule(
        "x", (FeeComponent("fee", (share("1"),), eur("0.05"), eur("0.10")),), Rounding.CARRY
    )
    compiled = schedule.compile(EUR)
    kept = (Carry(1, 4),)
    fees = {}
    for text in ("1", "7.3", "50"):
        charge = compiled.charge_carrying(Amount.parse(text, EUR), kept)
        fees[text] = (str(charge.fees[0].money), charge.carries[0])
    assert fees == {
        "1": ("0.05", Carry(1, 4)),
        "7.3": ("0.08", Carry(-9, 20)),
        "50": ("0.10", Carry(1, 4)),
    }


def test_what_a_payment_is_too_small_for_stays_owed() -> None:
    """Half a cent cannot bear a cent: it is taken from the next payment that can, and never refused."""
    compiled = FeeSchedule("x", (FeeComponent("fee", (share("80"),)),), Rounding.CARRY).compile(EUR)
    carries: tuple[Carry, ...] = (Carry(),)
    for _ in range(10):
        charge = compiled.charge_carrying(Amount.parse("0.005", EUR), carries)
        carries = charge.carries
        assert str(charge.net) == "0.005"
    assert carries == (Carry(4),)
    assert [str(step) for step in charge.trail] == [
        "fee: 0.004 -> 0.04 EUR (carry, remainder -0.036)",
        "fee (owed): 0.04 -> 0.00 EUR (owed, remainder 0.04)",
    ]
    charge = compiled.charge_carrying(Amount.parse("0.10", EUR), carries)
    assert (str(charge.fees[0].money), charge.carries) == ("0.10", (Carry(2),))
    charge = compiled.charge_carrying(Amount.parse("1", EUR), charge.carries)
    assert (str(charge.fees[0].money), str(charge.net), charge.carries) == ("0.82", "0.18", (Carry(),))


def test_a_minimum_gives_way_to_what_is_owed() -> None:
    """When an earlier fee takes all of an amount for what it is owed, a minimum after it is owed in turn."""
    fees = (FeeComponent("fee", (share("1"),)), FeeComponent("floor", (), eur("0.05")))
    compiled = FeeSchedule("x", fees, Rounding.CARRY).compile(EUR)
    charge = compiled.charge_carrying(Amount.parse("0.50", EUR), (Carry(47), Carry(1, 4)))
    assert [str(fee.money) for fee in charge.fees] == ["0.48", "0.02"]
    assert charge.carries == (Carry(-1, 2), Carry(13, 4))
    assert [step.label for step in charge.trail] == ["fee", "floor (minimum)", "floor (owed)"]


@pytest.mark.parametrize("owed", [Carry(), Carry(1000)])
def test_an_amount_that_its_own_fees_exceed_is_refused_whatever_is_owed(owed: Carry) -> None:
    """The refusal depends on the payment alone, so that no remainder can make it last."""
    schedule = FeeSchedule("x", (FeeComponent("fee", (FixedTerm(eur("0.30")),)),), Rounding.CARRY)
    compiled = schedule.compile(EUR)
    with pytest.raises(FeeExceedsAmount) as caught:
        compiled.charge_carrying(Amount.parse("0.29", EUR), (owed,))
    assert str(caught.value) == (
        "fees x: 0.30 EUR of an amount of 0.29; lower the minimum or the fixed sums, or charge them on top"
    )
    assert compiled.charge_carrying(Amount.parse("0.30", EUR), (owed,)).net == Amount.zero(EUR)


def test_a_carrying_schedule_does_not_charge_without_remainders() -> None:
    """Charging it as any other would quietly be another mode."""
    for charge in (CARRYING.compile(EUR).charge, CARRYING.compile(EUR).explain):
        with pytest.raises(InvalidMoneyRule) as caught:
            charge(Amount.parse("0.25", EUR))
        assert str(caught.value) == (
            "rounding carry: it needs the remainder kept so far; name another mode where none is"
        )


@pytest.mark.parametrize(
    "schedule, carries, message",
    [
        (CARRYING, 1, "fees micro: 1 remainders for 2 fees rounded by carry; expected one a fee, and carry"),
        (CARRYING, 3, "fees micro: 3 remainders for 2 fees rounded by carry; expected one a fee, and carry"),
        (CARD, 2, "fees card: 2 remainders for 2 fees rounded by half_even; expected one a fee, and carry"),
    ],
)
def test_remainders_are_one_a_fee_of_a_carrying_schedule(
    schedule: FeeSchedule, carries: int, message: str
) -> None:
    """Remainders of something else are refused."""
    with pytest.raises(InvalidMoneyRule) as caught:
        schedule.compile(EUR).charge_carrying(Amount.parse("5", EUR), [Carry()] * carries)
    assert str(caught.value) == message


def test_the_given_remainders_are_not_changed() -> None:
    """State in, state out."""
    carries = [Carry(1, 4), Carry()]
    CARRYING.compile(EUR).charge_carrying(Amount.parse("0.25", EUR), carries)
    assert carries == [Carry(1, 4), Carry()]


class Fickle(int):
    """A fee of five that is another number each time it is added up."""

    def __init__(self, _value: int) -> None:
        self.values = iter((5, 6))

    def __radd__(self, other: int) -> int:
        return other + next(self.values)


def test_a_charge_that_does_not_add_up_is_never_returned() -> None:
    """Gross is checked against net and fees each time, by adding the fees up once more."""
    compiled = FeeSchedule("x", (FeeComponent("fee", (share("1"),)),)).compile(EUR)
    broken = replace(compiled, divide=lambda _numerator, _denominator: Fickle(5))
    with pytest.raises(NotConserved) as caught:
        broken.charge_carefully(100, 2)
    assert str(caught.value) == "fees x: 100 is not 95 and [5] at scale 2"
