"""``payment-worker rules simulate`` and ``diff``: what rules do to a file of payments."""

import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.commands.rules_options import (
    EXIT_CHANGED,
    STDIN,
    Now,
    Overlays,
    PaymentLines,
    Rules,
    check_writable,
    console,
    counted,
    fail,
    loaded,
    moment,
    planned,
    warn_unreadable,
    with_progress,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    from rich.table import Table

    from worker.money import CurrencyRegistry
    from worker.routing.compare import Comparison
    from worker.routing.simulate import Simulation

AsJson = Annotated[bool, typer.Option("--json", help="The figures as JSON.")]
MOST_ROWS = 60


def simulate(
    payments: Annotated[
        Path, typer.Argument(metavar="FILE.ndjson", help="Payments, one JSON object a line; - reads stdin.")
    ],
    rules: Rules = None,
    overlay: Overlays = None,
    now: Now = None,
    as_json: AsJson = False,
) -> None:
    """Show where a file of payments would go: count, amount and cost by rule, processor and currency."""
    from worker.plugins.calls import CallerNow
    from worker.routing.simulate import Simulation

    table, lines = loaded(rules, overlay).table, _lines(payments)
    with CallerNow() as caller:
        simulation = Simulation(table, moment(now), caller.ask, planned)
        _fed(simulation, lines)
    warn_unreadable(lines)
    if as_json:
        write_json({"payments": sum(one.payments for one in simulation.cells.values()), **_cells(simulation)})
        return
    _print_simulation(simulation)


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Rule file or folder as it is.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Rule file or folder as it would be.")],
    payments: Annotated[
        Path,
        typer.Option(
            "--payments", metavar="FILE.ndjson", help="Payments, one JSON object a line; - reads stdin."
        ),
    ],
    overlay: Overlays = None,
    now: Now = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report to look at in a browser.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show which payments other rules would move: from where to where, how many, how much, at what cost.

    An overlay is laid over both.
    Exit code 3 when anything moves or pays other fees, 0 when nothing does, 1 for broken rules.
    """
    from worker.plugins.calls import CallerNow
    from worker.routing.compare import Comparison

    if html is not None:
        check_writable(html)
    lines = _lines(payments)
    before, after = loaded([old], overlay).table, loaded([new], overlay).table
    with CallerNow() as caller:
        comparison = Comparison(before, after, moment(now), caller.ask, planned)
        _fed(comparison, lines)
    warn_unreadable(lines)
    if html is not None:
        from worker.routing.report import html_report

        write_text(html, html_report(comparison, str(old), str(new), payments.name))
    if as_json:
        write_json(_flows(comparison))
    else:
        _print_comparison(comparison)
    if html is not None and not as_json:
        sys.stdout.write(f"Report: {html}\n")
    if comparison.changed:
        raise typer.Exit(EXIT_CHANGED)


def _lines(path: Path) -> PaymentLines:
    if str(path) != STDIN and not path.is_file():
        raise fail(f"{path}: there is no such file of payments")
    return PaymentLines(path)


def _fed(target: "Simulation | Comparison", lines: PaymentLines) -> None:
    target.add_all(with_progress(lines))


def _cells(simulation: "Simulation") -> dict[str, Any]:
    from worker.routing.figures import amount_text, minor_units_text

    registry = simulation.table.currencies
    return {
        "rules_version": simulation.table.version,
        "now": simulation.now.isoformat(),
        "cells": [
            {
                "rule": rule,
                "outcome": destination.kind,
                "destination": destination.name,
                "currency": currency,
                "payments": sums.payments,
                "amount": amount_text(sums.amount, currency, registry),
                "fees": minor_units_text(sums.fees, currency, registry),
                "cost": minor_units_text(sums.cost, currency, registry),
                "payments_without_known_cost": sums.uncosted,
            }
            for (rule, destination, currency), sums in sorted(simulation.cells.items())
        ],
    }


def _flows(comparison: "Comparison") -> dict[str, Any]:
    from worker.routing.figures import amount_text, minor_units_text

    registry = comparison.new.currencies
    return {
        "old_version": comparison.old.version,
        "new_version": comparison.new.version,
        "now": comparison.now.isoformat(),
        "payments": comparison.payments,
        "moved": comparison.moved,
        "repriced": comparison.repriced,
        "flows": [
            {
                "from": str(before),
                "to": str(after),
                "currency": currency,
                "payments": flow.payments,
                "amount": amount_text(flow.amount, currency, registry),
                "fees_difference": minor_units_text(flow.fees_after - flow.fees_before, currency, registry),
                "cost_difference": minor_units_text(flow.cost_after - flow.cost_before, currency, registry),
                "payments_without_known_cost": flow.uncosted,
                "rules": [
                    {"old": pair[0], "new": pair[1], "payments": count}
                    for pair, count in sorted(flow.rules.items())
                ],
                "examples": flow.examples,
            }
            for (before, after, currency), flow in comparison.moves()
        ],
    }


def _table(*columns: str, numbers: Iterable[str] = ()) -> "Table":
    from rich.table import Table

    right = set(numbers)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column in right)
    return table


def _cost(cost: int, uncosted: int, payments: int, currency: str, registry: "CurrencyRegistry") -> str:
    from worker.routing.figures import minor_units_text

    if uncosted == payments:
        return "unknown"
    return minor_units_text(cost, currency, registry) + (" +?" if uncosted else "")


def _print_simulation(simulation: "Simulation") -> None:
    from worker.routing.figures import amount_text, minor_units_text

    registry = simulation.table.currencies
    numbers = ("payments", "amount", "fees", "cost")
    by_rule = _table("rule", "goes to", "currency", *numbers, numbers=numbers)
    rows = sorted(simulation.cells.items(), key=lambda one: (-one[1].payments, one[0]))
    for (rule, destination, currency), sums in rows[:MOST_ROWS]:
        by_rule.add_row(
            rule,
            str(destination),
            currency,
            str(sums.payments),
            amount_text(sums.amount, currency, registry),
            minor_units_text(sums.fees, currency, registry),
            _cost(sums.cost, sums.uncosted, sums.payments, currency, registry),
        )
    out = console()
    out.print(by_rule)
    if len(rows) > MOST_ROWS:
        out.print(f"[dim]{len(rows) - MOST_ROWS} smaller rows are left out; --json has all[/]")
    total = sum(sums.payments for sums in simulation.cells.values())
    sent, unknown = (
        sum(sums.payments for (_, to, _), sums in simulation.cells.items() if to.kind == kind)
        for kind in ("processor", "undecided")
    )
    left = f", {unknown} undecided: no answer of a plugin, or no fresh exchange rate" if unknown else ""
    out.print(
        f"\n{counted(total, 'payment')}: {sent} to processors, {total - sent - unknown} dead-lettered{left}."
    )


def _print_comparison(comparison: "Comparison") -> None:
    from worker.routing.figures import amount_text, minor_units_text

    registry = comparison.new.currencies
    numbers = ("payments", "amount", "fees +/-", "cost +/-")
    table = _table("from", "to", "currency", *numbers, "such as", numbers=numbers)
    moves = comparison.moves()
    for (before, after, currency), flow in islice(moves, MOST_ROWS):
        table.add_row(
            str(before),
            str(after) if before != after else "stays, other fees",
            currency,
            str(flow.payments),
            amount_text(flow.amount, currency, registry),
            minor_units_text(flow.fees_after - flow.fees_before, currency, registry, signed=True),
            _cost(flow.cost_after - flow.cost_before, flow.uncosted, flow.payments, currency, registry),
            flow.examples[0],
        )
    out = console()
    if moves:
        out.print(table)
        out.print()
    share = f"{comparison.moved} of {comparison.payments} payments move"
    out.print(f"{share}, {comparison.repriced} more stay and pay other fees.")
