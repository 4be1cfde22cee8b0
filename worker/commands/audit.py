"""``payment-worker audit``: whether every payment is somewhere, once, and the money adds up."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.books_options import AsJson, counting, opened_books
from worker.commands.options import AmqpUrl, Journal, Prefix
from worker.commands.output import EXIT_DIFFERS, readable_errors

if TYPE_CHECKING:
    from worker.bookkeeping.depths import Comparison


def audit(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Leave out the dispatches' bytes and the index of ids: twice as fast."),
    ] = False,
    broker: Annotated[
        bool, typer.Option("--broker", help="Compare with the depths of the broker's queues, too.")
    ] = False,
    dropped: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="With --broker: what `dead-letters drop --audit FILE` wrote; repeatable."
        ),
    ] = None,
    as_json: AsJson = False,
    journal: Journal = None,
    amqp_url: AmqpUrl = None,
    prefix: Prefix = None,
) -> None:
    """Hold the journal's payments against its history, in count and in money, while workers run.

    Exits 3 when something does not fit, and names the payments.
    """
    with readable_errors():
        from worker.bookkeeping.audit import audit as audit_books
        from worker.commands import audit_view as view
        from worker.commands.dead_letters_options import read_settings

        settings = read_settings(amqp_url, prefix, journal)
        comparisons: list[Comparison] = []
        with opened_books(settings) as books:
            if broker:
                from worker.commands.audit_broker import audit_with_broker

                found, comparisons = audit_with_broker(books, settings, dropped or [], quick=quick)
            else:
                with counting("payments") as progress:
                    found = audit_books(books, quick=quick, progress=progress)
        (view.write_audit if as_json else view.show_audit)(found, comparisons)
        if not found.fits:
            raise typer.Exit(EXIT_DIFFERS)
