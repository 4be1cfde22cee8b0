"""A journal file's history added up."""

import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from worker.journal.books import Dimension, Total
from worker.journal.sqlite.connection import speaking_of
from worker.journal.sqlite.schema import HAPPENINGS
from worker.journal.times import HOUR

_COLUMNS: Final = {
    Dimension.PROCESSOR: "w.processor",
    Dimension.RULE: "w.rule",
    Dimension.CURRENCY: "w.currency",
    Dimension.CODE: "h.code",
    Dimension.HOUR: f"h.ended / {HOUR}",
}


def read_totals(
    path: Path, connection: sqlite3.Connection, by: Sequence[Dimension], since: int | None, until: int | None
) -> Iterator[Total]:
    """Yield the sums of entries that are alike."""
    columns = ", ".join([*(_COLUMNS[one] for one in by), "h.happening", "w.scale"])
    sums = ", ".join(f"sum(h.{one} >> 32), sum(h.{one} & 0xffffffff)" for one in ("gross", "net", "fees"))
    statement = f"""
        SELECT {columns}, count(*), {sums} FROM history AS h LEFT JOIN ways AS w ON w.id = h.way
        WHERE h.ended >= ? AND h.ended < ? GROUP BY {columns}
    """
    times = (0 if since is None else since, sys.maxsize if until is None else until)
    with speaking_of(path):
        found = connection.execute(statement, times).fetchall()
    for *values, happening, scale, entries, high1, low1, high2, low2, high3, low3 in found:
        gross, net, fees = (
            ((high or 0) << 32) + (low or 0) for high, low in ((high1, low1), (high2, low2), (high3, low3))
        )
        yield Total(tuple(values), HAPPENINGS[happening], scale, entries, gross, net, fees)
