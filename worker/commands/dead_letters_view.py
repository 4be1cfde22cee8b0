"""How dead letters look: tables for people, JSON for machines. What others wrote is shown, never obeyed."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas import dead_letter as names
from worker.commands.dead_letters_options import Looked
from worker.commands.plain import (
    INDENT,
    clean,
    grid,
    grouped,
    mask_cards,
    result_console,
    safe,
    when,
    write_json,
)
from worker.dead_letters import DeadLetter, Totals, advice_for, plain_amount
from worker.dead_letters.exported import to_json
from worker.envelope import origin, producer_headers, rfc3339

if TYPE_CHECKING:
    from worker.dead_letters.walk import Report


def described(letter: DeadLetter) -> dict[str, Any]:
    """Return what a dead letter's headers say, under short names."""
    past, headers = letter.arrival, letter.properties.headers
    return {
        "payment_id": letter.payment_id,
        "letter_id": letter.letter_id,
        "code": letter.code,
        "message": letter.message,
        "amount": _amount_json(letter),
        "dead_at": rfc3339(letter.dead_at) if letter.dead_at else None,
        "first_seen": past.first_seen,
        "attempts": [attempt.model_dump(exclude_none=True) for attempt in letter.attempts],
        "redrives": past.redrives,
        "exchange": past.exchange,
        "routing_key": past.routing_key,
        "traceparent": to_json(headers.get(names.TRACEPARENT)),
        "body_bytes": len(letter.delivery.body),
        "problem": letter.problem,
    }


def totals_json(totals: Totals) -> list[dict[str, Any]]:
    """Return sums by code and currency; without a currency no amount could be read."""
    return [
        {"code": code, "currency": currency, "dead_letters": letters, "amount": amount}
        for code, currency, letters, amount in totals.rows()
    ]


def show_list(letters: Sequence[DeadLetter], totals: Totals, looked: Looked, codes: frozenset[str]) -> None:
    """Show a table of letters, and what all that were chosen add up to."""
    console = result_console()
    if not totals.letters:
        console.print(looked.nothing_found(codes))
        return
    if letters:
        now = datetime.now(UTC)
        table = Table(box=SIMPLE_HEAD)
        for name in ("payment", "code", "amount", "dead for"):
            table.add_column(name, no_wrap=True, overflow="fold")
        table.add_column("why")
        for letter in letters:
            again = f"(redrive {n}) " if (n := letter.arrival.redrives) else ""
            table.add_row(
                safe(letter.name),
                safe(letter.code),
                safe(_amount_text(letter)),
                "?" if letter.dead_at is None else age((now - letter.dead_at).total_seconds()),
                safe(again + letter.message),
            )
        console.print(table)
    _show_totals(console, totals)
    shown = f"{len(letters):,} shown of " if 0 < len(letters) < totals.letters else ""
    console.print(f"{shown}{totals.letters:,} chosen of {looked.letters:,} dead letters")


def show_result(
    verb: str,
    report: "Report",
    looked: Looked,
    codes: frozenset[str],
    *,
    dry_run: bool = False,
    rate: float | None = None,
    as_json: bool = False,
) -> None:
    """Show what was done, or what would be, and what stays although it was chosen."""
    if as_json:
        write_json(
            {
                "action": verb,
                "dry_run": dry_run,
                "looked_at": looked.letters,
                "done": totals_json(report.done),
                "left": {reason: totals_json(totals) for reason, totals in report.left.items()},
            }
        )
        return
    console = result_console()
    done = report.done.letters
    if not done and not report.left:
        console.print(looked.nothing_found(codes) if dry_run or looked.letters else "no dead letters")
        return
    if done:
        _show_totals(console, report.done)
        if dry_run:
            for code in sorted(report.done.codes):
                console.print(Text.assemble((f"  {clean(code)}  ", "bold"), advice_for(code)))
    for reason, totals in report.left.items():
        console.print(f"{totals.letters:,} stay: {reason}")
    if dry_run:
        pace = f", in {done / rate:,.0f} s at {rate:g}/s" if rate and done > rate else ""
        console.print(
            f"dry run: {done:,} of {looked.letters:,} dead letters would be {verb}{pace}; --yes does it"
        )
    else:
        console.print(f"{done:,} of {looked.letters:,} dead letters {verb}")


