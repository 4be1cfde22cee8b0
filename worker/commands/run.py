"""``payment-worker run``: the worker itself."""

from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.options import AmqpUrl, Journal, Overlays, Prefix, Rules, Shards
from worker.commands.output import readable_errors

if TYPE_CHECKING:
    from worker.settings import Settings


def run(
    rules: Rules = None,
    overlay: Overlays = None,
    amqp_url: AmqpUrl = None,
    journal: Journal = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Worker processes, default 1.", show_default=False)
    ] = None,
    prefix: Prefix = None,
    topology: Annotated[
        str | None,
        typer.Option(
            metavar="declare|verify", help="Declare what is missing, or only verify.", show_default=False
        ),
    ] = None,
    prefetch: Annotated[
        int | None,
        typer.Option(min=1, help="Deliveries in flight a process, default 1000.", show_default=False),
    ] = None,
    shards: Shards = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(metavar="FORMAT", help="auto, json or console.")] = None,
) -> None:
    """Move payments from the incoming queue to the processors, until SIGTERM.

    SIGTERM and SIGINT stop the intake, finish what is in flight, acknowledge it and exit 0. Every option can
    be set as an environment variable too: PAYMENT_WORKER_AMQP_URL, PAYMENT_WORKER_DELAY_STEPS and so on.
    """
    with readable_errors():
        from worker.settings import load_settings

        settings = load_settings(
            rules=rules or None,
            overlays=overlay or None,
            amqp_url=amqp_url,
            journal=journal,
            processes=processes,
            prefix=prefix,
            topology=topology,
            prefetch=prefetch,
            shards=shards,
            log_level=log_level,
            log_format=log_format,
        )
        code = _run(settings)
    raise typer.Exit(code)


def _run(settings: "Settings") -> int:
    """Check everything that can be checked, then start the processes."""
    import asyncio

    from worker.amqp.connection import quiet_libraries
    from worker.journal.address import InMemory, NoJournal
    from worker.journal.opening import prepare_journal
    from worker.plugins.registry import Registry
    from worker.reload import RulesWatch
    from worker.rules_file import load
    from worker.session import prepare_topology
    from worker.settings import otel_exporter
    from worker.supervisor import Supervisor
    from worker.telemetry.logs import configure_logs, get_log

    configure_logs(settings.log_level, settings.log_format)
    quiet_libraries()
    otel_exporter("traces")
    otel_exporter("metrics")
    plugins = Registry.of(settings.plugins)
    plugins.check()
    loaded = load(settings.rules, settings.overlays, catalogue=plugins)
    log = get_log()
    new = prepare_journal(settings.journal_address)
    asyncio.run(prepare_topology(settings, loaded.table))
    match settings.journal_address:
        case NoJournal():
            log.warning(
                "no journal: a payment that is published twice is paid twice, and one that is delivered again"
                " after a crash can go to another processor if the rules have changed meanwhile"
            )
        case InMemory():
            log.warning("a journal in memory, for tests: all is forgotten when the process ends")
    if new:
        log.info("new journal", journal=settings.shown_journal)
    log.info(
        "worker starting",
        broker=settings.broker,
        processes=settings.processes,
        journal=settings.shown_journal,
        rules=[str(path) for path in settings.rules],
        rules_version=loaded.table.version,
    )
    watch = RulesWatch(settings.rules, settings.overlays, loaded, catalogue=plugins)
    return asyncio.run(Supervisor(settings, watch).run())
