"""Exchange: rates, what is done to them, and conversions with their record."""

from typing import Any

import pytest

from worker.errors import CurrencyMismatch, InvalidMoneyRule, MissingRate, StaleRate
from worker.money import ISO_4217, Amount, Currency, Exchange, Money, Quote, Rate, RateBook, Rounding

EUR, USD, GBP, JPY, XAU = (ISO_4217.lookup(code) for code in ("EUR", "USD", "GBP", "JPY", "XAU"))
NOW = 1_700_000_000


def rate(
    text: str, base: Currency = EUR, quote: Currency = USD, *, source: str = "ecb", as_of: int = NOW
) -> Rate:
    return Rate.parse(text, base, quote, source=source, as_of=as_of)


def test_a_rate_is_its_decimal_exactly() -> None:
    """The published digits, the pair, the source and the time."""
    published = rate("1.0847")
    assert (published.numerator, published.denominator) == (10847, 10000)
    assert (published.pair, published.source, published.as_of) == ("EUR/USD", "ecb", NOW)
    assert (str(published), published.derivation) == ("1.0847", ())


def test_conversion_rounds_once_and_keeps_the_record() -> None:
    """Given times rate equals result plus remainder."""
    used = rate("1.0847")
    record = used.convert(Money.parse("12.34", EUR), Rounding.HALF_EVEN)
    assert record == Exchange(Amount.parse("12.34", EUR), Money.parse("13.39", USD), used, record.step)
    assert (record.step.exact, record.remainder) == ("13.385198", "-0.004802")
    assert str(record.step) == "convert EUR/USD: 13.385198 -> 13.39 USD (half_even, remainder -0.004802)"


def test_conversion_goes_between_exponents() -> None:
    """Yen have no cents, and precise amounts convert at their own scale."""
    to_yen = rate("160.25", EUR, JPY)
    assert to_yen.convert(Money.parse("1.00", EUR), Rounding.DOWN).result == Money(160, JPY)
    assert to_yen.convert(Amount.parse("0.012", EUR), Rounding.UP).result == Money(2, JPY)
    assert to_yen.inverse().convert(Money(160, JPY), Rounding.HALF_UP).result == Money.parse("1.00", EUR)
    assert to_yen.convert(Money.parse("-1.00", EUR), Rounding.FLOOR).result == Money(-161, JPY)


def test_the_inverse_is_exact() -> None:
    """There and back is the same rate, and the record says what was done."""
    inverse = rate("1.0847").inverse()
    assert (inverse.numerator, inverse.denominator, inverse.pair) == (10000, 10847, "USD/EUR")
    assert (str(inverse), inverse.source, inverse.as_of) == ("10000/10847", "ecb", NOW)
    assert inverse.derivation == ("inverse of EUR/USD",)
    again = inverse.inverse()
    assert (again.numerator, again.denominator) == (10847, 10000)
    assert again.derivation == ("inverse of EUR/USD", "inverse of USD/EUR")


def test_a_cross_rate_is_exact_and_as_old_as_its_older_leg() -> None:
    """Two legs multiply exactly; both sources and both pairs are named."""
    cross = rate("1.25", source="a", as_of=NOW).across(rate("0.8", USD, GBP, source="b", as_of=NOW - 5))
    assert (cross.pair, cross.numerator, cross.denominator) == ("EUR/GBP", 1, 1)
    assert (cross.source, cross.as_of) == ("a, b", NOW - 5)
    assert cross.derivation == ("EUR/USD across USD/GBP",)
    older = rate("1.25", as_of=NOW - 9).across(rate("1.2", USD, GBP))
    assert (str(older), older.source, older.as_of) == ("1.5", "ecb", NOW - 9)


def test_a_cross_rate_keeps_the_derivations_of_both_legs() -> None:
    """What was done to a leg stays in the record."""
    first = rate("0.8", USD, EUR).inverse()
    second = rate("0.5", GBP, USD).inverse()
    assert first.across(second).derivation == (
        "inverse of USD/EUR", "inverse of GBP/USD", "EUR/USD across USD/GBP",
    )  # fmt: skip
    assert first.across(second).source == "ecb"


def test_legs_that_do_not_meet_are_refused() -> None:
    """The second starts where the first ends."""
    with pytest.raises(CurrencyMismatch) as caught:
        rate("1.25").across(rate("0.8", GBP, JPY))
    assert str(caught.value) == "rate EUR/USD does not lead to GBP/JPY"


