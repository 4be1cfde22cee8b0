"""Currencies: the pinned table, lookups, custom units and cash increments."""

from dataclasses import astuple

import pytest

from worker.errors import InvalidMoneyRule, UnknownCurrency, WithdrawnCurrency
from worker.money import ISO_4217, Amount, Currency, CurrencyKind, CurrencyRegistry, Money, Rounding, settle
from worker.money.currency import Withdrawn, build_iso_4217

KINDS_WITHOUT_SETTLEMENT = {CurrencyKind.METAL, CurrencyKind.UNIT, CurrencyKind.TESTING, CurrencyKind.NONE}


def test_the_table_is_the_one_published_on_its_date() -> None:
    """178 current and 129 withdrawn codes, as of the first of January 2026."""
    assert ISO_4217.published == "2026-01-01"
    assert (len(ISO_4217), len(ISO_4217.withdrawn)) == (178, 129)


def test_the_registry_is_what_its_builder_reads() -> None:
    """Read afresh, the table gives the same registry, row by row, and one that cannot be changed."""
    built = build_iso_4217()
    assert built == ISO_4217
    for currency in built:
        assert astuple(currency) == astuple(ISO_4217.lookup(currency.code))
    assert astuple(built.lookup("CHF")) == ("CHF", 2, "Swiss Franc", "756", CurrencyKind.CURRENCY, 5, True)
    assert astuple(built.lookup("XAU")) == ("XAU", 0, "Gold", "959", CurrencyKind.METAL, 1, False)
    assert built.withdrawn["XFO"] == Withdrawn("XFO", "2006-10", None, "Gold-Franc")
    assert built.withdrawn["HRK"] == Withdrawn("HRK", "2023-01", "EUR", "Kuna")
    for table in (built.currencies, built.withdrawn):
        with pytest.raises(TypeError):
            table["GEM"] = None


@pytest.mark.parametrize(
    "code, numeric, exponent, kind, name",
    [
        ("EUR", "978", 2, "currency", "Euro"),
        ("JPY", "392", 0, "currency", "Yen"),
        ("KWD", "414", 3, "currency", "Kuwaiti Dinar"),
        ("CLF", "990", 4, "fund", "Unidad de Fomento"),
        ("UYW", "927", 4, "currency", "Unidad Previsional"),
        ("ALL", "008", 2, "currency", "Lek"),
        ("XAU", "959", 0, "metal", "Gold"),
        ("XDR", "960", 0, "unit", "SDR (Special Drawing Right)"),
        ("XTS", "963", 0, "testing", "Codes specifically reserved for testing purposes"),
        ("XXX", "999", 0, "none", "The codes assigned for transactions where no currency is involved"),
    ],
)
def test_rows_of_the_standard(code: str, numeric: str, exponent: int, kind: str, name: str) -> None:
    """Code, number, exponent, kind and name of one currency of every kind."""
    currency = ISO_4217.lookup(code)
    assert (currency.code, currency.numeric, currency.exponent, currency.kind, currency.name) == (
        code, numeric, exponent, kind, name,
    )  # fmt: skip


def test_exponents_by_the_standard() -> None:
    """The codes without decimals, with three and with four are those of ISO 4217, not of CLDR."""
    by_exponent = {n: [c.code for c in ISO_4217 if c.settleable and c.exponent == n] for n in range(5)}
    assert by_exponent[0] == (
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ]
    )
    assert by_exponent[1] == []
    assert by_exponent[3] == ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]
    assert by_exponent[4] == ["CLF", "UYW"]
    assert {"COP", "HUF", "IDR", "PKR", "TWD", "MGA", "MRU"} <= set(by_exponent[2])


