"""What the dead-letter commands share: their filters, the way to the queue, and progress while they look."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from worker.amqp.browse import BrowseLane
    from worker.dead_letters import DeadLetter, Selection
    from worker.settings import Settings

Codes = Annotated[
    list[str] | None, typer.Option("--code", metavar="CODE", help="Only this error code; repeatable.")
]
Processors = Annotated[
    list[str] | None,
    typer.Option("--processor", metavar="NAME", help="Only if an attempt failed there; repeatable."),
]
Ids = Annotated[
    list[str] | None,
    typer.Option("--payment-id", metavar="ID", help="Only this payment, or letter id; repeatable."),
]
CurrencyCode = Annotated[
    str | None, typer.Option("--currency", metavar="CODE", help="Only amounts in this currency.")
]
AtLeast = Annotated[
    str | None, typer.Option("--min-amount", metavar="AMOUNT", help="Of --currency, at least this.")
]
AtMost = Annotated[
    str | None, typer.Option("--max-amount", metavar="AMOUNT", help="Of --currency, at most this.")
]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Died at 2026-11-24T12:00:00Z or later, or 2h ago at most.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Died then or earlier; as --since.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]


def read_selection(
    codes: list[str] | None,
    processors: list[str] | None,
    ids: list[str] | None,
    currency: str | None,
    at_least: str | None,
    at_most: str | None,
    since: str | None,
    until: str | None,
) -> "Selection":
    """Return the filters that were given.

    Raises:
        ConfigurationError: one that says nothing, or that contradicts another.
    """
    from datetime import UTC, datetime

    from worker.dead_letters import Selection, parse_moment
    from worker.errors import ConfigurationError

    now = datetime.now(UTC)
    if (at_least or at_most) and currency is None:
        raise ConfigurationError(
            "--min-amount and --max-amount need --currency: amounts of two currencies do not compare"
        )
    selection = Selection(
        codes=frozenset(codes or ()),
        processors=frozenset(processors or ()),
        ids=frozenset(ids or ()),
        currency=currency.upper() if currency else None,
        at_least=_read_bound(at_least, "--min-amount"),
        at_most=_read_bound(at_most, "--max-amount"),
        since=parse_moment(since, now, "--since") if since else None,
        until=parse_moment(until, now, "--until") if until else None,
    )
    for low, high, names in (
        (selection.at_least, selection.at_most, ("--min-amount", "--max-amount")),
        (selection.since, selection.until, ("--since", "--until")),
    ):
        if low is not None and high is not None and low > high:  # type: ignore[operator]  # of one type
            raise ConfigurationError(f"{names[0]} is beyond {names[1]}: nothing lies between them")
    return selection


def _read_bound(text: str | None, option: str) -> int | None:
    from worker.errors import ConfigurationError, InvalidAmount
    from worker.money import MAX_SCALE, parse_units
    from worker.money.text import POWERS

    if text is None:
        return None
    try:
        units, scale = parse_units(text)
    except InvalidAmount as error:
        raise ConfigurationError(f"{option}: {error}") from None
    return units * POWERS[MAX_SCALE - scale]


def read_settings(amqp_url: str | None, prefix: str | None, journal: str | None = None) -> "Settings":
    """Return the settings, with the libraries' own log lines silenced."""
    from worker.amqp.connection import quiet_libraries
    from worker.settings import load_settings

    quiet_libraries()
    return load_settings(amqp_url=amqp_url, prefix=prefix, journal=journal)


@dataclass(slots=True)
class Looked:
    """How far a look has come; ``total`` is None before the queue is open. ``advance`` draws the progress."""

    total: int | None = None
    letters: int = 0
    codes: set[str] = field(default_factory=set)
    advance: Callable[["Looked"], None] = lambda _: None

    def see(self, letters: "Sequence[DeadLetter]") -> None:
        """Count letters that were looked at."""
        self.letters += len(letters)
        self.codes.update(letter.code for letter in letters)
        self.advance(self)

    def nothing_found(self, codes: frozenset[str]) -> str:
        """Say that no letter was chosen, and what was meant by a code that none has."""
        if not self.letters:
            return "no dead letters"
        said = f"none of the {self.letters:,} dead letters passes the filters"
        for code in sorted(codes - self.codes):
            near = get_close_matches(code, self.codes, n=1)
            said += f"; none has the code {code}" + (f", did you mean {near[0]}?" if near else "")
        return said


@contextmanager
def progress(looked: Looked, *, show: bool = True) -> Iterator[None]:
    """Draw a bar on stderr while letters are looked at, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("dead letters"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not (show and console.is_terminal)
    ) as bar:
        task = bar.add_task("", total=None)
        looked.advance = lambda one: bar.update(task, completed=one.letters, total=one.total)
        yield


@asynccontextmanager
async def dead_letters_of(settings: "Settings", looked: Looked) -> "AsyncIterator[BrowseLane]":
    """Open the dead-letter queue for the block; what is not removed from it goes back."""
    from worker.amqp.browse import browsing
    from worker.amqp.topology import Names
    from worker.session import broker_of

    queue = Names(settings.prefix).dead
    name = "payment-worker dead-letters"
    async with browsing(broker_of(settings), name, queue, settings.confirm_timeout) as lane:
        looked.total, looked.letters = lane.found, 0
        if lane.others:
            sys.stderr.write(f"another program reads {queue} too: what it holds is missing here\n")
        yield lane