def test_a_markup_gives_the_customer_less() -> None:
    """Fifty basis points of 1.0800 are 0.0054, exactly, in lowest terms."""
    marked = rate("1.0800").with_markup(50)
    assert (str(marked), marked.derivation) == ("1.0746", ("markup of 50 basis points",))
    assert (marked.numerator, marked.denominator) == (5373, 5000)
    assert (marked.source, marked.as_of, marked.pair) == ("ecb", NOW, "EUR/USD")
    assert str(rate("1.08").with_markup(9999)) == "0.000108"
    assert str(rate("1.08").with_markup(0)) == "1.08"
    assert rate("1.08").inverse().with_markup(1).derivation == (
        "inverse of EUR/USD",
        "markup of 1 basis points",
    )


@pytest.mark.parametrize("points", [-1, 10_000, True, 0.5])
def test_markups_are_from_0_to_9999_basis_points(points: int) -> None:
    """A markup of everything is no rate, and a negative one a mistake."""
    with pytest.raises(InvalidMoneyRule) as caught:
        rate("1.08").with_markup(points)
    assert str(caught.value) == f"markup {points!r}: expected 0 to 9999 basis points"


@pytest.mark.parametrize(
    "numerator, denominator",
    [(0, 1), (-1, 1), (1, 0), (1, -1), (True, 1), (1.5, 1), (1, 2.0), (10**60 + 1, 1), (1, 10**60 + 1)],
)
def test_rates_are_fractions_above_zero(numerator: int, denominator: int) -> None:
    """Nothing, less, floats and numbers without bound are no rates."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Rate(EUR, USD, numerator, denominator, "x", NOW)
    assert str(caught.value).startswith("rate EUR/USD: ")
    assert str(caught.value).endswith(", expected integers above zero")


def test_rate_messages_show_both_terms() -> None:
    """The refused fraction is shown."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Rate(EUR, USD, 0, 1, "x", NOW)
    assert str(caught.value) == "rate EUR/USD: 0/1, expected integers above zero"
    assert Rate(EUR, USD, 10**60, 10**60, "x", NOW).pair == "EUR/USD"


@pytest.mark.parametrize(
    "text", ["1e2", "0", "0.00", "-1", "abc", "", "1.1234567890123", "9" * 23, 1.5, None]
)
def test_what_is_no_rate_is_refused_as_one(text: Any) -> None:
    """A rate is a plain decimal above zero, and the message speaks of rates."""
    with pytest.raises(InvalidMoneyRule) as caught:
        rate(text)
    assert str(caught.value) == (
        f"rate EUR/USD {text!r}: expected a plain decimal above zero within 64 bits, of at most 12 decimals, "
        'such as "1.0825"'
    )


def test_times_are_whole_seconds() -> None:
    """A float time has no meaning."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Rate(EUR, USD, 1, 1, "x", 1.5)
    assert str(caught.value) == "rate EUR/USD: time 1.5, expected whole seconds since 1970"


def test_a_currency_has_no_rate_against_itself() -> None:
    """One euro is one euro, without a rate."""
    with pytest.raises(InvalidMoneyRule) as caught:
        rate("1.0", EUR, EUR)
    assert str(caught.value) == "rate EUR/EUR: a currency has no rate against itself"


def test_converting_another_currency_is_refused() -> None:
    """A rate converts its base."""
    with pytest.raises(CurrencyMismatch) as caught:
        rate("1.08").convert(Money(1, USD), Rounding.DOWN)
    assert str(caught.value) == "rate EUR/USD converts EUR, not USD"


@pytest.mark.parametrize("age", [0, 60])
def test_fresh_rates_are_returned(age: int) -> None:
    """A rate may be exactly as old as allowed."""
    published = rate("1.08", as_of=NOW - age)
    assert published.fresh(NOW, 60) is published


@pytest.mark.parametrize("age", [61, -1])
def test_stale_rates_and_rates_of_the_future_are_refused(age: int) -> None:
    """A second too old is too old, and no rate is from tomorrow."""
    with pytest.raises(StaleRate) as caught:
        rate("1.08", as_of=NOW - age).fresh(NOW, 60)
    assert str(caught.value) == (f"rate EUR/USD of ecb: {age} seconds old, 0 to 60 allowed; load a newer one")


def test_a_quote_buys_at_the_bid_and_sells_at_the_ask() -> None:
    """Whoever gives the base gets the bid; whoever gives the quote pays the ask."""
    quote = Quote(rate("1.08"), rate("1.10"))
    assert str(quote.rate_from(EUR)) == "1.08"
    assert str(quote.rate_from(USD)) == "10/11"
    assert quote.rate_from(USD).pair == "USD/EUR"
    assert Quote(rate("1.08"), rate("1.08")).bid == rate("1.08")


def test_a_quote_has_no_rate_for_others() -> None:
    """Pounds are neither side."""
    with pytest.raises(MissingRate) as caught:
        Quote(rate("1.08"), rate("1.10")).rate_from(GBP)
    assert str(caught.value) == "quote EUR/USD: no rate from GBP"


@pytest.mark.parametrize(
    "bid, ask, message",
    [
        (rate("1.10"), rate("1.08"), "quote EUR/USD 1.1 - EUR/USD 1.08: expected one pair, bid first"),
        (rate("1.0"), rate("2.0", USD, EUR), "quote EUR/USD 1 - USD/EUR 2: expected one pair, bid first"),
    ],
)
def test_quotes_are_one_pair_with_the_bid_first(bid: Rate, ask: Rate, message: str) -> None:
    """A crossed quote would give money away."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Quote(bid, ask)
    assert str(caught.value) == message


