"""``payment-worker rules graph``: the rules as a diagram."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from worker.commands.rules_options import Overlays, RuleFiles, check_writable, loaded, write_text


def graph(
    files: RuleFiles = None,
    overlay: Overlays = None,
    form: Annotated[
        Literal["mermaid", "svg"], typer.Option("--format", help="Text for Mermaid, or an image.")
    ] = "mermaid",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: stdout.")
    ] = None,
) -> None:
    """Draw the rules: in order on the left, what they send to on the right."""
    from worker.routing.graph import mermaid, svg

    if output is not None:
        check_writable(output)
    table = loaded(files, overlay).table
    text = svg(table) if form == "svg" else mermaid(table)
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)
