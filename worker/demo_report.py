"""The demo's end: the books of its processors, then those of the workers, which must say the same."""

from contextlib import closing
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.bookkeeping.audit import Place, audit
from worker.commands.audit_view import show_audit
from worker.errors import WorkerError
from worker.journal.address import SqliteFile
from worker.journal.opening import open_books
from worker.tally import Tally, show

_PROBLEMS: Final = 10
NEXT: Final = """
Where to look next
  payment-worker broker             a private node in one terminal, with its URL
  payment-worker run --amqp-url URL                 the worker, in a second one
  payment-worker generate 1000 | payment-worker publish - --amqp-url URL
  payment-worker payment ID                         what happened to one of them
  payment-worker dead-letters list --amqp-url URL   what was wrong with each
  routing_rules/default.yaml       who gets what, and for which fee
  docs/operations.md               settings, signals, tracing, logs
"""


def show_report(console: Console, tally: Tally, seconds: float, code: int) -> None:
    """Show where every payment and every amount went, by what the processors have received."""
    out = console.print
    out()
    out(_payments(tally))
    out(_amounts(tally))
    if tally.repeats or tally.dead_repeats:
        out(
            f"{tally.repeats:,} dispatches and {tally.dead_repeats:,} dead letters came again:"
            " same bytes, same dispatch id, counted once."
        )
    for problem in tally.problems[:_PROBLEMS]:
        out(Text(f"problem: {problem}", style="red"))
    rate = tally.accounted / seconds if seconds else 0
    verdict = (
        "Every payment is accounted for, and the money adds up."
        if tally.balanced
        else "NOT every payment is accounted for."
    )
    out(
        Text(
            f"{verdict} {tally.accounted:,} payments in {seconds:.1f} s ({rate:,.0f}/s);"
            f" the worker exited with {code}.",
            style="bold",
        )
    )


def _payments(tally: Tally) -> Table:
    table = Table("where they went", "payments", box=SIMPLE_HEAD, title="Every payment", title_justify="left")
    table.columns[1].justify = "right"
    for processor, count in sorted(tally.by_processor.items()):
        table.add_row(f"dispatched to {processor}", f"{count:,}")
    for error, count in tally.by_code.most_common():
        table.add_row(f"dead letter: {error}", f"{count:,}")
    table.add_row("missing", f"{tally.missing:,}", style="red" if tally.missing else "")
    table.add_row("published", f"{tally.sent.total():,}", style="bold")
    return table


def _amounts(tally: Tally) -> Table:
    table = Table("", "sent", "= fees", "+ net", "+ dead", "off by", box=SIMPLE_HEAD, title="Every amount")
    table.title_justify = "left"
    for column in table.columns[1:]:
        column.justify = "right"
    for currency, sums in sorted(tally.money.items()):
        cells = (sums.sent, sums.fees, sums.net, sums.dead, sums.difference)
        table.add_row(Text(currency), *(show(c) for c in cells), style="red" if sums.difference else "")
    return table


def show_journal(console: Console, tally: Tally, journal: SqliteFile) -> bool:
    """Audit the workers' journal; return whether it balances and has dispatched what was received."""
    try:
        with closing(open_books(journal, str(journal.path))) as books:
            found = audit(books)
    except WorkerError as error:
        console.print(Text(f"no audit: {error}", style="red"))
        return False
    console.print(Text("\nThe workers' own journal says (payment-worker audit):\n"))
    show_audit(found, console=console, amounts=False)
    known, received = found.count(Place.DISPATCHED), sum(tally.by_processor.values())
    if known != received:
        told = f"The journal has {known:,} dispatches, and the processors have {received:,}."
        console.print(Text(told, style="bold red"))
    return found.fits and known == received
