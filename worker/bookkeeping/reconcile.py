"""A processor's settlement file against the journal, in memory that does not grow with either."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple

from worker.bookkeeping.amounts import worth
from worker.bookkeeping.seen import Seen
from worker.bookkeeping.settlement import Line, Settled, Unreadable
from worker.journal.books import Books, Standing
from worker.journal.states import State

SLICE_LINES: Final = 1000


class Verdict(StrEnum):
    """What a line, or a payment that no line is about, comes to."""

    MATCHED = "matched"
    DIFFERENT_AMOUNT = "different_amount"
    MISSING_HERE = "missing_here"
    """The journal has not dispatched it to this processor."""
    MISSING_THERE = "missing_there"
    """Dispatched to the processor, which does not say that it has settled it."""
    REPEATED = "repeated"
    """An earlier line is about the same payment."""
    UNREADABLE = "unreadable"


class Difference(NamedTuple):
    """What does not match. Amounts are a currency and units of 10^-12, None where a side has none."""

    verdict: Verdict
    line: int | None
    payment_id: str | None
    file: tuple[str, int] | None
    journal: tuple[str, int] | None
    why: str = ""


@dataclass(slots=True)
class Both:
    """Sums of one verdict and currency on both sides, in units of 10^-12."""

    count: int = 0
    file: int = 0
    journal: int = 0

    def add(self, other: "Both") -> None:
        """Add other sums of the same currency."""
        self.count += other.count
        self.file += other.file
        self.journal += other.journal


@dataclass(slots=True)
class Reconciliation:
    """The totals, by verdict and currency; unreadable lines have no currency."""

    lines: int = 0
    totals: dict[tuple[Verdict, str | None], Both] = field(default_factory=lambda: defaultdict(Both))

    @property
    def matches(self) -> bool:
        """Whether every line and every payment matches."""
        return all(verdict is Verdict.MATCHED for verdict, _ in self.totals)

    @property
    def counts(self) -> Counter[Verdict]:
        """How many there are of each verdict."""
        counts = Counter[Verdict]()
        for (verdict, _), both in self.totals.items():
            counts[verdict] += both.count
        return counts

    def add(self, verdict: Verdict, file: tuple[str, int] | None, journal: tuple[str, int] | None) -> None:
        """Count one, in its currency, or in those of both sides."""
        currency = file[0] if file else journal[0] if journal else None
        self.totals[verdict, currency].count += 1
        if file is not None:
            self.totals[verdict, file[0]].file += file[1]
        if journal is not None:
            self.totals[verdict, journal[0]].journal += journal[1]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a settlement file is of: a processor, gross or net, and the time of its dispatches (``Books``)."""

    processor: str
    net: bool = False
    since: int | None = None
    until: int | None = None

    def amount(self, standing: Standing) -> tuple[str, int]:
        """Return what the processor should have settled."""
        return standing.currency, worth(standing.net if self.net else standing.gross, standing.scale)


def reconcile(
    books: Books,
    lines: Iterable[Line],
    terms: Terms,
    differs: Callable[[Difference], None],
    progress: Callable[[int], None] = lambda _: None,
) -> Reconciliation:
    """Hold a settlement file against the journal as of one moment; ``differs`` gets what does not match.

    ``progress`` learns now and then how many lines were read.
    """
    found = Reconciliation()
    source = iter(lines)
    with Seen() as seen, books.at_one_moment():
        while some := list(islice(source, SLICE_LINES)):
            found.lines += len(some)
            for difference in _judged(books, some, terms, seen):
                _enter(found, difference, differs)
            progress(found.lines)
        expected = books.dispatched_to(terms.processor, terms.since, terms.until)
        while standings := list(islice(expected, SLICE_LINES)):
            known = seen.among([standing.payment_id for standing in standings])
            for standing in standings:
                if standing.payment_id not in known:
                    amount = terms.amount(standing)
                    missing = Difference(Verdict.MISSING_THERE, None, standing.payment_id, None, amount)
                    _enter(found, missing, differs)
    return found


def _enter(found: Reconciliation, one: Difference, differs: Callable[[Difference], None]) -> None:
    found.add(one.verdict, one.file, one.journal)
    if one.verdict is not Verdict.MATCHED:
        differs(one)


def _judged(books: Books, lines: Sequence[Line], terms: Terms, seen: Seen) -> Iterator[Difference]:
    """Yield a verdict for every line."""
    payment_ids = [line.payment_id for line in lines if isinstance(line, Settled)]
    standings = books.standings(payment_ids)
    known = seen.among(payment_ids)
    for line in lines:
        if isinstance(line, Unreadable):
            yield Difference(Verdict.UNREADABLE, line.line, None, None, None, line.why)
            continue
        file = (line.currency, line.units)
        if line.payment_id in known:
            yield Difference(Verdict.REPEATED, line.line, line.payment_id, file, None)
            continue
        known.add(line.payment_id)
        standing = standings.get(line.payment_id)
        if standing is None or (standing.state, standing.processor) != (State.DISPATCHED, terms.processor):
            yield Difference(Verdict.MISSING_HERE, line.line, line.payment_id, file, None, _why(standing))
            continue
        journal = terms.amount(standing)
        verdict = Verdict.MATCHED if file == journal else Verdict.DIFFERENT_AMOUNT
        yield Difference(verdict, line.line, line.payment_id, file, journal)
    seen.add(payment_ids)


def _why(standing: Standing | None) -> str:
    if standing is None:
        return "the journal does not know it"
    if standing.state is State.DISPATCHED:
        return f"it is dispatched to {standing.processor}"
    code = f" as {standing.code}" if standing.code else ""
    return f"it is {standing.state.replace('_', '-')}{code}"
