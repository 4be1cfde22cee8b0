"""What the rule commands share: naming rule files, loading them, reading payments."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
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

STDIN = "-"
MAX_PAYMENT_BYTES = 1024 * 1024
"""What the setting ``max_message_bytes`` is unless it is set."""
EXIT_WRONG = 1
EXIT_CHANGED = 3

RuleFiles = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE...",
        help="Rule files, or folders whose *.yaml are read in name order. Default: the worker's own, from "
        "PAYMENT_WORKER_RULES and PAYMENT_WORKER_OVERLAYS, or routing_rules.",
    ),
]
Rules = Annotated[
    list[Path] | None,
    typer.Option(
        "--rules",
        metavar="PATH",
        help="Rule file or folder; repeatable. Default: PAYMENT_WORKER_RULES, or routing_rules.",
    ),
]
Overlays = Annotated[
    list[Path] | None,
    typer.Option("--overlay", metavar="FILE", help="A file laid over the others; repeatable."),
]


def read_moment(text: str) -> datetime:
    """Return a moment that was written with its offset from UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is no date and time with an offset, such as 2026-01-31T09:00Z")
    return moment


Now = Annotated[
    datetime | None,
    typer.Option(
        parser=read_moment,
        metavar="TIME",
        help="Time of routing, such as 2026-01-31T09:00Z, for rules with time windows. Default: now.",
    ),
]


def fail(message: object, *, as_json: bool = False, code: str | None = None) -> typer.Exit:
    """Write one readable block to stderr, with ``as_json`` also findings to stdout; return the exit."""
    sys.stderr.write(f"{message}\n")
    if as_json:
        write_json({"rules_version": None, "findings": _findings(message, code)})
    return typer.Exit(EXIT_WRONG)


def _findings(message: object, code: str | None) -> list[dict[str, Any]]:
    """Return an error as findings of the shape that ``rules check --json`` has."""
    from worker.errors import WorkerError
    from worker.rules_file import BrokenRules

    kind = message.code if isinstance(message, WorkerError) else code
    finding = {"severity": "error", "code": kind, "file": None, "line": None, "column": None}
    if not isinstance(message, BrokenRules):
        return [{**finding, "message": str(message), "witness": None}]
    return [
        {
            **finding,
            "code": one.code,
            "file": one.mark.file.name,
            "line": one.mark.line + 1,
            "column": one.mark.column + 1,
            "message": one.message,
            "witness": None,
        }
        for one in message.found
    ]


def write_json(result: Mapping[str, Any]) -> None:
    """Write a result to stdout as JSON."""
    import orjson

    sys.stdout.write(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode() + "\n")


def check_writable(path: Path) -> None:
    """End the command when a file cannot be written there, before any work is done for it."""
    folder = path.parent
    if not folder.is_dir():
        raise fail(f"{path}: cannot be written: there is no folder {folder}; make it first")
    if path.is_dir():
        raise fail(f"{path}: cannot be written: it is a folder; name a file in it")


def write_text(path: Path, text: str) -> None:
    """Write a result to a file; what keeps it from being written ends the command readably."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise fail(f"{path}: cannot be written: {error.strerror}") from None


def counted(number: int, word: str) -> str:
    """Return a number with its word in the singular or plural: ``1 rule``, ``2 rules``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


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


def loaded(
    paths: Iterable[Path] | None, overlays: Iterable[Path] | None, *, as_json: bool = False
) -> "LoadedRules":
    """Return the rules of files; broken ones end the command with their problems and exit code 1.

    Without ``paths`` they are the worker's own, and stderr says which those are.
    """
    from worker.errors import ConfigurationError
    from worker.rules_file import load

    files, tops = list(paths or ()), list(overlays or ())
    try:
        if not files:
            files, tops = own_rules(tops)
        return load(files, tops, AllowedPlugins())
    except ConfigurationError as error:
        raise fail(error, as_json=as_json) from None


def own_rules(overlays: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return the rule files and overlays that a worker with this environment uses, and say which."""
    from worker.settings import load_settings

    settings = load_settings()
    files, tops = list(settings.rules), overlays or list(settings.overlays)
    laid = f" with overlay {', '.join(map(str, tops))}" if tops else ""
    sys.stderr.write(f"Rules: {', '.join(map(str, files))}{laid}\n")
    return files, tops


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


def source_name(path: Path) -> str:
    """Return where a command reads from, in words."""
    return "stdin" if str(path) == STDIN else str(path)


def read_payment(text: bytes) -> "Payment":
    """Return a payment as the worker reads it; raises ``PermanentError`` for what it would dead-letter."""
    from worker.codec import decode

    return decode(text, "application/json", None, MAX_PAYMENT_BYTES).payment


class PaymentLines:
    """Payments of an NDJSON file, one at a time; lines that are none are counted and the first are kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable = 0
        self.first_errors: list[str] = []
        self.bytes_read = 0

    def __iter__(self) -> Iterator["Payment"]:
        from worker.errors import PermanentError

        stdin = str(self.path) == STDIN
        with nullcontext(sys.stdin.buffer) if stdin else self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                self.bytes_read += len(line)
                if line.isspace():
                    continue
                try:
                    payment = read_payment(line)
                except PermanentError as error:
                    self.unreadable += 1
                    if len(self.first_errors) < 3:
                        self.first_errors.append(f"line {number}: {error.code}: {error}")
                    continue
                yield payment


def with_progress(lines: PaymentLines) -> Iterator["Payment"]:
    """Yield the file's payments with a progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    total = None if str(lines.path) == STDIN else lines.path.stat().st_size
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
        count = counted(lines.unreadable, "line")
        sys.stderr.write(
            f"{count} of {source_name(lines.path)} could not be read as payments and are left out:\n{details}"
        )
