"""``payment-worker broker``: a private RabbitMQ node in the foreground."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.output import readable_errors

if TYPE_CHECKING:
    from worker.local_broker import LocalBroker

_WATCH_SECONDS = 1.0


def broker(
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            metavar="PORT",
            help="AMQP port on 127.0.0.1, default a free one.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Keep the data in this folder; by default it is temporary.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a private RabbitMQ node until Ctrl-C; it touches no other RabbitMQ on this machine.

    Exit code 0 after SIGINT or SIGTERM, 2 when it cannot start or ends by itself.
    """
    with readable_errors():
        from worker.local_broker import LocalBroker

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            node = LocalBroker(data, port=port)
            typer.echo("starting a private RabbitMQ node, about 5 s ...", err=True)
            with node:
                _say_how_to_use(node, data)
                _watch(node)
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)


def _watch(node: "LocalBroker") -> None:
    """Return never: by KeyboardInterrupt, or by LocalBrokerFailed when the node ends by itself."""
    from worker.errors import LocalBrokerFailed

    while (exit_code := node.wait(_WATCH_SECONDS)) is None:
        pass
    raise LocalBrokerFailed(
        f"the RabbitMQ node ended by itself with exit code {exit_code}: killed, or out of memory or disk"
    )


def _say_how_to_use(node: "LocalBroker", data: Path | None) -> None:
    kept = f"kept in {node.folder}" if data else f"in {node.folder}, removed at the end"
    typer.echo(
        f"RabbitMQ is ready at {node.url}\n"
        f"its data is {kept}\n"
        "\n"
        "In the next terminal:\n"
        f"  export PAYMENT_WORKER_AMQP_URL={node.url}\n"
        "  payment-worker run --rules routing_rules/\n"
        "and in a third one, with the same export:\n"
        "  payment-worker generate 1000 | payment-worker publish -\n"
        "\n"
        "Ctrl-C ends it."
    )
