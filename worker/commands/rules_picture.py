"""``payment-worker rules graph``: the rules as a diagram."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from worker.commands.output import readable_errors
from worker.commands.rules_options import Overlays, RuleFiles, check_writable, loaded, write_text

_OTHER_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".pdf"})


def graph(
    files: RuleFiles = None,
    overlay: Overlays = None,
    form: Annotated[
        Literal["mermaid", "svg"] | None,
        typer.Option(
            "--format",
            help="Text for Mermaid, or an image. Default: svg for an output FILE.svg, else mermaid.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: stdout.")
    ] = None,
) -> None:
    """Draw the rules: in order on the left, what they send to on the right."""
    from worker.errors import InvalidSettings
    from worker.routing.graph import mermaid, svg

    if output is not None:
        if form is None and output.suffix.lower() in _OTHER_IMAGES:
            with readable_errors():
                raise InvalidSettings(
                    f"{output}: a graph is written as .svg, or as text for Mermaid (.md, .mmd)"
                )
        check_writable(output)
    table = loaded(files, overlay).table
    if form is None:
        form = "svg" if output is not None and output.suffix == ".svg" else "mermaid"
    text = svg(table) if form == "svg" else mermaid(table)
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)
