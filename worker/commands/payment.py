"""``payment-worker payment``: what happened to one payment, and where it is now."""

import sys
from contextlib import closing
from typing import Annotated

import typer

from worker.commands.options import Journal
from worker.commands.output import EXIT_FAILURE, readable_errors


def payment(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="Payment id, or the id of one of its dispatches.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
    journal: Journal = None,
) -> None:
    """Tell the whole story of one payment: where it is, what it costs, who had it when."""
    with readable_errors():
        from worker.bookkeeping.story import nearest, read_story
        from worker.commands import payment_view as view
        from worker.journal.opening import open_books
        from worker.settings import load_settings

        settings = load_settings(journal=journal)
        with closing(open_books(settings.journal_address, settings.shown_journal)) as books:
            story = read_story(books, name)
            near = nearest(books, name) if story is None else None
        if story is None:
            hint = f"; did you mean {near}?" if near else ""
            sys.stderr.write(
                f"error: the journal {settings.shown_journal} knows no payment and no dispatch"
                f" with the id {name}{hint}\n"
            )
            raise typer.Exit(EXIT_FAILURE)
        (view.write_story if as_json else view.show_story)(story)
