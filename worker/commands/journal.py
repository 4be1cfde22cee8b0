"""``payment-worker journal``: for the people who look after the memory of payments."""

from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.options import Journal
from worker.commands.output import EXIT_CONFIGURATION, readable_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.journal.upkeep import Status, Upkeep

app = typer.Typer(help="Look after the memory of payments: its tables, its size.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look after the memory of payments: its tables, its size."""


@app.command()
def migrate(journal: Journal = None) -> None:
    """Bring the journal's tables to this program's version; a new journal gets them all."""
    with readable_errors(), _opened(journal) as (upkeep, shown):
        before, after = upkeep.migrate()
        print(  # noqa: T201
            f"{shown}: version {after}, nothing to do"
            if before == after
            else f"{shown}: version {before} is now {after}"
        )


@app.command()
def status(
    journal: Journal = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show the version of the tables, how much is in them, and what events are still to be published."""
    with readable_errors():
        with _opened(journal) as (upkeep, shown):
            found = upkeep.status()
        _show_json(found, shown) if as_json else _show(found, shown)
        if found.version != found.needed:
            raise typer.Exit(EXIT_CONFIGURATION)


@app.command()
def prune(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Such as 90d: what ended before that.")
    ],
    journal: Journal = None,
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="Also payments that were dead-lettered or held.")
    ] = False,
) -> None:
    """Forget payments dispatched long ago, while workers go on; a repeat of one is then a new payment."""
    with readable_errors():
        from datetime import UTC, datetime

        age = _age(older_than)
        with _opened(journal) as (upkeep, shown):
            payments = looked_at = 0
            for pruned in upkeep.prune(datetime.now(UTC) - age, dead_letters=dead_letters):
                payments += pruned.payments
                looked_at += pruned.looked_at
            print(f"{shown}: {payments:,} payments forgotten, {looked_at - payments:,} kept")  # noqa: T201


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")], journal: Journal = None
) -> None:
    """Copy a journal file as it is at this moment, while workers go on; checked before it gets its name."""
    with readable_errors():
        from worker.errors import InvalidSettings
        from worker.journal.address import SqliteFile
        from worker.journal.sqlite.backup import back_up
        from worker.settings import load_settings

        settings = load_settings(journal=journal)
        address = settings.journal_address
        if not isinstance(address, SqliteFile):
            raise InvalidSettings(
                f"{settings.shown_journal} is no file; PostgreSQL has its own tools for that, such as pg_dump"
            )
        size = back_up(Path(address.path), target)
        print(f"{target}: {size / 1e6:,.1f} MB, checked")  # noqa: T201


def _age(text: str) -> timedelta:
    from worker.errors import InvalidSettings
    from worker.retry_settings import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise InvalidSettings(f"--older-than: {error}") from None
    if not isinstance(seconds, float) or seconds <= 0:
        raise InvalidSettings(f"--older-than: {text} is no time to look back; write 90d or 12h")
    if seconds > _LONGEST_SECONDS:
        raise InvalidSettings(f"--older-than: {text} is longer ago than 100 years; write 90d or 12h")
    return timedelta(seconds=seconds)


_LONGEST_SECONDS = 100 * 365 * 86_400


@contextmanager
def _opened(journal: str | None) -> "Iterator[tuple[Upkeep, str]]":
    """Open the journal of the settings; yields its address for people, too."""
    from worker.journal.opening import open_upkeep
    from worker.settings import load_settings

    settings = load_settings(journal=journal)
    upkeep = open_upkeep(settings.journal_address)
    try:
        yield upkeep, settings.shown_journal
    finally:
        upkeep.close()


def _show_json(found: "Status", shown: str) -> None:
    import orjson

    print(orjson.dumps({"journal": shown, **found._asdict()}, option=orjson.OPT_UTC_Z).decode())  # noqa: T201


def _show(found: "Status", shown: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, title=shown)
    needs = "" if found.version == found.needed else f", this program needs {found.needed}"
    table.add_row("version of the tables", f"{found.version}{needs}")
    free = "" if found.bytes_free is None else f", and {found.bytes_free / 1e6:,.1f} MB free inside"
    table.add_row("size", f"{found.bytes_used / 1e6:,.1f} MB{free}")
    if found.payments is not None:
        oldest = "" if found.oldest is None else f", the oldest since {found.oldest:%Y-%m-%d %H:%M} UTC"
        table.add_row("payments", f"{found.payments:,}{oldest}")
        unpublished = (
            "nobody publishes them" if found.unpublished is None else f"{found.unpublished:,} to publish"
        )
        table.add_row("events", unpublished)
    Console().print(table)
    if found.version < found.needed:
        print("run: payment-worker journal migrate")  # noqa: T201
