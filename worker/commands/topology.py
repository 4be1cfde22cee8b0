"""``payment-worker topology``: the queues and exchanges on the broker."""

from typing import TYPE_CHECKING

import typer

from worker.commands.options import AmqpUrl, Prefix, Rules, Shards
from worker.commands.output import readable_errors

if TYPE_CHECKING:
    from worker.amqp.topology import Topology
    from worker.settings import Settings

app = typer.Typer(help="Declare or verify the queues and exchanges on the broker.", no_args_is_help=True)


@app.command()
def declare(
    rules: Rules = None, amqp_url: AmqpUrl = None, prefix: Prefix = None, shards: Shards = None
) -> None:
    """Create every queue, exchange and binding that the settings and rules need; what exists must match."""
    _apply("declare", rules, amqp_url, prefix, shards)


@app.command()
def verify(
    rules: Rules = None, amqp_url: AmqpUrl = None, prefix: Prefix = None, shards: Shards = None
) -> None:
    """Check that every queue and exchange exists, without creating any."""
    _apply("verify", rules, amqp_url, prefix, shards)


def _apply(mode: str, rules: Rules, amqp_url: AmqpUrl, prefix: Prefix, shards: Shards) -> None:
    with readable_errors():
        import asyncio

        from worker.amqp.connection import quiet_libraries
        from worker.plugins.registry import Registry
        from worker.rules_file import load_rules
        from worker.session import prepare_topology, topology_of
        from worker.settings import load_settings

        quiet_libraries()
        settings = load_settings(
            rules=rules or None, amqp_url=amqp_url, prefix=prefix, topology=mode, shards=shards
        )
        table = load_rules(settings.rules, settings.overlays, catalogue=Registry.of(settings.plugins))
        asyncio.run(prepare_topology(settings, table))
        _show(settings, topology_of(settings, table))


def _show(settings: "Settings", topology: "Topology") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("kind", "name", "details", title=f"topology on {settings.broker}")
    for exchange in topology.exchanges:
        table.add_row("exchange", exchange.name, exchange.kind)
    for queue in topology.queues:
        bound = ", ".join(f"{source} {key}" for source, key in queue.bindings) or "default exchange only"
        table.add_row("queue", queue.name, f"quorum, bound to {bound}")
    Console().print(table)
