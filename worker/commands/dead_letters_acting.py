"""``payment-worker dead-letters redrive`` and ``drop``: what changes the queue, each as a dry run first."""

import secrets
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from worker.commands.options import AmqpUrl, Journal, Prefix
from worker.commands.output import readable_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.dead_letters import Selection
    from worker.dead_letters.audit import Audit, Lines
    from worker.dead_letters.walk import Action, Round
    from worker.settings import Settings

Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, only show what would be done.")]
AuditFile = Annotated[
    Path | None,
    typer.Option("--audit", metavar="FILE", help="Add a JSON line for each letter here, not to stderr."),
]


def redrive(
    code: Codes = None,
    processor: Processors = None,
    payment_id: Ids = None,
    currency: CurrencyCode = None,
    min_amount: AtLeast = None,
    max_amount: AtMost = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    rate: Annotated[
        float, typer.Option(min=0, metavar="N", help="At most N a second; 0 for as fast as it goes.")
    ] = 100.0,
    max_redrives: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="Leave what was redriven N times already.")
    ] = 3,
    audit: AuditFile = None,
    as_json: AsJson = False,
    amqp_url: AmqpUrl = None,
    prefix: Prefix = None,
    journal: Journal = None,
) -> None:
    """Send dead letters back to the queue of work, where they start at attempt 1 again.

    A letter leaves the dead-letter queue after the broker has confirmed its copy and its audit line is
    written. Stopped at any time, each letter is in one of the two queues, at most in both.
    """
    with readable_errors():
        from datetime import UTC, datetime

        from worker.dead_letters.actions import Redrive
        from worker.dead_letters.record import opened_record
        from worker.envelope import Envelopes
        from worker.source import names_of

        chosen = read_selection(code, processor, payment_id, currency, min_amount, max_amount, since, until)
        settings = read_settings(amqp_url, prefix, journal)
        names, identity = names_of(settings), secrets.token_hex(8)
        numbers = iter(range(1, sys.maxsize))
        with (
            opened_record(settings.journal_address, settings.shown_journal) as record,
            _audited(audit, yes) as lines,
        ):
            action = Redrive(
                envelopes=Envelopes(lambda: f"{identity}-{next(numbers)}", names.dead, names.back),
                exchange=names.returns,
                record=record,
                max_redrives=max_redrives,
                audit=_audit(lines, "redrive", settings),
                began=datetime.now(UTC),
                now=lambda: datetime.now(UTC),
            )
            _go(settings, chosen, action, "redriven", yes, rate or None, audit is not None, as_json)


def drop(
    code: Codes = None,
    processor: Processors = None,
    payment_id: Ids = None,
    currency: CurrencyCode = None,
    min_amount: AtLeast = None,
    max_amount: AtMost = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter, without a filter.")] = False,
    yes: Yes = False,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why; it goes into the audit. Needed with --yes.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A new file that they are written to first. Needed with --yes."),
    ] = None,
    audit: AuditFile = None,
    as_json: AsJson = False,
    amqp_url: AmqpUrl = None,
    prefix: Prefix = None,
) -> None:
    """Take dead letters from their queue for good, once a file has them.

    Stopped at any time, each letter is in the queue or in the file.
    """
    with readable_errors():
        from datetime import UTC, datetime

        from worker.dead_letters.actions import Drop
        from worker.dead_letters.audit import Lines
        from worker.errors import ConfigurationError

        chosen = read_selection(code, processor, payment_id, currency, min_amount, max_amount, since, until)
        if chosen.is_everything != everything:
            raise ConfigurationError(
                "--all and a filter contradict each other"
                if everything
                else "say which dead letters: name a filter, or --all"
            )
        if yes and not ((reason or "").strip() and export):
            raise ConfigurationError(
                "--yes needs --reason TEXT, for the audit, and --export FILE, which gets the letters first"
            )
        settings = read_settings(amqp_url, prefix)
        with _audited(audit, yes) as lines:
            exported = Lines.new(export) if yes and export else None
            more = {"reason": reason or "", "exported_to": str(export)}
            action = Drop(exported, _audit(lines, "drop", settings, more), lambda: datetime.now(UTC))
            _go(settings, chosen, action, "dropped", yes, None, audit is not None, as_json)


@contextmanager
def _audited(file: Path | None, yes: bool) -> "Iterator[Lines | None]":
    """Open the audit for the block; a dry run has none."""
    from worker.dead_letters.audit import Lines

    if not yes:
        yield None
        return
    lines = Lines(sys.stderr.buffer, on_disk=False) if file is None else Lines.append(file)
    try:
        yield lines
    finally:
        lines.close()


def _audit(
    lines: "Lines | None", action: str, settings: "Settings", more: dict[str, str] | None = None
) -> "Audit | None":
    from worker.amqp.topology import Names
    from worker.dead_letters.audit import Audit

    return None if lines is None else Audit(lines, action, Names(settings.prefix).dead, more or {})


def _go(
    settings: "Settings",
    chosen: "Selection",
    action: "Action",
    verb: str,
    yes: bool,
    rate: float | None,
    bar: bool,
    as_json: bool,
) -> None:
    """Go through the dead letters, and say what was done however it ends."""
    import time

    import uvloop

    from worker.commands import dead_letters_view as view
    from worker.dead_letters.walk import Pace, Round

    looked = Looked()
    work = Round(
        chosen, action, Pace(rate, time.monotonic), not yes, looked.see, settings.consumer_timeout / 2
    )
    try:
        with progress(looked, show=bar or not yes):
            uvloop.run(_rounds(settings, work, looked))
    finally:
        if looked.total is not None:
            view.show_result(
                verb, work.report, looked, chosen.codes, dry_run=not yes, rate=rate, as_json=as_json
            )


async def _rounds(settings: "Settings", work: "Round", looked: Looked) -> None:
    """Go through the queue until everything chosen is done; letters that stay are put back now and then."""
    done = False
    while not done:
        async with dead_letters_of(settings, looked) as lane:
            done = await work.go_through(lane)
