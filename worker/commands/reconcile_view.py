"""How a reconciliation looks: totals by verdict and currency, and the first differences, or all as JSON."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from worker.bookkeeping.reconcile import Both, Difference, Reconciliation, Verdict
from worker.commands.plain import grouped, result_console, safe, write_json
from worker.dead_letters import plain_amount

SHOWN: Final = 20
_WORDS: Final = {
    Verdict.MATCHED: "matched",
    Verdict.DIFFERENT_AMOUNT: "different amount",
    Verdict.MISSING_HERE: "missing here",
    Verdict.MISSING_THERE: "missing there",
    Verdict.REPEATED: "again in the file",
    Verdict.UNREADABLE: "unreadable line",
}


@dataclass(slots=True)
class Differences:
    """Takes differences as they are found: the first are kept to be shown, or all written at once as JSON."""

    as_json: bool
    first: list[Difference] = field(default_factory=list)

    def add(self, one: Difference) -> None:
        """Take one."""
        if self.as_json:
            write_json(_described(one))
        elif len(self.first) < SHOWN:
            self.first.append(one)


def show_totals(found: Reconciliation, differences: Differences) -> None:
    """Show what does not match, and what everything adds up to."""
    console = result_console()
    if differences.first:
        table = Table("line", "payment", "what", "in the file", "in the journal", "", box=SIMPLE_HEAD)
        for one in differences.first:
            table.add_row(
                "" if one.line is None else f"{one.line:,}",
                safe(one.payment_id or ""),
                _WORDS[one.verdict],
                safe(_amount(one.file)),
                safe(_amount(one.journal)),
                safe(one.why),
            )
        console.print(table)
        count = sum(found.counts.values()) - found.counts[Verdict.MATCHED]
        if count > SHOWN:
            console.print(f"and {count - SHOWN:,} more; --json writes all")
    table = Table("", "count", "currency", "in the file", "in the journal", "difference", box=SIMPLE_HEAD)
    for column in (1, 3, 4, 5):
        table.columns[column].justify = "right"
    sums = defaultdict[str, Both](Both)
    for (verdict, currency), both in _rows(found):
        table.add_row(_WORDS[verdict], *_cells(currency, both))
        if currency is not None:
            sums[currency].add(both)
    table.add_section()
    for currency, both in sorted(sums.items()):
        table.add_row("all", *_cells(currency, both), style="bold")
    console.print(table)
    conclusion = (
        f"All {found.lines:,} lines match the journal, and nothing is missing."
        if found.matches
        else f"{found.lines:,} lines do NOT all match the journal."
    )
    console.print(Text(conclusion, style="bold" if found.matches else "bold red"))


def write_totals(found: Reconciliation, _: Differences) -> None:
    """Write the totals as the last line."""
    write_json(
        {
            "matches": found.matches,
            "lines": found.lines,
            "totals": [
                {
                    "verdict": verdict,
                    "currency": currency,
                    "count": both.count,
                    "file": currency and plain_amount(both.file, currency),
                    "journal": currency and plain_amount(both.journal, currency),
                }
                for (verdict, currency), both in _rows(found)
            ],
        }
    )


def _rows(found: Reconciliation) -> list[tuple[tuple[Verdict, str | None], Both]]:
    order = list(Verdict)
    return sorted(found.totals.items(), key=lambda item: (order.index(item[0][0]), item[0][1] or ""))


def _cells(currency: str | None, both: Both) -> list[str | Text]:
    if currency is None:
        return [f"{both.count:,}"]
    units = (both.file, both.journal, both.file - both.journal)
    return [f"{both.count:,}", safe(currency), *(grouped(plain_amount(one, currency)) for one in units)]


def _amount(amount: tuple[str, int] | None) -> str:
    return "" if amount is None else f"{grouped(plain_amount(amount[1], amount[0]))} {amount[0]}"


def _described(one: Difference) -> dict[str, Any]:
    amounts = {
        side: None if amount is None else {"value": plain_amount(amount[1], amount[0]), "currency": amount[0]}
        for side, amount in (("file", one.file), ("journal", one.journal))
    }
    named = {"verdict": one.verdict, "line": one.line, "payment_id": one.payment_id}
    return {**named, **amounts, "why": one.why or None}
