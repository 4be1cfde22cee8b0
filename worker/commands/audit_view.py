"""How an audit looks: what was received and where it is, in count and in money, and what does not fit."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.bookkeeping.audit import Audit, CurrencyBooks, Place, Sum
from worker.bookkeeping.carried import CarryBooks
from worker.bookkeeping.depths import Comparison
from worker.commands.plain import grouped, result_console, safe, write_json
from worker.dead_letters import plain_amount
from worker.money.trail import exact_text

SHOWN: Final = 20
_HEADINGS: Final = {
    Place.DISPATCHED: "dispatched",
    Place.DELAYED: "delayed",
    Place.HELD: "held",
    Place.DEAD_LETTERED: "dead letters",
    Place.IN_FLIGHT: "in flight",
    Place.DUPLICATES: "repeats",
    Place.UNCLAIMED: "unclaimed",
}


def show_audit(
    audit: Audit,
    comparisons: Sequence[Comparison] = (),
    console: Console | None = None,
    *,
    amounts: bool = True,
) -> None:
    """Show sums by currency, in count and with ``amounts`` in money, what does not fit, and the verdict."""
    console = console or result_console()
    if audit.currencies:
        shown = {Place.DISPATCHED, *((Place.DEAD_LETTERED,) if audit.unread else ())}
        places = [place for place in Place if place in shown or audit.count(place)]
        console.print(_counts(audit, places))
        if amounts:
            console.print(_amounts(audit, places))
    if amounts and audit.carries:
        console.print(_remainders(audit.carries))
    if comparisons:
        console.print(_comparisons(comparisons))
    if audit.misfits:
        table = Table("payment", "what does not fit", box=SIMPLE_HEAD)
        for misfit in audit.misfits[:SHOWN]:
            table.add_row(safe(misfit.name), safe(misfit.problem))
        console.print(table)
        if audit.problems > SHOWN:
            console.print(f"and {audit.problems - SHOWN:,} more; --json names {len(audit.misfits):,}")
    for line in _verdict(audit):
        console.print(Text(line, style="bold" if audit.fits else "bold red"))


def _counts(audit: Audit, places: Sequence[Place]) -> Table:
    columns = [_HEADINGS[place] for place in places]
    table = _sums("Payments", "received", columns)
    for currency, books in sorted(audit.currencies.items()):
        counts = [books.places[place].count for place in places]
        row = (books.received.count, *counts, books.off_by.count)
        table.add_row(safe(currency), *(f"{count:,}" for count in row), style=_style(books))
    if audit.unread:
        cells = [f"{audit.unread:,}" if place is Place.DEAD_LETTERED else "0" for place in places]
        table.add_row("no payment", f"{audit.unread:,}", *cells, "0")
    return table


def _amounts(audit: Audit, places: Sequence[Place]) -> Table:
    """Return the table of money, where what was dispatched is its fees and its net."""
    others = places[1:]
    table = _sums("Amounts", "received", ["fees", "net", *(_HEADINGS[place] for place in others)])
    for currency, books in sorted(audit.currencies.items()):
        parts = (books.fees, books.net, *(books.places[place].units for place in others))
        row = (books.received.units, *parts, books.received.units - sum(parts))
        cells = (grouped(plain_amount(units, currency)) for units in row)
        table.add_row(safe(currency), *cells, style=_style(books))
    return table


def _remainders(carries: dict[str, CarryBooks]) -> Table:
    table = _sums("Remainders", "exact fees", ["charged", "carried on"])
    for currency, books in sorted(carries.items()):
        row = (books.exact, books.charged, books.left, books.exact - books.charged - books.left)
        table.add_row(safe(currency), *map(_exact, row))
    return table


def _comparisons(comparisons: Sequence[Comparison]) -> Table:
    table = Table("", "journal", "broker", box=SIMPLE_HEAD, title="In the broker", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in comparisons:
        cells = (_HEADINGS[one.place], f"{one.journal:,}", f"{one.broker:,}")
        table.add_row(*cells, style="red" if one.problem else "")
    return table


def _sums(title: str, total: str, parts: Sequence[str]) -> Table:
    headings = [f"{'+' if place else '='} {part}" for place, part in enumerate(parts)]
    table = Table("", total, *headings, "off by", box=SIMPLE_HEAD, title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _style(books: CurrencyBooks) -> str:
    return "" if books.fits else "red"


def _exact(value: Fraction) -> str:
    text = exact_text(value.numerator, value.denominator)
    return text if "/" in text else grouped(text)


def _verdict(audit: Audit) -> Iterator[str]:
    repeats = audit.count(Place.DUPLICATES)
    yield (
        f"{audit.payments:,} payments, {repeats:,} repeats of them, and {audit.unread:,} messages that are no"
        " payment"
    )
    if unclaimed := audit.count(Place.UNCLAIMED):
        yield (
            f"{unclaimed:,} dead letters of payments that were never taken on: another payment has their id,"
            " or they could not be charged"
        )
    if late := audit.late.total():
        yield f"{late:,} deliveries ended while the payment was in another worker's hands"
    if audit.crashed:
        names = ", ".join(sorted(audit.crashed)[:SHOWN]) + (", ..." if len(audit.crashed) > SHOWN else "")
        yield (
            f"{len(audit.crashed):,} payments in flight are in nobody's hands: their messages ended their"
            " workers and are dead letters now (crashed). Their processors may have them; redriven, they go"
            f" there and nowhere else: {names}"
        )
    for currency, books in sorted(audit.carries.items()):
        if books.anew:
            yield (
                f"{books.anew:,} payments in {currency} were charged by other rules in the end;"
                f" {_exact(books.left_anew)} of theirs stays in the remainders"
            )
    if audit.fits:
        yield "Every payment is somewhere, once, and the money adds up."
    else:
        yield f"The books do NOT balance: {audit.problems:,} problems."


def write_audit(audit: Audit, comparisons: Sequence[Comparison] = ()) -> None:
    """Write an audit as JSON; amounts as plain decimals, remainders as exact decimals or fractions."""
    write_json(
        {
            "fits": audit.fits,
            "payments": audit.payments,
            "no_payment": audit.unread,
            "crashed": sorted(audit.crashed),
            "late": {happening.value: count for happening, count in audit.late.items()},
            "currencies": {
                currency: _currency_json(currency, books)
                for currency, books in sorted(audit.currencies.items())
            },
            "remainders": {
                currency: {
                    "payments": books.payments,
                    "exact": _exact_plain(books.exact),
                    "charged": _exact_plain(books.charged),
                    "carried_on": _exact_plain(books.left),
                    "charged_anew": books.anew,
                }
                for currency, books in sorted(audit.carries.items())
            },
            "broker": [one._asdict() for one in comparisons],
            "problems": audit.problems,
            "misfits": [{"name": misfit.name, "problem": misfit.problem} for misfit in audit.misfits],
        }
    )


def _currency_json(currency: str, books: CurrencyBooks) -> dict[str, Any]:
    def text(units: int) -> str:
        return plain_amount(units, currency)

    def both(one: Sum) -> dict[str, Any]:
        return {"count": one.count, "amount": text(one.units)}

    return {
        "received": both(books.received),
        **{place.value: both(one) for place, one in books.places.items()},
        "off_by": both(books.off_by),
        "gross": text(books.gross),
        "fees": text(books.fees),
        "net": text(books.net),
    }


def _exact_plain(value: Fraction) -> str:
    return exact_text(value.numerator, value.denominator)
