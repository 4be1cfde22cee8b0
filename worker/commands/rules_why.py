"""``payment-worker rules explain``: why a payment goes where it goes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.rules_options import (
    STDIN,
    Now,
    Overlays,
    Rules,
    console,
    fail,
    loaded,
    moment,
    planned,
    read_payment,
    source_name,
    write_json,
)

if TYPE_CHECKING:
    from rich.console import Console

    from schemas.payment import Payment
    from worker.routing import Routed
    from worker.routing.explain import Explanation

MOST_TRIALS = 40


def explain(
    payment: Annotated[
        Path, typer.Argument(metavar="PAYMENT.json", help="A payment as JSON; - reads stdin.")
    ],
    rules: Rules = None,
    overlay: Overlays = None,
    now: Now = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
) -> None:
    """Say why a payment goes where it goes: rules tried, what failed, who was skipped, what it costs."""
    from worker.errors import AmountNotPositive, WorkerError
    from worker.money import parse_units
    from worker.money.settled import not_settleable
    from worker.plugins.calls import CallerNow
    from worker.routing.explain import explain as explain_payment

    table = loaded(rules, overlay, as_json=as_json).table
    parsed = _read(payment, as_json=as_json)
    try:
        currency = table.currencies.lookup(parsed.amount.currency)
        if not currency.settleable:
            raise not_settleable(currency)
        if parse_units(parsed.amount.value)[0] <= 0:
            raise AmountNotPositive(f"amount {parsed.amount.value}: payments are of more than nothing")
        with CallerNow() as caller:
            found = explain_payment(table, parsed, moment(now), caller.ask, planned)
    except WorkerError as error:
        message = f"refused before routing: {error.code}: {error}"
        raise fail(message, as_json=as_json, code=error.code) from None
    if as_json:
        from worker.commands.rules_why_json import as_dict

        write_json(as_dict(found))
        return
    _print(console(), parsed, found)


def _read(path: Path, *, as_json: bool) -> "Payment":
    from worker.errors import PermanentError

    try:
        return read_payment(sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes())
    except OSError as error:
        raise fail(f"{path}: cannot be read: {error.strerror}", as_json=as_json, code="unreadable") from None
    except PermanentError as error:
        message = f"{source_name(path)} is not a payment: {error.code}: {error}"
        raise fail(message, as_json=as_json, code=error.code) from None


def _settings_lines(decision: "Routed", found: "Explanation") -> list[str]:
    lines: list[str] = []
    if (choice := found.choice) is not None:
        lines.append(
            f"Split: its hash point is {choice.percent(choice.point)} of 100, in the arm {choice.names[0]} "
            f"with weight {choice.percent(choice.weight)}."
        )
    if found.price.processor_converts_to is not None:
        lines.append(f"Settles in {found.price.processor_converts_to}: the processor converts.")
    if found.price.accounts:
        shares = [
            f"{share.account} {share.percent + ' %' if share.percent else 'the rest'}"
            + (f" ({amount})" if amount else "")
            for share, amount in found.price.accounts
        ]
        lines.append(f"Accounts: {', '.join(shares)}.")
    if decision.settings.priority is not None:
        lines.append(f"Priority {decision.settings.priority}.")
    if found.price.expires_at is not None:
        lines.append(f"Expires at {found.price.expires_at.isoformat()}.")
    return lines


def _print(out: "Console", payment: "Payment", found: "Explanation") -> None:
    from rich.markup import escape
    from rich.table import Table

    amount = payment.amount
    country = payment.country or "missing"
    out.print(
        f"[bold]{escape(payment.payment_id)}[/]: {escape(payment.type)}, {escape(amount.value)} "
        f"{escape(amount.currency)}, merchant {escape(payment.merchant_id)}, country {country}"
    )
    trials = Table(box=None, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
    trials.add_column("rule")
    trials.add_column("first condition that failed")
    trials.add_column("the payment")
    for trial in found.trials[-MOST_TRIALS:]:
        if trial.failure is None:
            trials.add_row(
                f"[green]{escape(trial.rule)}[/]", f"[green]holds[/]: {escape(found.conditions)}", ""
            )
        else:
            trials.add_row(escape(trial.rule), escape(trial.failure.condition), escape(trial.failure.actual))
    if len(found.trials) > MOST_TRIALS:
        out.print(
            f"[dim]{len(found.trials) - MOST_TRIALS} rules before these failed too; --json shows all[/]"
        )
    for line in _step_lines(found):
        out.print(line)
    if found.trials:
        out.print(trials)
    out.print()
    for line in _outcome_lines(found):
        out.print(line)


def _step_lines(found: "Explanation") -> list[str]:
    from rich.markup import escape

    added = {step: [] for step in found.steps}  # type: dict[str, list[str]]
    for key, value in found.added.items():
        added[key.partition(".")[0]].append(f"metadata.{key} = {value!r}")
    return [
        f"Step {step} lets it pass" + (f" and adds {escape(', '.join(texts))}." if texts else ".")
        for step, texts in added.items()
    ]


def _outcome_lines(found: "Explanation") -> list[str]:
    from rich.markup import escape

    from worker.routing import Held, Rejected, Routed

    decision = found.decision
    lines: list[str] = []
    match decision:
        case Routed():
            names = [
                f"[bold]{one.processor}[/]" + (f" (costs {one.cost})" if one.cost else "")
                for one in found.price.costs
            ]
            way = ", then ".join(names)
            if (refusal := found.refusal) is None:
                lines.append(f"Goes to {way}.")
                if len(names) > 1:
                    lines.append("[dim]The worker passes one over while its circuit breaker is open.[/]")
            else:
                ends = "Tried again later" if refusal.retried else "Dead-lettered"
                lines.append(f"[red]{ends} as [bold]{refusal.code}[/]:[/] {escape(refusal.reason)}")
                lines.append(f"Rule {decision.rule} would send it to {way}.")
            lines += [escape(line) for line in _settings_lines(decision, found)]
        case Rejected():
            lines.append(f"Rejected with [bold]{decision.code}[/]: {escape(decision.reason)}")
        case Held():
            lines.append(f"[bold]Held[/] for a person: {escape(decision.reason)}")
    if not isinstance(decision, Held):
        lines += [f"Skipped {skip.processor}: {escape(skip.reason)}." for skip in decision.skipped]
    if found.price.charge is not None:
        charge = found.price.charge
        fees = ", ".join(f"{fee.name} {fee.money}" for fee in charge.fees)
        lines.append(f"Gross {charge.gross}, fees {fees}, net {charge.net}.")
        lines += [f"  {escape(str(step))}" for step in charge.trail]
    if (exchange := found.price.exchange) is not None:
        source, code = escape(exchange.rate.source), exchange.result.currency.code
        lines.append(f"Settles {exchange.result} {code}, at {exchange.rate} by {source}.")
        lines.append(f"  {escape(str(exchange.step))}")
    lines.append(f"[dim]rules version {found.rules_version}, at {found.now.isoformat()}[/]")
    return lines
