"""``payment-worker demo``: the whole product in a minute, on a broker of its own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from worker.commands.options import Rules
from worker.commands.output import readable_errors


def demo(
    payments: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="How many payments to stream.")
    ] = 20_000,
    processes: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = 2,
    bad: Annotated[float, typer.Option(min=0, max=1, help="Share of bad payments.")] = 0.02,
    seed: Annotated[int, typer.Option(help="The same seed gives the same payments.")] = 7,
    kill: Annotated[bool, typer.Option(help="SIGKILL one worker process in mid-stream.")] = True,
    rules: Rules = None,
) -> None:
    """Start a private RabbitMQ, stream payments through real worker processes, and account for every one.

    Exits 0 only when every payment was dispatched once or dead-lettered with a reason, and the money adds up
    to the last minor unit.
    """
    with readable_errors():
        import uvloop

        from worker.amqp.connection import quiet_libraries
        from worker.demo import Demo, DemoPlan

        quiet_libraries()
        plan = DemoPlan(payments, processes, bad, seed, kill, tuple(rules or [_shipped_rules()]))
        with _broker() as url:
            balanced = uvloop.run(Demo(plan, url).run())
    raise typer.Exit(0 if balanced else 1)


@contextlib.contextmanager
def _broker() -> Iterator[str]:
    """Run a private node while the demo lasts."""
    import time

    from rich.console import Console

    from worker.local_broker import LocalBroker

    console = Console()
    started = time.monotonic()
    with console.status("starting a private RabbitMQ node"), contextlib.ExitStack() as stack:
        broker = stack.enter_context(LocalBroker())
        running = stack.pop_all()
    console.print(f"private RabbitMQ node at {broker.url} ({time.monotonic() - started:.1f} s)")
    with running:
        yield broker.url


def _shipped_rules() -> Path:
    """Return the folder of the default rules: the current folder's, or the checkout's."""
    from worker.errors import ConfigurationError

    for folder in (Path("routing_rules"), Path(__file__).parents[2] / "routing_rules"):
        if folder.is_dir():
            return folder
    raise ConfigurationError("there is no folder routing_rules here; name your rules with --rules PATH")
