"""``payment-worker dead-letters``: for the people who have to deal with them."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.commands.options import AmqpUrl, Prefix
from worker.commands.output import readable_errors

if TYPE_CHECKING:
    from worker.amqp.browse import Seen
    from worker.settings import Settings

app = typer.Typer(help="Look at payments that could not be dispatched.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look at payments that could not be dispatched."""


@app.command("list")
def list_(
    amqp_url: AmqpUrl = None,
    prefix: Prefix = None,
    limit: Annotated[int, typer.Option(min=1, max=65535, help="How many, from the oldest.")] = 50,
    code: Annotated[str | None, typer.Option(help="Only this error code.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show dead letters, oldest first, and leave them where they are."""
    with readable_errors():
        import asyncio

        from worker.amqp.connection import quiet_libraries
        from worker.settings import load_settings

        quiet_libraries()
        settings = load_settings(amqp_url=amqp_url, prefix=prefix)
        total, letters = asyncio.run(_read(settings, limit))
        records = [record for letter in letters if code in (None, (record := describe(letter))["code"])]
        _show_json(records) if as_json else _show_table(records, total, len(letters))


async def _read(settings: "Settings", limit: int) -> "tuple[int, list[Seen]]":
    from worker.amqp.browse import browse, depth
    from worker.amqp.connection import connected
    from worker.amqp.topology import Names
    from worker.session import broker_of

    queue = Names(settings.prefix).dead
    async with connected(broker_of(settings), "payment-worker dead-letters") as connection:
        return await depth(connection, queue), await browse(connection, queue, limit)


def describe(letter: "Seen") -> dict[str, Any]:
    """Return what a dead letter's headers say, under short names."""
    from schemas import dead_letter as names

    headers = letter.headers
    return {
        "payment_id": headers.get(names.PAYMENT_ID),
        "code": headers.get(names.ERROR_CODE),
        "message": headers.get(names.ERROR_MESSAGE),
        "attempt": headers.get(names.ATTEMPT),
        "attempts": headers.get(names.ATTEMPTS),
        "first_seen": headers.get(names.FIRST_SEEN),
        "dead_at": headers.get(names.DEAD_AT),
        "exchange": headers.get(names.EXCHANGE),
        "routing_key": headers.get(names.ROUTING_KEY),
        "traceparent": headers.get(names.TRACEPARENT),
        "body_bytes": len(letter.body),
    }


def _show_json(records: list[dict[str, Any]]) -> None:
    import orjson

    for record in records:
        print(orjson.dumps(record, default=_as_text).decode())  # noqa: T201


def _as_text(value: object) -> str:
    """Show a header value that JSON has no form for, which only another program can have put there."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes | bytearray) else str(value)


def _show_table(records: list[dict[str, Any]], total: int, read: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not records:
        console.print(
            "no dead letters"
            if total == 0
            else f"none of the {read:,} dead letters read, of {total:,}, has that code; --limit reads more"
        )
        return
    table = Table("payment", "code", "attempt", "dead since", "why")
    for record in records:
        dead_at = str(record["dead_at"] or "")[:19].replace("T", " ")
        cells = (
            record["payment_id"] or "(unreadable)",
            record["code"],
            record["attempt"],
            dead_at,
            record["message"],
        )
        table.add_row(*(Text(str(cell)) for cell in cells))
    console.print(table)
    by_code = Counter(str(record["code"]) for record in records)
    console.print(", ".join(f"{code} {number:,}" for code, number in by_code.most_common()))
    console.print(f"{read:,} read of {total:,} in the queue; --limit reads more, --json shows every header")
