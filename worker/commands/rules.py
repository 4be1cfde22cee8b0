"""``payment-worker rules``: check rule files and see what they do before they go live."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands import rules_assertions, rules_picture, rules_traffic, rules_why
from worker.commands.rules_options import Overlays, RuleFiles, counted, loaded, write_json

if TYPE_CHECKING:
    from worker.routing.lint import Finding
    from worker.rules_file import LoadedRules

app = typer.Typer(name="rules", help="Check rule files and see what they do.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Check rule files and see what they do."""


@app.command()
def check(
    files: RuleFiles = None,
    overlay: Overlays = None,
    notes: Annotated[
        bool, typer.Option("--notes", help="Show every note, also where order decides between rules.")
    ] = False,
    no_lint: Annotated[bool, typer.Option("--no-lint", help="Only errors, no warnings and notes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All findings as JSON.")] = False,
) -> None:
    """Say what is wrong in rule files by line, and what is hardly meant, with a payment that shows it.

    Exit code 1 for errors and warnings; notes alone give 0.
    """
    from worker.routing.lint import Severity, lint

    rules = loaded(files, overlay, as_json=as_json)
    table = rules.table
    findings = [] if no_lint else lint(table)
    warnings = [one for one in findings if one.severity is Severity.WARNING]
    if as_json:
        _write_json(rules, findings)
        raise typer.Exit(1 if warnings else 0)
    shown = [one for one in findings if notes or one.code != "overlap"]
    for finding in shown:
        sys.stdout.write(f"{_shown(rules, finding)}\n\n")
    if len(shown) < len(findings):
        more = counted(len(findings) - len(shown), "more note")
        sys.stdout.write(f"{more} on rules of which order decides: --notes\n")
    numbers = (
        (len(table.rules) - 1, "rule"),
        (len(table.processors), "processor"),
        (len(table.fees), "fee schedule"),
    )
    counts = ", ".join(counted(number, word) for number, word in numbers)
    sys.stdout.write(f"{_verdict(len(warnings))}: {counts}; version {table.version}\n")
    if warnings:
        raise typer.Exit(1)


def _write_json(rules: "LoadedRules", findings: "list[Finding]") -> None:
    from worker.routing.problems import Problem
    from worker.routing.source import locate

    listed = []
    for one in findings:
        mark = locate(rules.root, Problem(one.path, one.message))
        witness = one.witness and {"payment": one.witness.payment, "now": one.witness.now.isoformat()}
        listed.append(
            {
                "severity": one.severity.value,
                "code": one.code,
                "file": mark.file.name,
                "line": mark.line + 1,
                "column": mark.column + 1,
                "message": one.message,
                "witness": witness,
            }
        )
    write_json({"rules_version": rules.table.version, "findings": listed})


def _verdict(warnings: int) -> str:
    if not warnings:
        return "The rules are sound"
    return f"The rules load, with {counted(warnings, 'warning')}"


def _shown(rules: "LoadedRules", finding: "Finding") -> str:
    import json

    from worker.routing.problems import Problem
    from worker.routing.source import Diagnostic, locate

    mark = locate(rules.root, Problem(finding.path, finding.message))
    text = str(Diagnostic(mark, f"{finding.severity.value}: {finding.message}"))
    if finding.witness is None:
        return text
    when = "" if finding.witness.now == _noon() else f"  at {finding.witness.now.isoformat()}"
    return f"{text}\n  payment: {json.dumps(finding.witness.payment)}{when}"


def _noon() -> object:
    from worker.routing.region import NOON

    return NOON


app.command()(rules_why.explain)
app.command()(rules_traffic.simulate)
app.command()(rules_traffic.diff)
app.command()(rules_picture.graph)
app.command("test")(rules_assertions.run_tests)
