"""``payment-worker money``: what people type, and what they get."""

import json

import pytest
from typer.testing import CliRunner

from worker.commands.money import app


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.output


def run_json(*arguments: str) -> dict[str, object]:
    return json.loads(run(*arguments, "--json"))


def test_convert_shows_rate_result_and_trail() -> None:
    """The record of a conversion with a markup."""
    assert run_json("convert", "12.34", "EUR", "USD", "--rate", "1.0847", "--markup", "50") == {
        "given": {"value": "12.34", "currency": "EUR"},
        "result": {"value": "13.32", "currency": "USD"},
        "rate": {"pair": "EUR/USD", "value": "1.0792765", "derivation": ["markup of 50 basis points"]},
        "trail": [
            {
                "step": "convert EUR/USD",
                "exact": "13.31827201",
                "mode": "half_even",
                "result": "13.32",
                "remainder": "-0.00172799",
                "currency": "USD",
            }
        ],
    }


def test_convert_by_a_rate_the_other_way_round() -> None:
    """--inverse takes the rate as it is published for the other direction, and --rounding a mode."""
    shown = run_json("convert", "10", "USD", "EUR", "--rate", "1.25", "--inverse", "--rounding", "down")
    assert (shown["result"], shown["rate"]["pair"]) == ({"value": "8.00", "currency": "EUR"}, "USD/EUR")
    assert shown["rate"]["derivation"] == ["inverse of EUR/USD"]


def test_convert_prints_a_table_and_the_rounding() -> None:
    """People see both amounts and how the second was rounded."""
    output = run("convert", "12.34", "EUR", "USD", "--rate", "1.0847")
    assert "13.39" in output
    assert "rounded convert EUR/USD: 13.385198 -> 13.39 USD (half_even, remainder -0.004802)" in output
    assert "rate EUR/USD │ 1.0847" in " ".join(output.split())
    output = run("convert", "12", "EUR", "USD", "--rate", "1.25", "--markup", "100")
    assert "rate EUR/USD (markup of 100 basis points) │ 1.2375" in " ".join(output.split())
    assert "exact convert EUR/USD: 14.85 -> 14.85 USD" in output


def test_allocate_by_percentages_rest_and_nested_shares() -> None:
    """The split of a marketplace."""
    shown = run_json(
        "allocate", "10.01", "EUR",
        "--share", "seller=rest", "--share", "platform=30%", "--share", "platform/referral=2%",
    )  # fmt: skip
    assert shown == {
        "whole": {"value": "10.01", "currency": "EUR"},
        "shares": {"seller": "7.01", "platform": "2.94", "platform/referral": "0.06"},
        "trail": [
            {
                "step": path, "exact": exact, "mode": "largest_remainder", "result": result,
                "remainder": remainder, "currency": "EUR",
            }
            for path, exact, result, remainder in (
                ("seller", "7.007", "7.01", "-0.003"),
                ("platform", "2.94294", "2.94", "0.00294"),
                ("platform/referral", "0.06006", "0.06", "0.00006"),
            )
        ],
    }  # fmt: skip


def test_allocate_prints_each_exact_share() -> None:
    """People see what each share is exactly, what it got and the difference."""
    output = run("allocate", "1.00", "EUR", "--share", "a=1", "--share", "b=2")
    assert "allocated a: 1/3 -> 0.33 EUR (largest_remainder, remainder 1/300)" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("allocate", "-1.00", "EUR", "--share", "a=1"),
        ("allocate", "--share", "a=1", "-1.00", "EUR"),
        ("convert", "-1.00", "EUR", "USD", "--rate", "1"),
        ("convert", "--rate", "1", "--", "-1.00", "EUR", "USD"),
    ],
)
def test_a_negative_amount_is_no_option(arguments: tuple[str, ...]) -> None:
    """A dash and a digit begin an amount, wherever it stands; -- works as everywhere."""
    assert "-1.00" in run(*arguments)


def test_options_are_still_checked_beside_a_negative_amount() -> None:
    """What is misspelt is an error either way."""
    assert "--shore" in run("allocate", "-1.00", "EUR", "--share", "a=1", "--shore", "b=1", code=2)
    assert "--share" in run("allocate", "1.00", "EUR", "--share", "a=1", "--shar", "b=1", code=2)


def test_allocate_negative_cash_by_ratios() -> None:
    """A negative amount goes after the dashes; cash goes by its increment."""
    output = run("allocate", "--share", "a=1", "--share", "b=2", "--cash", "--", "-1.00", "CHF")
    assert "-0.35" in output
    assert "-0.65" in output
    assert "-1.00" in output


