"""``payment-worker stats``: what happened, by processor, rule, currency, code and hour."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.books_options import AsJson, Since, Until, opened_books, time_span
from worker.commands.options import Journal
from worker.commands.output import readable_errors

if TYPE_CHECKING:
    from collections.abc import Sequence


class By(StrEnum):
    """The dimensions, for ``--help``."""

    PROCESSOR = "processor"
    RULE = "rule"
    CURRENCY = "currency"
    CODE = "code"
    HOUR = "hour"


def stats(
    by: Annotated[
        list[By] | None,
        typer.Option(help="Repeatable. By default processor and currency.", show_default=False),
    ] = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
    journal: Journal = None,
) -> None:
    """Count what happened: dispatches with their amounts, refusals, delays, dead letters, repeats.

    A payment counts once for each thing that happened to it, at the time when it did.
    """
    with readable_errors():
        from worker.bookkeeping.stats import gather
        from worker.commands.stats_view import show_stats, write_stats
        from worker.journal.books import Dimension
        from worker.settings import load_settings

        chosen: Sequence[By] = list(dict.fromkeys(by or (By.PROCESSOR, By.CURRENCY)))
        dimensions = [Dimension(one.value) for one in chosen]
        span = time_span(since, until)
        with opened_books(load_settings(journal=journal)) as books:
            rows = gather(books, dimensions, *span)
        (write_stats if as_json else show_stats)(dimensions, rows)
