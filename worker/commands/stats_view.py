"""How statistics look: a row for each combination, amounts where they are of one currency."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from worker.bookkeeping.stats import Row
from worker.commands.plain import grouped, result_console, safe, write_json
from worker.dead_letters import plain_amount
from worker.journal.books import Dimension
from worker.journal.entries import Happening
from worker.journal.times import HOUR, moment

Values = tuple[str | int | None, ...]
_WORDS: Final = {
    Happening.DISPATCHED: "dispatched",
    Happening.REFUSED: "refused",
    Happening.DELAYED: "delayed",
    Happening.HELD: "held",
    Happening.DEAD_LETTERED: "dead letters",
    Happening.RETURNED: "returned",
    Happening.DUPLICATE: "repeats",
    Happening.ABANDONED: "taken over",
}


def show_stats(by: Sequence[Dimension], rows: Mapping[Values, Row]) -> None:
    """Show a table, with sums at its end."""
    console = result_console()
    if not rows:
        console.print("nothing happened in that time")
        return
    shown = [one for one in _WORDS if any(row.counts[one] for row in rows.values())]
    amounts = ["gross", "fees", "net"] if Dimension.CURRENCY in by else []
    table = Table(*by, *(_WORDS[one] for one in shown), *amounts, box=SIMPLE_HEAD)
    for column in table.columns[len(by) :]:
        column.justify = "right"
    sums: defaultdict[str | int | None, Row] = defaultdict(Row)
    place = by.index(Dimension.CURRENCY) if amounts else None
    for values, row in sorted(rows.items(), key=_order):
        currency = None if place is None else values[place]
        sums[currency].add(row)
        names = [safe(_name(one, value)) for one, value in zip(by, values, strict=True)]
        table.add_row(*names, *_counts(row, shown), *_amounts(row, currency, amounts))
    table.add_section()
    if list(by) == [Dimension.CURRENCY]:
        sums.clear()  # they would be the rows again
    for currency, row in sorted(sums.items(), key=lambda item: (item[0] is None, item[0] or "")):
        heads = ["all", *([""] * (len(by) - 1))]
        if place is not None:
            name = _name(Dimension.CURRENCY, currency)
            heads[place] = f"all {name}" if place == 0 else name
        table.add_row(
            *map(safe, heads), *_counts(row, shown), *_amounts(row, currency, amounts), style="bold"
        )
    console.print(table)
    if not amounts:
        console.print("amounts of several currencies do not add up: --by currency shows them")


def write_stats(by: Sequence[Dimension], rows: Mapping[Values, Row]) -> None:
    """Write one JSON object; amounts are of what was dispatched."""
    described = []
    for values, row in sorted(rows.items(), key=_order):
        named = {one.value: _plain(one, value) for one, value in zip(by, values, strict=True)}
        counts = {one.value: row.counts[one] for one in Happening}
        currency = named.get(Dimension.CURRENCY)
        money = {} if currency is None else {
            name: plain_amount(units, currency)
            for name, units in (("gross", row.gross), ("fees", row.fees), ("net", row.net))
        }  # fmt: skip
        described.append({**named, "counts": counts, **money})
    write_json({"by": list(by), "rows": described})


def _order(item: tuple[Values, Row]) -> list[tuple[bool, str | int]]:
    """By values, those that are missing last."""
    return [(value is None, "" if value is None else value) for value in item[0]]


def _plain(dimension: Dimension, value: str | int | None) -> str | None:
    if isinstance(value, int) and dimension is Dimension.HOUR:
        return f"{moment(value * HOUR):%Y-%m-%dT%H}:00:00Z"
    return None if value is None else str(value)


def _name(dimension: Dimension, value: str | int | None) -> str:
    if isinstance(value, int) and dimension is Dimension.HOUR:
        return f"{moment(value * HOUR):%Y-%m-%d %H}h UTC"
    return "(none)" if value is None else str(value)


def _counts(row: Row, shown: Iterable[Happening]) -> list[str]:
    return [f"{row.counts[one]:,}" for one in shown]


def _amounts(row: Row, currency: str | int | None, names: Sequence[str]) -> list[str]:
    if not names or not isinstance(currency, str):
        return []
    return [grouped(plain_amount(units, currency)) for units in (row.gross, row.fees, row.net)]