def test_nothing_settles_in_metals_units_of_account_tests_or_no_currency() -> None:
    """Settleable are currencies, funds and custom units, and nothing else."""
    assert {c.kind for c in ISO_4217 if not c.settleable} == KINDS_WITHOUT_SETTLEMENT
    assert ([c.code for c in ISO_4217 if not c.settleable]) == [
        "XAG",
        "XAU",
        "XBA",
        "XBB",
        "XBC",
        "XBD",
        "XDR",
        "XPD",
        "XPT",
        "XSU",
        "XTS",
        "XUA",
        "XXX",
    ]
    assert Currency("GEM", 0).settleable


def test_numeric_codes_are_three_digits_and_unique() -> None:
    """Every code has a number of its own."""
    numbers = [c.numeric for c in ISO_4217]
    assert all(number is not None and len(number) == 3 and number.isdigit() for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_every_successor_is_a_current_code() -> None:
    """A withdrawn code leads to one that is legal tender today, three of them to nothing."""
    successors = {old.successor for old in ISO_4217.withdrawn.values()}
    assert successors - {None} <= set(ISO_4217.currencies)
    assert {code for code, old in ISO_4217.withdrawn.items() if old.successor is None} == {
        "XFO",
        "XFU",
        "XRE",
    }
    assert not set(ISO_4217.withdrawn) & set(ISO_4217.currencies)


@pytest.mark.parametrize(
    "code, date, successor, name",
    [
        ("BGN", "2026-01", "EUR", "Bulgarian Lev"),
        ("HRK", "2023-01", "EUR", "Kuna"),
        ("ANG", "2025-03", "XCG", "Netherlands Antillean Guilder"),
        ("SLL", "2023-12", "SLE", "Leone"),
        ("ZWL", "2024-09", "ZWG", "Zimbabwe Dollar"),
        ("ARY", "1990", "ARS", "Peso"),
    ],
)
def test_withdrawn_rows(code: str, date: str, successor: str, name: str) -> None:
    """A withdrawn code keeps its last date, its name and where it led."""
    assert ISO_4217.withdrawn[code] == Withdrawn(code, date, successor, name)


@pytest.mark.parametrize(
    "code, message",
    [
        ("HRK", "currency HRK (Kuna): ISO 4217 withdrew it in 2023-01; use EUR, converting the amount"),
        ("XFO", "currency XFO (Gold-Franc): ISO 4217 withdrew it in 2006-10; nothing succeeded it"),
    ],
)
def test_withdrawn_codes_are_refused_with_their_successor(code: str, message: str) -> None:
    """The refusal says when, and what to use instead."""
    with pytest.raises(WithdrawnCurrency) as caught:
        ISO_4217.lookup(code)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "code, message",
    [
        ("ERU", "currency 'ERU': neither in ISO 4217 of 2026-01-01 nor a configured unit; did you mean EUR?"),
        ("EUX", "currency 'EUX': neither in ISO 4217 of 2026-01-01 nor a configured unit; did you mean EUR?"),
        ("JPN", "currency 'JPN': neither in ISO 4217 of 2026-01-01 nor a configured unit; did you mean JPY?"),
        ("USX", "currency 'USX': neither in ISO 4217 of 2026-01-01 nor a configured unit; did you mean USD?"),
        ("AUR", "currency 'AUR': neither in ISO 4217 of 2026-01-01 nor a configured unit; did you mean AUD?"),
        ("XAR", "currency 'XAR': neither in ISO 4217 of 2026-01-01 nor a configured unit; did you mean XAD?"),
        ("eur", "currency 'eur': neither in ISO 4217 of 2026-01-01 nor a configured unit; did you mean EUR?"),
        (
            "USDD",
            "currency 'USDD': neither in ISO 4217 of 2026-01-01 nor a configured unit; did you mean USD?",
        ),
        ("QQQ", "currency 'QQQ': neither in ISO 4217 of 2026-01-01 nor a configured unit"),
        ("", "currency '': neither in ISO 4217 of 2026-01-01 nor a configured unit"),
        (978, "currency 978: expected a code as text, such as EUR"),
        (None, "currency None: expected a code as text, such as EUR"),
        (["EUR"], "currency ['EUR']: expected a code as text, such as EUR"),
    ],
)
def test_unknown_codes_are_refused_with_the_nearest(code: str, message: str) -> None:
    """A typo is answered with the code that was meant."""
    with pytest.raises(UnknownCurrency) as caught:
        ISO_4217.lookup(code)
    assert str(caught.value) == message
    assert type(caught.value) is UnknownCurrency


