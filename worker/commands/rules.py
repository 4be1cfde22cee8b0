"""``payment-worker rules``: check rule files and see what they do before they go live."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="rules", help="Check rule files and see what they do.", no_args_is_help=True)

RuleFiles = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Rule files, or folders whose *.yaml are read in name order."),
]
Overlays = Annotated[
    list[Path] | None, typer.Option("--overlay", help="A file laid over the others; may be repeated.")
]


@app.callback()
def main() -> None:
    """Check rule files and see what they do."""


@app.command()
def check(files: RuleFiles, overlay: Overlays = None) -> None:
    """Say everything that is wrong in rule files, by line and column. Exit code 1 if anything is."""
    from worker.errors import InvalidRules
    from worker.rules_file import load_rules

    try:
        table = load_rules(files, overlay or ())
    except InvalidRules as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from None
    counts = (
        f"{len(table.rules) - 1} rules, {len(table.processors)} processors, {len(table.fees)} fee schedules"
    )
    sys.stdout.write(f"The rules are sound: {counts}; version {table.version}\n")
