"""What has happened in a time, added up by processor, rule, currency, code or hour."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.bookkeeping.amounts import worth
from worker.journal.books import Books, Dimension
from worker.journal.entries import Happening


@dataclass(slots=True)
class Row:
    """How often what happened, and the amounts of what was dispatched, in units of 10^-12."""

    counts: Counter[Happening] = field(default_factory=Counter)
    gross: int = 0
    fees: int = 0
    net: int = 0

    def add(self, other: "Row") -> None:
        """Add another row."""
        self.counts.update(other.counts)
        self.gross += other.gross
        self.fees += other.fees
        self.net += other.net


def gather(
    books: Books, by: Sequence[Dimension], since: int | None = None, until: int | None = None
) -> dict[tuple[str | int | None, ...], Row]:
    """Return a row for each combination of values of the dimensions; times as for ``Books``."""
    rows: dict[tuple[str | int | None, ...], Row] = {}
    for total in books.totals(by, since, until):
        row = rows.setdefault(total.values, Row())
        row.counts[total.happening] += total.entries
        if total.happening is Happening.DISPATCHED and total.scale is not None:
            row.gross += worth(total.gross, total.scale)
            row.fees += worth(total.fees, total.scale)
            row.net += worth(total.net, total.scale)
    return rows