def test_where_no_currency_is_known_none_is_nearest() -> None:
    """A registry of nothing refuses every code as any other would."""
    with pytest.raises(UnknownCurrency) as caught:
        CurrencyRegistry({}, {}, "2026-01-01").lookup("EUR")
    assert str(caught.value).endswith("neither in ISO 4217 of 2026-01-01 nor a configured unit")


def test_a_very_long_code_is_shown_cut_and_compared_by_its_beginning() -> None:
    """A payload in the code's place neither floods the log nor the search."""
    with pytest.raises(UnknownCurrency) as caught:
        ISO_4217.lookup("E" * 100_000)
    assert str(caught.value) == (
        f"currency '{'E' * 39}...: neither in ISO 4217 of 2026-01-01 nor a configured unit"
    )


def test_the_nearest_code_is_that_of_the_first_twelve_characters() -> None:
    """What follows the longest possible code does not count."""
    extended = ISO_4217.with_units(Currency("ABCDEFGHIJKL", 0))
    with pytest.raises(UnknownCurrency, match="did you mean ABCDEFGHIJKL"):
        extended.lookup("LKJIHGFEDCBAZ")


def test_contains_and_iterates_its_currencies() -> None:
    """A registry is a collection of currencies asked by code."""
    assert "EUR" in ISO_4217
    assert "HRK" not in ISO_4217
    assert [c.code for c in ISO_4217][:2] == ["AED", "AFN"]
    assert str(ISO_4217.lookup("EUR")) == "EUR"


def test_units_of_the_configuration_are_added_to_a_new_registry() -> None:
    """The registry that was asked stays as it was."""
    gem, bitcoin = Currency("GEM", 0, "Gems"), Currency("BTC", 8, "Bitcoin")
    extended = ISO_4217.with_units(gem, bitcoin)
    assert extended.lookup("BTC") is bitcoin
    assert (len(extended), len(ISO_4217)) == (180, 178)
    assert "BTC" not in ISO_4217
    assert extended.lookup("EUR") is ISO_4217.lookup("EUR")
    assert gem.kind is CurrencyKind.CUSTOM


@pytest.mark.parametrize("code", ["EUR", "HRK"])
def test_units_cannot_take_a_code_of_the_standard(code: str) -> None:
    """Neither a current nor a withdrawn code can mean something else."""
    with pytest.raises(InvalidMoneyRule) as caught:
        ISO_4217.with_units(Currency(code, 2))
    assert str(caught.value) == f"unit {code}: the code is taken; choose one that no list uses"


def test_units_cannot_be_added_twice() -> None:
    """Two units of one code are refused, though neither is in the standard."""
    with pytest.raises(InvalidMoneyRule, match="unit GEM: the code is taken"):
        ISO_4217.with_units(Currency("GEM", 0), Currency("GEM", 2))