@pytest.mark.parametrize(
    "share, message",
    [
        ("=1", "error: --share: share '=1': expected a name and a weight, such as platform=30%"),
        ("/b=1", "error: --share: share '/b=1': expected a name and a weight, such as platform=30%"),
        ("a/=1", "error: --share: share 'a/=1': expected a name and a weight, such as platform=30%"),
        ("a", "error: --share: share 'a': expected a name and a weight, such as platform=30%"),
        ("a=x", "error: --share: share 'a=x': the weight must be a percentage (30%), a ratio (3) or rest"),
        ("a=-1", "error: --share: share 'a=-1': the weight must be a percentage (30%), a ratio (3) or rest"),
        ("b/c=1%", "error: --share: share 'b/c': there is no share 'b' that it could be inside of"),
        ("a=1e1%", "error: --share: percentage '1e1': expected plain decimal text, such as \"2.9\""),
    ],
)
def test_shares_that_make_no_sense_are_refused(share: str, message: str) -> None:
    """One readable line, and the exit code of a configuration error."""
    assert run("allocate", "1", "EUR", "--share", share, code=2).strip() == message


def test_fees_are_charged_with_the_trail() -> None:
    """Percentage, fixed sum, minimum and tax."""
    shown = run_json(
        "fees", "12.345", "EUR", "--percent", "2.9", "--fixed", "0.30", "--minimum", "0.50", "--tax", "20"
    )
    assert (shown["gross"], shown["net"], shown["fees"]) == (
        "12.345",
        "11.555",
        {"fee": "0.66", "tax": "0.13"},
    )
    assert [step["exact"] for step in shown["trail"]] == ["0.658005", "0.132"]


@pytest.mark.parametrize(
    "arguments, net, fee",
    [
        (("--tier", "100=2.9", "--tier", "2.1"), "146.05", "3.95"),
        (("--tier", "100=2.9", "--tier", "2.1", "--volume"), "146.85", "3.15"),
        (("--per-item", "0.5", "--items", "3"), "148.50", "1.50"),
        (("--percent", "10", "--maximum", "2"), "148.00", "2.00"),
        (("--percent", "10", "--on-top"), "150.00", "15.00"),
        (("--fixed", "200", "--clamp"), "0.00", "150.00"),
        (("--percent", "0.01", "--rounding", "up"), "149.98", "0.02"),
    ],
)
def test_fee_options(arguments: tuple[str, ...], net: str, fee: str) -> None:
    """Tiers, items, limits, fees on top, clamping and rounding."""
    shown = run_json("fees", "150", "EUR", *arguments)
    assert (shown["net"], shown["fees"]) == (net, {"fee": fee})


