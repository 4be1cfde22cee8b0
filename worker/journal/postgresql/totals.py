"""The history of a journal in PostgreSQL added up."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from worker.journal.books import Dimension, Total
from worker.journal.entries import Happening
from worker.journal.postgresql.connection import speaking_of
from worker.journal.times import HOUR

if TYPE_CHECKING:
    from psycopg import Connection

_COLUMNS: Final = {
    Dimension.PROCESSOR: "w.processor",
    Dimension.RULE: "w.rule",
    Dimension.CURRENCY: "w.currency",
    Dimension.CODE: "h.code",
    Dimension.HOUR: f"h.ended / {HOUR}",
}


def read_totals(
    url: str, connection: "Connection[Any]", by: Sequence[Dimension], since: int | None, until: int | None
) -> Iterator[Total]:
    """Yield the sums of entries that are alike, which PostgreSQL makes of any size."""
    columns = ", ".join([*(_COLUMNS[one] for one in by), "h.happening", "w.scale"])
    sums = ", ".join(f"coalesce(sum(h.{one}), 0)" for one in ("gross", "net", "fees"))
    statement = f"""
        SELECT {columns}, count(*), {sums} FROM history AS h LEFT JOIN ways AS w ON w.id = h.way
        WHERE h.ended >= %s AND h.ended < %s GROUP BY {columns}
    """
    times = (0 if since is None else since, sys.maxsize if until is None else until)
    with speaking_of(url):
        found = connection.execute(statement, times).fetchall()
    for *values, happening, scale, entries, gross, net, fees in found:
        yield Total(tuple(values), Happening(happening), scale, entries, int(gross), int(net), int(fees))