@pytest.mark.parametrize(
    "code",
    ["", "EU", "eur", "1UP", "E R", "EURO-X", "ABCDEFGHIJKLM", "\u00c4BC", "\u0661\u0661\u0661", 978, "eUR"],
)
def test_malformed_codes_are_refused(code: str) -> None:
    """Three to twelve upper-case ASCII letters or digits, a letter first."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Currency(code, 2)
    assert str(caught.value) == (
        f"currency code {code!r}: expected 3 to 12 upper-case letters or digits, a letter first"
    )


@pytest.mark.parametrize("code", ["GEM", "A12", "ABCDEFGHIJKL"])
@pytest.mark.parametrize("exponent", [0, 12])
def test_the_shortest_and_longest_codes_and_exponents_are_accepted(code: str, exponent: int) -> None:
    """Both ends of what is allowed are allowed."""
    assert Currency(code, exponent).exponent == exponent


@pytest.mark.parametrize("exponent", [-1, 13, True, 2.0, "2"])
def test_impossible_exponents_are_refused(exponent: int) -> None:
    """An exponent is an integer from 0 to 12."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Currency("GEM", exponent)
    assert str(caught.value) == f"currency GEM: exponent {exponent!r}, expected an integer from 0 to 12"


@pytest.mark.parametrize("increment", [0, -5, True, 1.0])
def test_impossible_cash_increments_are_refused(increment: int) -> None:
    """A cash increment is a positive number of minor units."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Currency("GEM", 0, cash_increment=increment)
    assert str(caught.value) == f"currency GEM: cash increment {increment!r}, expected 1 or more minor units"


@pytest.mark.parametrize(
    "code, increment",
    [("CHF", 5), ("SEK", 100), ("DKK", 50), ("HUF", 500), ("NZD", 10), ("EUR", 1), ("JPY", 1), ("USD", 1)],
)
def test_cash_increments_in_minor_units(code: str, increment: int) -> None:
    """Where coins cannot pay a minor unit, the smallest sum they can is known."""
    assert ISO_4217.lookup(code).cash_increment == increment


def test_cash_increments_can_be_configured() -> None:
    """Where only some countries of a currency round, the configuration says so, in a new registry."""
    finland = ISO_4217.with_cash_increments({"EUR": "0.05", "SEK": "2", "JPY": "5", "USD": "0.01"})
    assert [finland.lookup(c).cash_increment for c in ("EUR", "SEK", "JPY", "USD", "CHF")] == [
        5,
        200,
        5,
        1,
        5,
    ]
    assert ISO_4217.lookup("EUR").cash_increment == 1


def test_money_of_two_registries_mixes() -> None:
    """The cash increment is what a registry says of coins: euros are euros with or without it."""
    euro = ISO_4217.lookup("EUR")
    finnish = ISO_4217.with_cash_increments({"EUR": "0.05"}).lookup("EUR")
    assert (euro, hash(euro)) == (finnish, hash(finnish))
    assert Money(1, euro) + Money(2, finnish) == Money(3, finnish)
    assert settle(Amount(123, 2, finnish), Rounding.HALF_EVEN, cash=True).money == Money(125, euro)
    assert Currency("EUR", 2) != euro
    assert Currency("GEM", 2) != Currency("GEM", 3)


@pytest.mark.parametrize(
    "text, decimals, code", [("0.005", 2, "EUR"), ("0", 2, "EUR"), ("-1", 2, "EUR"), ("0.5", 0, "JPY")]
)
def test_cash_increments_that_cannot_be_are_refused(text: str, decimals: int, code: str) -> None:
    """An increment is above zero and has no more digits than the currency."""
    with pytest.raises(InvalidMoneyRule) as caught:
        ISO_4217.with_cash_increments({code: text})
    assert str(caught.value) == (
        f"cash increment of {code}: {text!r}, expected above zero, {decimals} decimals at most"
    )


def test_registries_cannot_be_changed() -> None:
    """Neither a currency nor the table can be written to."""
    with pytest.raises(AttributeError):
        ISO_4217.lookup("EUR").exponent = 3
    with pytest.raises(TypeError):
        ISO_4217.currencies["GEM"] = Currency("GEM", 0)
    with pytest.raises(TypeError):
        ISO_4217.with_units(Currency("GEM", 0)).currencies["EUR"] = Currency("GEM", 0)
    with pytest.raises(TypeError):
        ISO_4217.with_cash_increments({"EUR": "0.05"}).currencies["EUR"] = Currency("GEM", 0)
