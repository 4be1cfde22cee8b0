"""``payment-worker reconcile``: what a processor says it has settled, against the journal."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.books_options import Since, Until, counting, opened_books, time_span
from worker.commands.options import Journal
from worker.commands.output import EXIT_DIFFERS, readable_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

    from worker.journal.books import Books

STDIN = "-"


def reconcile(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|-",
            help="CSV with a header, or NDJSON: payment_id, amount, currency. - is stdin.",
        ),
    ],
    processor: Annotated[str, typer.Option(metavar="NAME", help="Whose file it is.")],
    net: Annotated[bool, typer.Option("--net", help="The file has net amounts, not gross ones.")] = False,
    since: Since = None,
    until: Until = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=NAME", help="What the file calls payment_id, amount or currency."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Every difference as a JSON line, and the totals as the last.")
    ] = False,
    journal: Journal = None,
) -> None:
    """Hold a processor's own settlement file against the journal: matched, missing, of another amount.

    --since and --until say which dispatches must be in the file, by the time when they were confirmed. Its
    lines count whenever their payments were dispatched: what is settled today was often sent yesterday.
    Exits 3 when something does not match.
    """
    with readable_errors():
        from worker.bookkeeping.reconcile import Terms
        from worker.bookkeeping.reconcile import reconcile as hold
        from worker.bookkeeping.settlement import SettlementFile
        from worker.commands.reconcile_view import Differences, show_totals, write_totals
        from worker.settings import load_settings

        terms = Terms(processor, net, *time_span(since, until))
        differences = Differences(as_json=as_json)
        columns = _columns(column or [])
        settings = load_settings(journal=journal)
        with opened_books(settings) as books, _opened(file) as stream, counting("lines") as progress:
            _check_processor(books, processor)
            found = hold(books, SettlementFile(stream, columns), terms, differences.add, progress)
        (write_totals if as_json else show_totals)(found, differences)
        if not found.matches:
            raise typer.Exit(EXIT_DIFFERS)


@contextmanager
def _opened(path: Path) -> "Iterator[BinaryIO]":
    from worker.errors import InvalidSettlement

    if str(path) == STDIN:
        yield sys.stdin.buffer
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InvalidSettlement(f"{path}: cannot be read: {error.strerror}") from None
    with stream:
        yield stream


def _columns(given: "Sequence[str]") -> "Mapping[str, str]":
    """Read FIELD=NAME."""
    from worker.bookkeeping.settlement import FIELDS
    from worker.errors import InvalidSettlement

    columns = dict[str, str]()
    for text in given:
        field, equals, name = text.partition("=")
        if field not in FIELDS or not equals or not name:
            raise InvalidSettlement(
                f"--column {text}: expected FIELD=NAME, such as payment_id=Reference, with a field of"
                f" {', '.join(FIELDS)}"
            )
        columns[field] = name
    return columns


def _check_processor(books: "Books", name: str) -> None:
    """Refuse a name that the journal has never heard of: everything would be missing."""
    from difflib import get_close_matches

    from worker.errors import InvalidSettlement

    known = sorted(books.processors())
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(known) or 'none yet'}"
        raise InvalidSettlement(
            f"--processor {name}: nothing in the journal was ever about to go there; {hint}"
        )
