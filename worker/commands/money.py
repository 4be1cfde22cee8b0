"""``payment-worker money``: exact conversions, splits and fees for people, with every rounding shown."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from worker.commands.money_options import (
    about,
    read_amount,
    read_currency,
    read_limit,
    read_mode,
    read_percent,
    read_registry,
    read_shares,
    read_terms,
    read_tiers,
    refuse,
    withdrawn_codes,
)
from worker.commands.output import readable_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.money import Currency, RoundingStep

app = typer.Typer(help="Convert, split and charge amounts exactly.", no_args_is_help=True)


class NegativeAmounts(TyperCommand):
    """A command that takes ``-1.00`` for an amount, not for options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; what is a dash and a digit is no option."""
        if any(text[:1] == "-" and text[1:2].isdigit() for text in args):
            ctx.ignore_unknown_options = True
        return super().parse_args(ctx, args)


AmountText = Annotated[str, typer.Argument(metavar="AMOUNT", help="Plain decimal, such as 12.34 or -12.34.")]
Code = Annotated[str, typer.Argument(metavar="CURRENCY", help="ISO 4217 code, or a unit from --unit.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Units = Annotated[
    list[str] | None,
    typer.Option("--unit", metavar="CODE:DECIMALS", help="A unit of your own, such as BTC:8; repeatable."),
]
Mode = Annotated[
    str,
    typer.Option(
        "--rounding", metavar="MODE", help="half_even, half_up, half_down, up, down, ceiling, floor."
    ),
]


@app.command(cls=NegativeAmounts)
def convert(
    amount: AmountText,
    currency: Code,
    to: Annotated[str, typer.Argument(metavar="TO", help="Code of the currency to convert to.")],
    rate: Annotated[str, typer.Option(metavar="RATE", help="How many TO one CURRENCY is worth.")],
    inverse: Annotated[bool, typer.Option(help="The rate says how many CURRENCY one TO is worth.")] = False,
    markup: Annotated[
        int, typer.Option(metavar="BPS", min=0, max=9999, help="Basis points that the customer gets less.")
    ] = 0,
    rounding: Mode = "half_even",
    unit: Units = None,
    as_json: Json = False,
) -> None:
    """Convert an amount by a rate, with the remainder."""
    with readable_errors():
        from worker.money import Rate

        registry = read_registry(unit)
        given = read_amount(amount, read_currency(registry, currency, "CURRENCY"))
        pair = (given.currency, read_currency(registry, to, "TO"))
        base, quote = reversed(pair) if inverse else pair
        with about("--rate"):
            used = Rate.parse(rate, base, quote, source="command line", as_of=0)
        used = used.inverse() if inverse else used
        used = used.with_markup(markup) if markup else used
        record = used.convert(given, read_mode(rounding))
        how = f" ({', '.join(used.derivation)})" if used.derivation else ""
        _show(
            {
                "given": {"value": str(given), "currency": given.currency.code},
                "result": {"value": str(record.result), "currency": record.result.currency.code},
                "rate": {"pair": used.pair, "value": str(used), "derivation": list(used.derivation)},
            },
            [
                ("given", str(given), given.currency.code),
                (f"rate {used.pair}{how}", str(used), ""),
                ("result", str(record.result), record.result.currency.code),
            ],
            [record.step],
            as_json=as_json,
        )


@app.command(cls=NegativeAmounts)
def allocate(
    amount: AmountText,
    currency: Code,
    share: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=WEIGHT", help="30%, 3 (a ratio) or rest; A/B=2% is taken out of A; repeatable."
        ),
    ],
    cash: Annotated[bool, typer.Option(help="Only sums that coins can pay, such as 0.05 CHF.")] = False,
    unit: Units = None,
    as_json: Json = False,
) -> None:
    """Split an amount among shares, to the unit."""
    with readable_errors():
        from worker.errors import InvalidAmount
        from worker.money import Money, Split

        of = read_currency(read_registry(unit), currency, "CURRENCY")
        with about("AMOUNT"):
            whole = Money.parse(amount, of)
        with about("--share"):
            split = Split(read_shares(share))
        with about("--cash", InvalidAmount):
            allocated = split.allocate(whole, cash=cash)
        shares = {part.path: str(part.money) for part in allocated}
        _show(
            {"whole": {"value": str(whole), "currency": currency}, "shares": shares},
            [
                *((path, value, currency) for path, value in shares.items()),
                ("sum", str(whole), currency),
            ],
            [part.step for part in allocated],
            as_json=as_json,
        )


@app.command(cls=NegativeAmounts)
def fees(
    amount: AmountText,
    currency: Code,
    percent: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="Of the amount, such as 2.9.")
    ] = None,
    fixed: Annotated[str | None, typer.Option(metavar="SUM", help="A sum a payment, such as 0.30.")] = None,
    per_item: Annotated[str | None, typer.Option(metavar="SUM", help="A sum an item.")] = None,
    items: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", min=0, max=1_000_000, help="Items that --per-item counts; 1 if not given."
        ),
    ] = None,
    minimum: Annotated[str | None, typer.Option(metavar="SUM", help="The fee is never less.")] = None,
    maximum: Annotated[str | None, typer.Option(metavar="SUM", help="The fee is never more.")] = None,
    tier: Annotated[
        list[str] | None,
        typer.Option(metavar="[UP_TO=]PERCENT", help="A step of tiered percentages, the last without UP_TO."),
    ] = None,
    volume: Annotated[bool, typer.Option(help="Tiers charge the whole at one rate, not each slice.")] = False,
    tax: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="Tax on the fee.", show_default=False)
    ] = None,
    on_top: Annotated[
        bool, typer.Option(help="Add the fees to the amount instead of taking them out.")
    ] = False,
    clamp: Annotated[bool, typer.Option(help="Cut fees that exceed the amount instead of refusing.")] = False,
    rounding: Mode = "half_even",
    unit: Units = None,
    as_json: Json = False,
) -> None:
    """Charge fees on an amount, with every rounding."""
    with readable_errors():
        from worker.errors import AmountNotPositive, InvalidMoneyRule
        from worker.money import FeeComponent, FeeMode, FeeSchedule, TaxComponent, WhenFeeExceeds

        if percent is fixed is per_item is minimum is None and not tier:
            refuse("fees: none is given; name --percent, --fixed, --per-item, --tier or --minimum")
        if items is not None and per_item is None:
            refuse("--items: it counts what --per-item charges; give that too")
        if volume and not tier:
            refuse("--volume: it says how each --tier is charged; give those too")
        if on_top and clamp:
            refuse("--clamp: fees that are added --on-top never exceed the amount; choose one of the two")
        of = read_currency(read_registry(unit), currency, "CURRENCY")
        terms = [
            *read_terms(currency, percent, fixed, per_item),
            *read_tiers(of, tier or [], volume=volume),
        ]
        low, high = read_limit(of, minimum, "--minimum"), read_limit(of, maximum, "--maximum")
        fee = FeeComponent("fee", tuple(terms), low, high)
        taxes = () if tax is None else (TaxComponent("tax", read_percent(tax, "--tax")),)
        schedule = FeeSchedule(
            "command line",
            (fee, *taxes),
            read_mode(rounding),
            FeeMode.EXCLUSIVE if on_top else FeeMode.INCLUSIVE,
            WhenFeeExceeds.CLAMP if clamp else WhenFeeExceeds.ERROR,
        )
        whole = read_amount(amount, of)
        with about("--maximum", InvalidMoneyRule):  # all else is checked by now
            compiled = schedule.compile(of)
        with about("AMOUNT", AmountNotPositive):
            charge = compiled.explain(whole, 1 if items is None else items)
        charged = {fee.name: str(fee.money) for fee in charge.fees}
        _show(
            {"currency": currency, "gross": str(charge.gross), "net": str(charge.net), "fees": charged},
            [
                ("gross", str(charge.gross), currency),
                *((name, value, currency) for name, value in charged.items()),
                ("net", str(charge.net), currency),
            ],
            charge.trail,
            as_json=as_json,
        )


@app.command()
def currencies(
    code: Annotated[list[str] | None, typer.Argument(metavar="[CODE]...", help="Only these codes.")] = None,
    withdrawn: Annotated[
        bool, typer.Option(help="The codes that ISO 4217 has withdrawn, with successors.")
    ] = False,
    unit: Units = None,
    as_json: Json = False,
) -> None:
    """List currencies: decimals, cash increment, kind."""
    with readable_errors():
        registry = read_registry(unit)
        if withdrawn:
            rows: list[dict[str, str | int | None]] = [
                {"code": old.code, "withdrawn": old.date, "successor": old.successor, "name": old.name}
                for old in withdrawn_codes(registry, code)
            ]
        else:
            wanted = [read_currency(registry, each, "CODE") for each in code] if code else list(registry)
            rows = [_currency_row(each) for each in wanted]
        if as_json:
            _print_json({"published": registry.published, "currencies": rows})
        else:
            texts = [["" if value is None else str(value) for value in row.values()] for row in rows]
            _print_table(list(rows[0]), texts)
            codes = "1 code" if len(rows) == 1 else f"{len(rows)} codes"
            typer.echo(f"{codes}; ISO 4217 of {registry.published}")


def _currency_row(currency: "Currency") -> dict[str, str | int | None]:
    from worker.money import format_units

    smallest = format_units(currency.cash_increment, currency.exponent)
    return {
        "code": currency.code,
        "number": currency.numeric,
        "decimals": currency.exponent if currency.settleable else None,
        "cash": smallest if currency.settleable else None,
        "kind": currency.kind.value,
        "name": currency.name,
    }


def _show(
    result: dict[str, object],
    rows: "Iterable[tuple[str, str, str]]",
    trail: "Sequence[RoundingStep]",
    *,
    as_json: bool,
) -> None:
    if as_json:
        _print_json({**result, "trail": [step.as_dict() for step in trail]})
        return
    _print_table(["", "amount", "currency"], map(list, rows))
    for step in trail:
        typer.echo(f"{step.verb} {step}")


def _print_table(headings: list[str], rows: "Iterable[list[str]]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in headings:
        right = heading in {"amount", "decimals", "cash", "number"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)


def _print_json(result: dict[str, object]) -> None:
    from json import dumps

    typer.echo(dumps(result, indent=2, ensure_ascii=False))
