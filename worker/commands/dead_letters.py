"""``payment-worker dead-letters``: for the people who have to deal with payments that nobody could take."""

import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands import dead_letters_acting
from worker.commands.dead_letters_options import (
    AsJson,
    AtLeast,
    AtMost,
    Codes,
    CurrencyCode,
    Ids,
    Looked,
    Processors,
    Since,
    Until,
    dead_letters_of,
    progress,
    read_selection,
    read_settings,
)
from worker.commands.options import AmqpUrl, Prefix
from worker.commands.output import EXIT_FAILURE, readable_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.dead_letters import DeadLetter, Selection
    from worker.settings import Settings

STDOUT = "-"
SHOWN = 50

app = typer.Typer(
    help="Look at payments that could not be dispatched, send them back, or drop them.", no_args_is_help=True
)


@app.command("list")
def list_(
    code: Codes = None,
    processor: Processors = None,
    payment_id: Ids = None,
    currency: CurrencyCode = None,
    min_amount: AtLeast = None,
    max_amount: AtMost = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Letters shown, from the oldest: by default 50, with --json all.", show_default=False
        ),
    ] = None,
    totals: Annotated[bool, typer.Option("--totals", help="Only the totals.")] = False,
    as_json: AsJson = False,
    amqp_url: AmqpUrl = None,
    prefix: Prefix = None,
) -> None:
    """Show dead letters, oldest first, and what they add up to; they stay where they are."""
    with readable_errors():
        import uvloop

        from worker.commands import dead_letters_view as view
        from worker.commands.plain import write_json
        from worker.dead_letters import Totals

        chosen = read_selection(code, processor, payment_id, currency, min_amount, max_amount, since, until)
        settings = read_settings(amqp_url, prefix)
        most = limit or (None if as_json else SHOWN)
        looked, sums, rows = Looked(), Totals(), list["DeadLetter"]()

        def found(letters: "Sequence[DeadLetter]") -> bool:
            for letter in letters:
                sums.add(letter)
                if not totals and (most is None or sums.letters <= most):
                    write_json(view.described(letter)) if as_json else rows.append(letter)
            return totals or not as_json or most is None or sums.letters < most

        with progress(looked, show=not (as_json and sys.stdout.isatty())):
            uvloop.run(_find(settings, chosen, looked, found))
        if totals and as_json:
            write_json({"looked_at": looked.letters, "totals": view.totals_json(sums)})
        elif not as_json:
            view.show_list(rows, sums, looked, chosen.codes)


@app.command()
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="Payment id, or letter id as `list` shows it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the body, byte for byte.")] = False,
    as_json: AsJson = False,
    amqp_url: AmqpUrl = None,
    prefix: Prefix = None,
) -> None:
    """Show all there is about a dead letter, and what to do next; it stays where it is."""
    with readable_errors():
        import uvloop

        from worker.commands import dead_letters_view as view
        from worker.commands.plain import write_json
        from worker.dead_letters import Selection
        from worker.dead_letters.exported import to_exported

        looked, found = Looked(), list["DeadLetter"]()
        chosen = Selection(ids=frozenset({letter}))
        settings = read_settings(amqp_url, prefix)

        def add(letters: "Sequence[DeadLetter]") -> bool:
            found.extend(letters)
            return True

        with progress(looked):
            uvloop.run(_find(settings, chosen, looked, add))
        if not found:
            sys.stderr.write(f"error: none of the {looked.letters:,} dead letters has the id {letter}\n")
            raise typer.Exit(EXIT_FAILURE)
        if raw and len(found) > 1:
            ids = ", ".join(one.letter_id for one in found)
            sys.stderr.write(f"error: {len(found)} dead letters are of {letter}; name one of {ids}\n")
            raise typer.Exit(EXIT_FAILURE)
        for one in found:
            if raw:
                sys.stdout.buffer.write(one.delivery.body)
            elif as_json:
                write_json({**view.described(one), "message_as_exported": to_exported(one)})
            else:
                view.show_letter(one)


@app.command()
def export(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A new file; - is stdout.")],
    code: Codes = None,
    processor: Processors = None,
    payment_id: Ids = None,
    currency: CurrencyCode = None,
    min_amount: AtLeast = None,
    max_amount: AtMost = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
    amqp_url: AmqpUrl = None,
    prefix: Prefix = None,
) -> None:
    """Write dead letters to a file, one JSON object a line, nothing lost; they stay where they are.

    `payment-worker publish --exported FILE` sends what is in it back, as a redrive does.
    """
    with readable_errors():
        import uvloop

        from worker.commands import dead_letters_view as view
        from worker.dead_letters import Totals
        from worker.dead_letters.audit import Lines
        from worker.dead_letters.exported import to_exported
        from worker.dead_letters.walk import Report

        chosen = read_selection(code, processor, payment_id, currency, min_amount, max_amount, since, until)
        settings = read_settings(amqp_url, prefix)
        lines = Lines(sys.stdout.buffer, on_disk=False) if file == STDOUT else Lines.new(Path(file))
        looked, sums = Looked(), Totals()

        def found(letters: "Sequence[DeadLetter]") -> bool:
            lines.write(map(to_exported, letters))
            for letter in letters:
                sums.add(letter)
            return True

        with progress(looked, show=file != STDOUT):
            uvloop.run(_find(settings, chosen, looked, found))
        lines.close()
        if file != STDOUT:
            view.show_result(f"exported to {file}", Report(sums), looked, chosen.codes, as_json=as_json)


async def _find(
    settings: "Settings",
    selection: "Selection",
    looked: Looked,
    found: "Callable[[Sequence[DeadLetter]], bool]",
) -> None:
    """Call ``found`` with the chosen letters, some at a time, until it returns False."""
    from worker.dead_letters.walk import chosen

    async with (
        dead_letters_of(settings, looked) as lane,
        aclosing(chosen(lane, selection, looked.see)) as walk,
    ):
        async for letters in walk:
            if letters and not found(letters):
                return


app.command()(dead_letters_acting.redrive)
app.command()(dead_letters_acting.drop)