def test_fees_print_a_table_and_the_roundings() -> None:
    """People see gross, every fee and net, then each rounding on a line."""
    output = run("fees", "12.345", "EUR", "--percent", "2.9")
    for word in ("gross", "12.345", "net", "11.985", "rounded fee: 0.358005 -> 0.36 EUR"):
        assert word in output


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (("fees", "1", "EUR", "--fixed", "2"), 1, "error: fees command line: 2.00 EUR of an amount of 1.00"),
        (
            ("fees", "1", "HRK", "--percent", "1"),
            2,
            "error: CURRENCY: currency HRK (Kuna): ISO 4217 withdrew it",
        ),
        (
            ("fees", "1e3", "EUR", "--percent", "1"),
            2,
            "error: AMOUNT: amount '1e3': expected a plain decimal",
        ),
        (("fees", "1", "EUR", "--rounding", "carry", "--fixed", "0.1"), 2, "error: --rounding: carry needs"),
        (("fees", "1", "EUR"), 2, "error: fees: none is given; name --percent, --fixed, --per-item"),
        (("fees", "1", "EUR", "--tax", "20", "--maximum", "1"), 2, "error: fees: none is given"),
        (("fees", "1", "EUR", "--percent", "x"), 2, "error: --percent: percentage 'x'"),
        (("fees", "1", "EUR", "--fixed", "-1"), 2, "error: --fixed: price '-1' in EUR"),
        (("fees", "1", "EUR", "--per-item", "x"), 2, "error: --per-item: amount 'x'"),
        (("fees", "1", "EUR", "--minimum", "x"), 2, "error: --minimum: amount 'x'"),
        (("fees", "1", "EUR", "--percent", "1", "--maximum", "x"), 2, "error: --maximum: amount 'x'"),
        (("fees", "1", "EUR", "--percent", "1", "--tax", "x"), 2, "error: --tax: percentage 'x'"),
        (("fees", "1", "EUR", "--tier", "x=1"), 2, "error: --tier: amount 'x'"),
        (("fees", "1", "EUR", "--tier", "5=1"), 2, "error: --tier: tiers: the last one must be open-ended"),
        (("fees", "1", "EUR", "--percent", "1", "--items", "3"), 2, "error: --items: it counts what --per"),
        (("fees", "1", "EUR", "--percent", "1", "--volume"), 2, "error: --volume: it says how each --tier"),
        (("fees", "1", "EUR", "--percent", "1", "--on-top", "--clamp"), 2, "error: --clamp: fees that are"),
        (("fees", "-1", "EUR", "--percent", "1"), 2, "error: AMOUNT: amount -1: fees are charged on amounts"),
        (("allocate", "1.001", "EUR", "--share", "a=1"), 2, "error: AMOUNT: amount '1.001'"),
        (("allocate", "1", "EUR", "--share", "a=1%"), 2, "error: --share: shares: 99 % are left over"),
        (
            ("allocate", "1.01", "CHF", "--share", "a=1", "--cash"),
            2,
            "error: --cash: amount 1.01 CHF: no multiple of 0.05 in cash; round it first",
        ),
        (
            ("fees", "5", "JPY", "--percent", "1", "--minimum", "0.5"),
            2,
            "error: --minimum: amount '0.5': JPY has 0 digits after the point, not 1",
        ),
        (
            ("fees", "5", "EUR", "--percent", "1", "--maximum", "0.001"),
            2,
            "error: --maximum: amount '0.001': EUR has 2 digits after the point, not 3",
        ),
        (
            ("fees", "5", "EUR", "--percent", "1", "--minimum", "2", "--maximum", "1"),
            2,
            "error: --maximum: fee fee: the maximum in EUR is below the minimum",
        ),
        (
            ("fees", "5", "EUR", "--tier", "9=1", "--tier", "5=1", "--tier", "0"),
            2,
            "error: --tier: tiers: the bounds in EUR must rise from above zero",
        ),
        (
            ("convert", "1", "EUR", "USD", "--rate", "0"),
            2,
            "error: --rate: rate EUR/USD '0': expected a plain",
        ),
        (
            ("convert", "1", "EUR", "USD", "--rate", "-1"),
            2,
            "error: --rate: rate EUR/USD '-1': expected a plain",
        ),
        (("convert", "1", "EUR", "USD", "--rate", "abc"), 2, "error: --rate: rate EUR/USD 'abc': expected a"),
        (("convert", "1", "XAU", "EUR", "--rate", "3000"), 2, "error: CURRENCY: currency XAU (Gold)"),
        (("convert", "1", "EUR", "XXX", "--rate", "1"), 2, "error: TO: currency XXX"),
        (("convert", "1", "EUR", "USF", "--rate", "1"), 2, "error: TO: currency 'USF'"),
        (("currencies", "EUT"), 2, "error: CODE: currency 'EUT'"),
        (
            ("currencies", "EUR", "--withdrawn"),
            2,
            "error: CODE: 'EUR' is no code that ISO 4217 has withdrawn; it",
        ),
        (
            ("currencies", "HRR", "--withdrawn"),
            2,
            "error: CODE: 'HRR' is no code that ISO 4217 has withdrawn; did",
        ),
        (
            ("currencies", "1", "--withdrawn"),
            2,
            "error: CODE: '1' is no code that ISO 4217 has withdrawn; list",
        ),
        (("currencies", "--unit", "EUR:2"), 2, "error: --unit: unit EUR: the code is taken"),
        (("currencies", "--unit", "e:2"), 2, "error: --unit: currency code 'e'"),
        (
            ("fees", "1", "EUR", "--percent", "1", "--rounding", "flor"),
            2,
            "error: --rounding: rounding 'flor': did you mean floor?",
        ),
        (("currencies", "EUR", "--unit", "BTC"), 2, "error: --unit: 'BTC', expected a code and its decimals"),
        (
            ("currencies", "EUR", "--unit", "BTC:x"),
            2,
            "error: --unit: 'BTC:x', expected a code and its decimals",
        ),
    ],
)
def test_errors_are_one_readable_line(arguments: tuple[str, ...], code: int, message: str) -> None:
    """Bad values name their option and exit with 2, a refused charge with 1, neither with a traceback."""
    output = run(*arguments, code=code)
    assert output.startswith(message)
    assert "Traceback" not in output


def test_currencies_list_all_or_some() -> None:
    """Codes, numbers, decimals, cash increments, kinds and names, with the table's date."""
    shown = run_json("currencies", "CHF", "XAU", "BTC", "--unit", "BTC:8")
    assert shown == {
        "published": "2026-01-01",
        "currencies": [
            {
                "code": "CHF", "number": "756", "decimals": 2, "cash": "0.05", "kind": "currency",
                "name": "Swiss Franc",
            },
            {"code": "XAU", "number": "959", "decimals": None, "cash": None, "kind": "metal", "name": "Gold"},
            {
                "code": "BTC", "number": None, "decimals": 8, "cash": "0.00000001", "kind": "custom",
                "name": "BTC",
            },
        ],
    }  # fmt: skip
    assert "178 codes; ISO 4217 of 2026-01-01" in run("currencies")
    assert "1 code; ISO 4217 of 2026-01-01" in run("currencies", "EUR")


def test_withdrawn_codes_are_listed_with_their_successors() -> None:
    """What replaced a code, and when."""
    rows = run_json("currencies", "--withdrawn")["currencies"]
    assert {"code": "HRK", "withdrawn": "2023-01", "successor": "EUR", "name": "Kuna"} in rows
    assert len(rows) == 129
    assert [row["code"] for row in run_json("currencies", "HRK", "DEM", "--withdrawn")["currencies"]] == [
        "HRK",
        "DEM",
    ]