BOOK = RateBook((rate("1.08"), rate("0.85", EUR, GBP, as_of=NOW - 50), rate("0.0061", JPY, EUR)), via=EUR)


@pytest.mark.parametrize(
    "base, quote, text, derivation",
    [
        (EUR, USD, "1.08", ()),
        (USD, EUR, "25/27", ("inverse of EUR/USD",)),
        (USD, GBP, "85/108", ("inverse of EUR/USD", "USD/EUR across EUR/GBP")),
        (JPY, GBP, "0.005185", ("JPY/EUR across EUR/GBP",)),
        (GBP, JPY, "1000000/5185", ("inverse of EUR/GBP", "inverse of JPY/EUR", "GBP/EUR across EUR/JPY")),
    ],
)
def test_a_book_finds_direct_inverse_and_cross_rates(
    base: Currency, quote: Currency, text: str, derivation: tuple[str, ...]
) -> None:
    """The way that was taken is in the rate."""
    found = BOOK.find(base, quote, now=NOW, max_age_seconds=60)
    numerator, _, denominator = text.partition("/")
    if denominator:
        assert found.numerator * int(denominator) == found.denominator * int(numerator)
    else:
        assert str(found) == text
    assert (found.pair, found.derivation) == (f"{base}/{quote}", derivation)


def test_a_direct_rate_goes_before_an_inverse() -> None:
    """Bid and ask may both be loaded; the pair as asked for is used, in either order of loading."""
    direct, other = rate("1.08"), rate("0.9", USD, EUR)
    for rates in ((direct, other), (other, direct)):
        assert RateBook(rates).find(EUR, USD, now=NOW, max_age_seconds=0) == direct


def test_a_direct_or_inverse_rate_goes_before_a_cross() -> None:
    """A published pair is used as it is, though the way across is loaded too."""
    published = rate("1.30", GBP, USD)
    book = RateBook((rate("1.08"), rate("0.85", EUR, GBP), published), via=EUR)
    assert book.find(GBP, USD, now=NOW, max_age_seconds=0) == published
    assert book.find(USD, GBP, now=NOW, max_age_seconds=0) == published.inverse()


@pytest.mark.parametrize(
    "book, pair, message",
    [
        (BOOK, (EUR, XAU), "rate EUR/XAU: neither it nor its inverse is loaded, nor across EUR"),
        (BOOK, (XAU, GBP), "rate XAU/GBP: neither it nor its inverse is loaded, nor across EUR"),
        (RateBook(BOOK.rates), (USD, GBP), "rate USD/GBP: neither it nor its inverse is loaded"),
        (
            RateBook((), via=USD),
            (EUR, USD),
            "rate EUR/USD: neither it nor its inverse is loaded, nor across USD",
        ),
    ],
)
def test_missing_rates_are_named(book: RateBook, pair: tuple[Currency, Currency], message: str) -> None:
    """The refusal says what was looked for."""
    with pytest.raises(MissingRate) as caught:
        book.find(*pair, now=NOW, max_age_seconds=60)
    assert str(caught.value) == message


@pytest.mark.parametrize("base, quote", [(EUR, GBP), (GBP, EUR), (USD, GBP), (GBP, USD)])
def test_stale_rates_of_a_book_are_refused_in_every_way(base: Currency, quote: Currency) -> None:
    """A cross rate is as old as its older leg, whichever that is."""
    with pytest.raises(StaleRate, match=r"(EUR/GBP|GBP/EUR) of ecb: 50 seconds old, 0 to 49 allowed"):
        BOOK.find(base, quote, now=NOW, max_age_seconds=49)


def test_a_pair_is_in_a_book_once() -> None:
    """Two rates of one pair contradict one another."""
    with pytest.raises(InvalidMoneyRule) as caught:
        RateBook((rate("1.08"), rate("0.85", EUR, GBP), rate("1.09")))
    assert str(caught.value) == "rates: a pair is there twice among EUR/GBP, EUR/USD, EUR/USD"
