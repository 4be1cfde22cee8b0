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


def test_allocate_by_percentages_rest_and_nested_shares() -> None:
    """The split of a marketplace."""
    shown = run_json(
        "allocate", "10.01", "EUR",
        "--share", "seller=rest", "--share", "platform=30%", "--share", "platform/referral=2%",
    )  # fmt: skip
    assert shown == {
        "whole": {"value": "10.01", "currency": "EUR"},
        "shares": {"seller": "7.01", "platform": "2.94", "platform/referral": "0.06"},
        "trail": [],
    }


def test_allocate_negative_cash_by_ratios() -> None:
    """A negative amount goes after the dashes; cash goes by its increment."""
    output = run("allocate", "--share", "a=1", "--share", "b=2", "--cash", "--", "-1.00", "CHF")
    assert "-0.35" in output
    assert "-0.65" in output
    assert "-1.00" in output


@pytest.mark.parametrize(
    "share, message",
    [
        ("a", "error: share 'a': expected a name and a weight, such as platform=30%"),
        ("a=x", "error: share 'a=x': the weight must be a percentage (30%), a ratio (3) or rest"),
        ("a=-1", "error: share 'a=-1': the weight must be a percentage (30%), a ratio (3) or rest"),
        ("b/c=1%", "error: share 'b/c': there is no share 'b' that it could be inside of"),
        ("a=1e1%", "error: percentage '1e1': expected plain decimal text, such as \"2.9\""),
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
        (("fees", "1", "HRK"), 1, "error: currency HRK (Kuna): ISO 4217 withdrew it"),
        (("fees", "1e3", "EUR"), 1, "error: amount '1e3': expected a plain decimal"),
        (("fees", "1", "EUR", "--rounding", "carry", "--fixed", "0.1"), 2, "error: rounding carry: it needs"),
        (
            ("fees", "1", "EUR", "--rounding", "flor"),
            2,
            "error: rounding 'flor': did you mean floor?",
        ),
        (("currencies", "EUR", "--unit", "BTC"), 2, "error: unit 'BTC': expected a code and its decimals"),
        (
            ("currencies", "EUR", "--unit", "BTC:x"),
            2,
            "error: unit 'BTC:x': expected a code and its decimals",
        ),
    ],
)
def test_errors_are_one_readable_line(arguments: tuple[str, ...], code: int, message: str) -> None:
    """Payment errors exit with 1, configuration errors with 2, neither with a traceback."""
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
                "code": "CHF", "number": "756", "decimals": "2", "cash": "0.05", "kind": "currency",
                "name": "Swiss Franc",
            },
            {"code": "XAU", "number": "959", "decimals": "", "cash": "", "kind": "metal", "name": "Gold"},
            {
                "code": "BTC", "number": "", "decimals": "8", "cash": "0.00000001", "kind": "custom",
                "name": "BTC",
            },
        ],
    }  # fmt: skip
    assert "178 codes; ISO 4217 of 2026-01-01" in run("currencies")


def test_withdrawn_codes_are_listed_with_their_successors() -> None:
    """What replaced a code, and when."""
    rows = run_json("currencies", "--withdrawn")["currencies"]
    assert {"code": "HRK", "withdrawn": "2023-01", "successor": "EUR", "name": "Kuna"} in rows
    assert len(rows) == 129
