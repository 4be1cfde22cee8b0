"""``payment-worker generate`` and ``payment-worker publish``: payments to try the worker with."""

import itertools
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.options import AmqpUrl, Prefix
from worker.commands.output import readable_errors

if TYPE_CHECKING:
    from worker.amqp.publisher import Failure, Message
    from worker.amqp.topology import Names
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
        typer.Option("--exported", help="FILE has exported dead letters: send them back, as `redrive` does."),
    ] = False,
    batch: Annotated[
        int, typer.Option(min=1, metavar="N", help="So many payments a message, as NDJSON.")
    ] = 1,
    max_redrives: Annotated[
        int,
        typer.Option(min=1, max=100, metavar="N", help="With --exported: refuse what was redriven N times."),
    ] = 3,
    amqp_url: AmqpUrl = None,
    prefix: Prefix = None,
) -> None:
    """Publish each line of FILE as one payment and wait until the broker has confirmed it.

    Lines go out byte for byte, bad ones too; the routing key is <type>.<currency> where the line has them,
    and mixed.mixed where a batch has several.
    Dead letters out of a file of `dead-letters export` or `drop` go back as a redrive sends them.
    """
    with readable_errors():
        import uvloop

        from worker.amqp.connection import quiet_libraries
        from worker.errors import ConfigurationError
        from worker.settings import load_settings
        from worker.source import names_of

        quiet_libraries()
        settings = load_settings(amqp_url=amqp_url, prefix=prefix)
        names = names_of(settings)
        read = partial(read_messages, batch=batch, ordered_by=settings.ordered_by)
        exchange = names.exchange
        if exported:
            read, exchange = partial(read_exported, names=names, max_redrives=max_redrives), names.returns
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
            confirmed, failures = uvloop.run(_publish(settings, exchange, read, lines, size))
    _report(confirmed, failures, exchange)


async def _publish(
    settings: "Settings", exchange: str, read: "Reader", lines: Iterable[bytes], size: int | None
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
            failures = await publish_all(connection, exchange, messages, on_confirmed)
    return confirmed, failures


def read_messages(
    lines: Iterable[bytes],
    on_read: Callable[[int], None],
    batch: int = 1,
    ordered_by: str | None = None,
) -> "Iterator[Message]":
    """Yield messages of the lines that are not blank; ``on_read`` learns each line's size in bytes."""
    from worker.batches import as_messages

    def payments() -> Iterator[tuple[int, bytes]]:
        for number, line in enumerate(lines, start=1):
            on_read(len(line))
            body = line.rstrip(b"\r\n")
            if body.strip():
                yield number, body

    return as_messages(payments(), batch, ordered_by)


def read_exported(
    lines: Iterable[bytes], on_read: Callable[[int], None], names: "Names", max_redrives: int
) -> "Iterator[Message]":
    """Yield the message that sends each exported dead letter back; ``on_read`` as for ``read_messages``.

    Raises:
        ConfigurationError: a line holds none, or one that was redriven ``max_redrives`` times; it is named.
    """
    from datetime import UTC, datetime

    from worker.amqp.publisher import Message
    from worker.dead_letters.exported import kept, read_line
    from worker.envelope import Envelopes
    from worker.errors import ConfigurationError

    identity, numbers = secrets.token_hex(8), itertools.count(1)
    envelopes = Envelopes(lambda: f"{identity}-{next(numbers)}", names.dead, names.back)
    for number, line in enumerate(lines, start=1):
        on_read(len(line))
        if line.strip():
            letter = kept(read_line(line, number))
            if (times := letter.arrival.redrives) >= max_redrives:
                raise ConfigurationError(
                    f"line {number} was redriven {times} times already, and --max-redrives is {max_redrives};"
                    " nothing was sent: see with `dead-letters show` why it dies again and again, then take"
                    " the line out or raise --max-redrives"
                )
            back = envelopes.redriven(names.returns, letter, datetime.now(UTC))
            yield Message((number,), back.routing_key, back.body, back.properties)


def _report(confirmed: int, failures: "list[Failure]", exchange: str) -> None:
    print(f"{confirmed:,} payments confirmed by the exchange {exchange}")  # noqa: T201
    lines = [(number, failure.reason) for failure in failures for number in failure.message.numbers]
    if lines:
        for number, reason in lines[:SHOWN_FAILURES]:
            print(f"error: line {number}: {reason}", file=sys.stderr)  # noqa: T201
        if len(lines) > SHOWN_FAILURES:
            print(f"error: and {len(lines) - SHOWN_FAILURES:,} more lines", file=sys.stderr)  # noqa: T201
        raise typer.Exit(1)
