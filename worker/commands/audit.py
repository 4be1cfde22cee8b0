"""``payment-worker audit``: whether every payment is somewhere, once, and the money adds up."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer

from worker.commands.options import Journal
from worker.commands.output import EXIT_DIFFERS, readable_errors


def audit(
    bodies: Annotated[
        bool, typer.Option("--bodies/--no-bodies", help="Read every dispatch's bytes too, or not: faster.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
    journal: Journal = None,
) -> None:
    """Hold the journal's payments against its history, in count and in money, while workers run.

    Exits 3 when something does not fit, and names the payments.
    """
    with readable_errors():
        from worker.bookkeeping.audit import audit as audit_books
        from worker.commands import audit_view as view
        from worker.journal.opening import open_books
        from worker.settings import load_settings

        settings = load_settings(journal=journal)
        with (
            closing(open_books(settings.journal_address, settings.shown_journal)) as books,
            _progress() as progress,
        ):
            found = audit_books(books, bodies=bodies, progress=progress)
        (view.write_audit if as_json else view.show_audit)(found)
        if not found.fits:
            raise typer.Exit(EXIT_DIFFERS)


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Say on stderr how many payments were read, if that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("reading the journal") as status:
        yield lambda payments: status.update(f"reading the journal, {payments:,} payments")
