"""The command line: ``payment-worker``, also ``python -m worker``."""

import typer

from worker.commands import broker, dead_letters, demo, money, plugins, publish, rules, run, topology

app = typer.Typer(
    name="payment-worker",
    help="Moves payments from RabbitMQ to payment processors: exact money, rules in YAML, nothing lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run.run)
app.command()(demo.demo)
app.command()(publish.generate)
app.command()(publish.publish)
app.command()(broker.broker)
app.command()(plugins.plugins)
app.add_typer(topology.app, name="topology")
app.add_typer(rules.app, name="rules")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(money.app, name="money")


def main() -> None:
    """Run the command line."""
    app(prog_name="payment-worker")
