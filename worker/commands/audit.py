"""``payment-worker audit``: whether every payment is somewhere, once, and the money adds up."""

from typing import Annotated

import typer

from worker.commands.books_options import AsJson, counting, opened_books
from worker.commands.options import Journal
from worker.commands.output import EXIT_DIFFERS, readable_errors


def audit(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Leave out the dispatches' bytes and the index of ids: twice as fast."),
    ] = False,
    as_json: AsJson = False,
    journal: Journal = None,
) -> None:
    """Hold the journal's payments against its history, in count and in money, while workers run.

    Exits 3 when something does not fit, and names the payments.
    """
    with readable_errors():
        from worker.bookkeeping.audit import audit as audit_books
        from worker.commands import audit_view as view

        with opened_books(journal) as books, counting("payments") as progress:
            found = audit_books(books, quick=quick, progress=progress)
        (view.write_audit if as_json else view.show_audit)(found)
        if not found.fits:
            raise typer.Exit(EXIT_DIFFERS)
