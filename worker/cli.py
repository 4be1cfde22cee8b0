"""The command line: ``payment-worker``, also ``python -m worker``."""

from typing import Annotated

import typer

from worker.commands import (
    audit,
    broker,
    dead_letters,
    demo,
    journal,
    money,
    payment,
    plugins,
    publish,
    reconcile,
    rules,
    run,
    stats,
    topology,
)

app = typer.Typer(
    name="payment-worker",
    help="Moves payments from RabbitMQ to payment processors: exact money, rules in YAML, nothing lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("payment-stream-worker"))
        raise typer.Exit


@app.callback()
def _about(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Moves payments from RabbitMQ to payment processors: exact money, rules in YAML, nothing lost."""


app.command()(run.run)
app.command()(demo.demo)
app.command()(publish.generate)
app.command()(publish.publish)
app.command()(broker.broker)
app.command()(payment.payment)
app.command()(audit.audit)
app.command()(reconcile.reconcile)
app.command()(stats.stats)
app.command()(plugins.plugins)
app.add_typer(topology.app, name="topology")
app.add_typer(rules.app, name="rules")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(money.app, name="money")
app.add_typer(journal.app, name="journal")


def main() -> None:
    """Run the command line."""
    app(prog_name="payment-worker")
