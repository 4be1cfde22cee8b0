"""``payment-worker generate`` and ``payment-worker publish``: payments to try the worker with."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.options import AmqpUrl, Prefix
from worker.commands.output import readable_errors

if TYPE_CHECKING:
    from worker.amqp.publisher import Failure, Message
    from worker.settings import Settings

    Reader = Callable[[Iterable[bytes], Callable[[int], None]], Iterator[Message]]

SHOWN_FAILURES = 10


def generate(
    count: Annotated[int, typer.Argument(min=0, metavar="N", help="How many payments.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same payments.")] = 1,
    bad: Annotated[float, typer.Option(min=0, max=1, help="Share of bad ones, 0 to 1.")] = 0.0,
) -> None:
    """Write N realistic payments to stdout, one JSON object a line."""
    with readable_errors():
        from worker.generate import generate as payments

        for line in payments(count, seed, bad):
            sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


def publish(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="Payments, one JSON object a line; - is stdin.")
    ],
    exported: Annotated[
        bool,
        typer.Option(
            "--exported", help="FILE has exported dead letters: send their payments as their producers did."
        ),
    ] = False,
    amqp_url: AmqpUrl = None,
    prefix: Prefix = None,
) -> None:
    """Publish each line of FILE as one payment and wait until the broker has confirmed it.

    Lines go out byte for byte, bad ones too; the routing key is <type>.<currency> where the line has them.
    What a file of `dead-letters export` or `drop` holds goes out as it first came, without its history.
    """
    with readable_errors():
        import uvloop

        from worker.amqp.connection import quiet_libraries
        from worker.errors import ConfigurationError
        from worker.settings import load_settings

        quiet_libraries()
        settings = load_settings(amqp_url=amqp_url, prefix=prefix)
        read = read_exported if exported else read_messages
        if file == "-" and not exported:
            size, lines = None, sys.stdin.buffer
        else:
            path = Path(file)
            if not path.is_file():
                what = "is a folder; name a file" if path.is_dir() else "does not exist"
                raise ConfigurationError(f"{file} {what} of payments, one JSON object a line, or - for stdin")
            size, lines = path.stat().st_size, path.open("rb")
        with lines:
            if exported:  # nothing is sent when one line is wrong
                for _ in read(lines, lambda _: None):
                    pass
                lines.seek(0)
            confirmed, failures = uvloop.run(_publish(settings, lines, size, read))
    _report(confirmed, failures, settings.prefix)


async def _publish(
    settings: "Settings", lines: Iterable[bytes], size: int | None, read: "Reader"
) -> "tuple[int, list[Failure]]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from worker.amqp.connection import connected
    from worker.amqp.publisher import publish_all
    from worker.session import broker_of

    confirmed = 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]:,} confirmed"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("publishing", total=size, count=0)

        def on_confirmed(more: int) -> None:
            nonlocal confirmed
            confirmed += more
            progress.update(bar, count=confirmed)

        async with connected(broker_of(settings), "payment-worker publish") as connection:
            messages = read(lines, lambda read: progress.update(bar, advance=read))
            failures = await publish_all(connection, settings.prefix, messages, on_confirmed)
    return confirmed, failures


def read_messages(lines: Iterable[bytes], on_read: Callable[[int], None]) -> "Iterator[Message]":
    """Yield a message for each line that is not blank; ``on_read`` learns each line's size in bytes."""
    from worker.amqp.publisher import Message

    for number, line in enumerate(lines, start=1):
        on_read(len(line))
        body = line.rstrip(b"\r\n")
        if body.strip():
            yield Message(number, routing_key(body), body)


def read_exported(lines: Iterable[bytes], on_read: Callable[[int], None]) -> "Iterator[Message]":
    """Yield the message of each exported dead letter; ``on_read`` as for ``read_messages``.

    Raises:
        ConfigurationError: a line holds none; it is named.
    """
    from worker.amqp.publisher import Message
    from worker.dead_letters.exported import as_published, body_of, read_line

    for number, line in enumerate(lines, start=1):
        on_read(len(line))
        if line.strip():
            letter = read_line(line, number)
            key, properties = as_published(letter)
            body = body_of(letter)
            yield Message(number, key or routing_key(body), body, properties)


def routing_key(body: bytes) -> str:
    """Return ``<type>.<currency>`` of a payment, or ``unknown.unknown`` where the line does not say."""
    import orjson

    try:
        payment = orjson.loads(body)
        kind, currency = payment["type"], payment["amount"]["currency"].lower()
        if kind.isascii() and currency.isascii() and len(kind) + len(currency) < 200:
            return f"{kind}.{currency}"
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        pass
    return "unknown.unknown"


def _report(confirmed: int, failures: "list[Failure]", prefix: str) -> None:
    print(f"{confirmed:,} payments confirmed by the exchange {prefix}")  # noqa: T201
    if failures:
        for failure in failures[:SHOWN_FAILURES]:
            print(f"error: line {failure.number}: {failure.reason}", file=sys.stderr)  # noqa: T201
        if len(failures) > SHOWN_FAILURES:
            print(f"error: and {len(failures) - SHOWN_FAILURES:,} more lines", file=sys.stderr)  # noqa: T201
        raise typer.Exit(1)
