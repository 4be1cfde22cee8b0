"""What the rule commands share: naming rule files, loading them, reading payments."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from schemas.payment import Payment
    from worker.plugins.registry import Registry
    from worker.routing import RuleTable
    from worker.routing.questions import Answers, Kind, Use
    from worker.rules_file import LoadedRules

EXIT_WRONG = 1
EXIT_CHANGED = 3

RuleFiles = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Rule files, or folders whose *.yaml are read in name order."),
]
Rules = Annotated[
    list[Path] | None,
    typer.Option("--rules", metavar="PATH", help="Rule file or folder; repeatable. Default: routing_rules."),
]
Overlays = Annotated[
    list[Path] | None,
    typer.Option("--overlay", metavar="FILE", help="A file laid over the others; repeatable."),
]
Now = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"],
        help="Time of routing, such as 2026-01-31T09:00Z, for rules with time windows. Default: now.",
    ),
]
DEFAULT_RULES = Path("routing_rules")


def fail(message: object) -> typer.Exit:
    """Write one readable block to stderr and return the exit to raise."""
    sys.stderr.write(f"{message}\n")
    return typer.Exit(EXIT_WRONG)


class AllowedPlugins:
    """The plugins that the settings allow. The settings are read only when rules use one."""

    def __init__(self) -> None:
        self._registry: Registry | None = None

    def use(self, kind: "Kind", name: str, arguments: Mapping[str, Any]) -> "Use":
        """Return a plugin made ready with its arguments; see ``worker.routing.Catalogue``."""
        from worker.plugins.registry import Registry
        from worker.settings import load_settings

        if self._registry is None:
            self._registry = Registry.of(load_settings().plugins)
        return self._registry.use(kind, name, arguments)


def loaded(paths: Iterable[Path] | None, overlays: Iterable[Path] | None) -> "LoadedRules":
    """Return the rules of files; broken ones end the command with their problems and exit code 1."""
    from worker.errors import ConfigurationError
    from worker.rules_file import load

    try:
        return load(list(paths or [DEFAULT_RULES]), list(overlays or ()), AllowedPlugins())
    except ConfigurationError as error:
        raise fail(error) from None


def console() -> "Console":
    """Return a console for results; where no terminal sets the width, wide enough for tables."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def moment(now: datetime | None) -> datetime:
    """Return the time of routing that was asked for, or the present."""
    return datetime.now(UTC) if now is None else now


def planned(table: "RuleTable", payment: "Payment", now: datetime, answers: "Answers") -> object:
    """Plan a payment as the worker would; raises as planning does."""
    from worker.codec import Decoded
    from worker.planning import Planner

    return Planner(table).plan(Decoded(payment, b""), now, answers)


class PaymentLines:
    """Payments of an NDJSON file, one at a time; lines that are none are counted and the first are kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable = 0
        self.first_errors: list[str] = []
        self.bytes_read = 0

    def __iter__(self) -> Iterator["Payment"]:
        from pydantic import ValidationError

        from schemas.payment import Payment

        read = Payment.__pydantic_validator__.validate_json
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                self.bytes_read += len(line)
                if line.isspace():
                    continue
                try:
                    payment: Payment = read(line)
                except ValidationError as error:
                    self._unreadable(number, error)
                    continue
                yield payment

    def _unreadable(self, number: int, error: "Exception") -> None:
        from pydantic import ValidationError

        self.unreadable += 1
        if len(self.first_errors) < 3 and isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            self.first_errors.append(f"line {number}: {place + ': ' if place else ''}{first['msg']}")


def with_progress(lines: PaymentLines) -> Iterator["Payment"]:
    """Yield the file's payments with a progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    total = lines.path.stat().st_size
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("routing", total=total)
        for i, payment in enumerate(lines):
            if not i & 4095:
                progress.update(task, completed=lines.bytes_read)
            yield payment


def warn_unreadable(lines: PaymentLines) -> None:
    """Say on stderr how many lines were no payments, and why the first were not."""
    if lines.unreadable:
        details = "".join(f"  {error}\n" for error in lines.first_errors)
        count = f"{lines.unreadable} line{'s' if lines.unreadable > 1 else ''}"
        sys.stderr.write(
            f"{count} of {lines.path} could not be read as payments and are left out:\n{details}"
        )
