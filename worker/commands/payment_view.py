"""How a payment's story looks: a few facts, the money, and a table of what happened."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from worker.bookkeeping.story import Story, moment_text, where
from worker.commands.plain import grid, grouped, result_console, safe, write_json
from worker.journal.books import Standing
from worker.journal.entries import Entry
from worker.money import format_units

_AMOUNTS: Final = frozenset({"gross", "net", "fees"})
_TIMES: Final = frozenset({"began", "ended", "created", "changed", "lease_until"})


def show_story(story: Story) -> None:
    """Show a payment's story."""
    console, standing = result_console(), story.standing
    headline = "no delivery of it was ever claimed" if standing is None else str(standing.state)
    console.print(Text.assemble((safe(story.payment_id).plain, "bold"), f" {headline.replace('_', '-')}"))
    if standing is not None:
        console.print(grid(_facts(story, standing)))
    if story.history:
        console.print(_history(story.history))


def _facts(story: Story, standing: Standing) -> dict[str, object]:
    candidate = f", candidate {standing.candidate}" if standing.candidate > 1 else ""
    rule = standing.rule and f"{standing.rule}, of rules version {standing.rules_version}{candidate}"
    return {
        "where": where(standing, time.time_ns() // 1_000_000, story.history),
        "attempt": f"{standing.attempt}"
        + (f", redriven {standing.redrives} times" if standing.redrives else ""),
        "only to": f"{standing.processor}: a dispatch may be there" if standing.pinned else None,
        "first seen": moment_text(standing.created),
        "amount": "\n".join(_money(story, standing)),
        "rule": rule or None,
        "dispatch id": standing.dispatch_id,
        "trace": standing.trace_id,
        "repeats": f"{standing.duplicates}, acknowledged and not sent" if standing.duplicates else None,
    }


def _money(story: Story, standing: Standing) -> Iterator[str]:
    gross, fees, net = (
        grouped(format_units(units, standing.scale))
        for units in (standing.gross, standing.fees, standing.net)
    )
    yield f"gross {gross} {standing.currency} = fees {fees} + net {net}"
    for step in story.steps:
        yield (
            f"{step['step']}: {step['exact']} -> {step['result']}"
            f" ({step['mode']}, remainder {step['remainder']})"
        )
    if not story.steps:
        for fee in story.fees:
            yield f"{fee['name']}: {grouped(fee['amount']['value'])}"
    if story.fees and not story.steps:
        yield "(how they were rounded is shown with the rules that charged them: --rules PATH)"


def _history(entries: Sequence[Entry]) -> Table:
    table = Table("from", "to", "what", "processor", "code", "attempt", "worker", box=SIMPLE_HEAD)
    for entry in entries:
        what = str(entry.happening).replace("_", "-") + ("" if entry.claimed else ", another delivery")
        table.add_row(
            moment_text(entry.began),
            moment_text(entry.ended),
            what,
            safe(entry.processor or ""),
            safe(entry.code or ""),
            str(entry.attempt),
            safe(entry.owner),
        )
    return table


def write_story(story: Story) -> None:
    """Write a payment's story as JSON; amounts as plain decimals, times as RFC 3339."""
    standing = story.standing
    told = {} if standing is None else _described(standing, standing.scale)
    told.pop("trail", None)
    write_json(
        {
            "payment_id": story.payment_id,
            "where": None
            if standing is None
            else where(standing, time.time_ns() // 1_000_000, story.history),
            **told,
            "fee_items": list(story.fees),
            "roundings": list(story.steps),
            "history": [_described(entry, entry.scale) for entry in story.history],
        }
    )


def _described(row: Standing | Entry, scale: int | None) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name, value in row._asdict().items():
        if value is not None and name in _AMOUNTS and scale is not None:
            described[name] = format_units(value, scale)
        elif name in _TIMES:
            described[name] = moment_text(value).replace(" ", "T")
        elif not isinstance(value, bytes):
            described[name] = value
    return described
