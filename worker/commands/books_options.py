"""What the commands that read the journal share: opening it, times, and progress on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from worker.journal.books import Books
    from worker.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Everything as JSON.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="From 2026-11-24T12:00:00Z on, or from 2h ago.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before then; as --since.")]


@contextmanager
def opened_books(settings: "Settings") -> "Iterator[Books]":
    """Open the journal of the settings for reading.

    Raises:
        JournalMissing, JournalUnavailable, JournalMismatch, JournalCorrupt: with what to do.
    """
    from worker.journal.opening import open_books

    with closing(open_books(settings.journal_address, settings.shown_journal)) as books:
        yield books


def time_span(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """Return two times in milliseconds since 1970.

    Raises:
        InvalidSettings: one is no time, or nothing lies between them.
    """
    from datetime import UTC, datetime

    from worker.dead_letters import parse_moment
    from worker.errors import InvalidSettings
    from worker.journal.times import milliseconds

    now = datetime.now(UTC)
    start, end = (
        None if text is None else milliseconds(parse_moment(text, now, option))
        for text, option in ((since, "--since"), (until, "--until"))
    )
    if start is not None and end is not None and start >= end:
        raise InvalidSettings("--since is not before --until: nothing lies between them")
    return start, end


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Say on stderr how many of something were read, if that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("reading") as status:
        yield lambda count: status.update(f"reading, {count:,} {what}")