def show_letter(letter: DeadLetter) -> None:
    """Show everything about one letter, and what to do next."""
    console = result_console()
    past, properties = letter.arrival, letter.properties
    exchange, key = origin(letter.delivery, past)
    facts = {
        "payment": letter.payment_id or "(its id could not be read)",
        "letter": letter.letter_id,
        "code": letter.code,
        "why": letter.message,
        "amount": _amount_text(letter),
        "died": when(letter.dead_at),
        "first seen": past.first_seen,
        "redriven": f"{past.redrives} times" if past.redrives else None,
        "only to": f"{past.pinned_to or 'the first candidate'}: a dispatch may be there"
        if past.pinned
        else None,
        "published to": f"{exchange}, routing key {key}",
        "message id": past.message_id,
        "line of it": properties.headers.get(names.LINE),
        "expiration": past.expiration,
        "trace": properties.headers.get(names.TRACEPARENT),
        "unreadable": letter.problem,
    }
    console.print(grid(facts))
    if letter.attempts:
        table = Table("try", "failed at", "code", "processor", box=SIMPLE_HEAD)
        for attempt in letter.attempts:
            table.add_row(
                str(attempt.attempt), safe(attempt.at), safe(attempt.code), safe(attempt.processor or "")
            )
        console.print(table)
    own = {
        name: getattr(properties, name)
        for name in ("content_type", "correlation_id", "reply_to", "type", "app_id")
    }
    others = {name: to_json(value) for name, value in producer_headers(properties.headers).items()}
    others.pop(names.LINE, None)
    if given := {name: value for name, value in {**own, **others}.items() if value is not None}:
        console.print(Text("its producer's properties and headers", style="bold"))
        console.print(grid(given))
    console.print(
        Text(f"body, {len(letter.delivery.body):,} bytes; --raw writes them as they are", style="bold")
    )
    console.print(Text(pretty_body(letter.delivery.body)), soft_wrap=True)
    console.print(Text("what to do next", style="bold"))
    console.print(Text(INDENT + advice_for(letter.code, [attempt.code for attempt in letter.attempts])))


def pretty_body(body: bytes) -> str:
    """Return a body for reading: JSON indented without a token changed, card numbers masked."""
    text = body.decode(errors="backslashreplace")
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return mask_cards(clean(text))
    return mask_cards(clean(indent_json(text)))


def indent_json(text: str) -> str:
    """Return JSON text with a line for each member, and every token as it was written."""
    return "".join(_tokens_apart(text))


def _tokens_apart(text: str) -> Iterator[str]:
    depth = 0
    for piece in re.findall(r'"(?:[^"\\]|\\.)*"|[\[{]\s*[\]}]|[^\s"]', text):
        match piece:
            case "[" | "{":
                depth += 1
                yield piece + "\n" + INDENT * depth
            case "]" | "}":
                depth -= 1
                yield "\n" + INDENT * depth + piece
            case ",":
                yield ",\n" + INDENT * depth
            case ":":
                yield ": "
            case _:
                yield piece


def age(seconds: float) -> str:
    """Return how long ago something was, in its largest whole unit, such as ``2 h``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _show_totals(console: Console, totals: Totals) -> None:
    table = Table("code", "dead letters", "amount", "currency", box=SIMPLE_HEAD, show_footer=True)
    by_currency = totals.by_currency()
    for column in table.columns[1:3]:
        column.justify = "right"
    for code, currency, letters, amount in totals.rows():
        table.add_row(
            safe(code),
            f"{letters:,}",
            "?" if amount is None else grouped(amount),
            safe(currency or "unreadable"),
        )
    columns = table.columns
    columns[0].footer, columns[1].footer = "all", f"{totals.letters:,}"
    columns[2].footer = "\n".join(grouped(amount) for _, amount in by_currency)
    columns[3].footer = "\n".join(currency for currency, _ in by_currency)
    console.print(table)


def _amount_text(letter: DeadLetter) -> str:
    if letter.amount is None:
        return "unreadable"
    currency, units = letter.amount
    return f"{grouped(plain_amount(units, currency))} {currency}"


def _amount_json(letter: DeadLetter) -> dict[str, str] | None:
    if letter.amount is None:
        return None
    currency, units = letter.amount
    return {"value": plain_amount(units, currency), "currency": currency}
