"""The audit: every payment is somewhere, once, and the money adds up.

The payments' rows say what was received and where it stands; the history says, in entries of its own, how it
came there. Both are added up apart and held against each other, per currency, in count and in money.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Final

from worker.bookkeeping.amounts import worth
from worker.bookkeeping.carried import CarryBooks
from worker.bookkeeping.chain import last_entry
from worker.bookkeeping.page_checks import problems_of
from worker.errors import Crashed, IdempotencyConflict
from worker.journal.books import Books, Page, Standing
from worker.journal.entries import Entry, Happening
from worker.journal.states import State

MAX_MISFITS: Final = 1000
"""Misfits that are kept by name; more are counted."""
_ASKED: Final = 500
"""Payments that the journal is asked for at a time."""


class Place(StrEnum):
    """Where what was received is."""

    DISPATCHED = "dispatched"
    DELAYED = "delayed"
    HELD = "held"
    DEAD_LETTERED = "dead_lettered"
    IN_FLIGHT = "in_flight"
    DUPLICATES = "duplicates"
    UNCLAIMED = "unclaimed"
    """Dead letters without a claim: another payment has their id, or they could not be charged."""


@dataclass(slots=True)
class Sum:
    """How many, and their amounts together in units of 10^-12."""

    count: int = 0
    units: int = 0

    def add(self, units: int, count: int = 1) -> None:
        """Add amounts together worth ``units``."""
        self.count += count
        self.units += units


@dataclass(slots=True)
class CurrencyBooks:
    """One currency. ``received`` is added up from the payments' rows, everything else from the history.

    What was dead-lettered without a claim has no row, and is received as the history has it.

    ``gross``, ``fees`` and ``net`` are of what was dispatched, in units of 10^-12.
    """

    received: Sum = field(default_factory=Sum)
    places: dict[Place, Sum] = field(default_factory=lambda: {place: Sum() for place in Place})
    gross: int = 0
    fees: int = 0
    net: int = 0

    @property
    def off_by(self) -> Sum:
        """What was received and is nowhere, or the other way round."""
        return Sum(
            self.received.count - sum(place.count for place in self.places.values()),
            self.received.units - sum(place.units for place in self.places.values()),
        )

    @property
    def unpaid(self) -> int:
        """Gross less fees and net."""
        return self.gross - self.fees - self.net

    @property
    def fits(self) -> bool:
        """Whether nothing is off."""
        return self.off_by == Sum() and not self.unpaid


@dataclass(frozen=True, slots=True)
class Misfit:
    """What is wrong with a payment, or with the remainder of a key."""

    name: str
    problem: str


@dataclass(slots=True)
class Audit:
    """What the books add up to; see ``audit``.

    ``unread`` counts messages that never became a payment: dead letters without an amount. ``late`` counts
    endings that came after another worker had taken the payment over, and delays of payments that another
    one had.
    """

    currencies: dict[str, CurrencyBooks] = field(default_factory=lambda: defaultdict(CurrencyBooks))
    carries: dict[str, CarryBooks] = field(default_factory=lambda: defaultdict(CarryBooks))
    payments: int = 0
    unread: int = 0
    late: Counter[Happening] = field(default_factory=Counter)
    crashed: set[str] = field(default_factory=set)
    """Payments in flight whose message was dead-lettered unread: it had ended too many sessions."""
    misfits: list[Misfit] = field(default_factory=list)
    problems: int = 0

    @property
    def fits(self) -> bool:
        """Whether every payment and every sum fits."""
        return not self.problems and all(books.fits for books in self.currencies.values())

    def misfit(self, name: str, problem: str) -> None:
        """Note what does not fit."""
        self.problems += 1
        if len(self.misfits) < MAX_MISFITS:
            self.misfits.append(Misfit(name, problem))

    def count(self, place: Place) -> int:
        """Return how many are at a place, over all currencies."""
        return sum(books.places[place].count for books in self.currencies.values())

    def enter_unclaimed(self, stray: Entry) -> None:
        """Add a dead letter that held no claim."""
        if stray.currency is None:
            self.unread += 1
            return
        books = self.currencies[stray.currency]
        books.received.add(_gross(stray))
        books.places[Place.UNCLAIMED].add(_gross(stray))

    def enter(self, page: Page) -> None:
        """Add a payment."""
        standing = page.standing
        self.payments += 1
        books = self.currencies[standing.currency]
        books.received.add(worth(standing.gross, standing.scale), 1 + standing.duplicates)
        for entry in page.entries:
            if entry.happening is Happening.DUPLICATE:
                units = _gross(entry)
                books.received.units += units
                books.places[Place.DUPLICATES].add(units)
        last = last_entry(page.entries)
        if last is None or standing.state is State.CLAIMED:
            books.places[Place.IN_FLIGHT].add(worth(standing.gross, standing.scale))
        elif (place := _PLACES.get(last.happening)) is not None:
            books.places[place].add(_gross(last))
            if place is Place.DISPATCHED:
                books.gross += _gross(last)
                books.fees += worth(last.fees or 0, last.scale or 0)
                books.net += worth(last.net or 0, last.scale or 0)
        for problem in problems_of(page):
            self.misfit(standing.payment_id, problem)
        if page.charged is not None or page.carried:
            for problem in self.carries[standing.currency].enter(page):
                self.misfit(standing.payment_id, problem)


_BODY: Final = Standing._fields.index("body")
_PLACES: Final = {
    Happening.DISPATCHED: Place.DISPATCHED,
    Happening.DELAYED: Place.DELAYED,
    Happening.HELD: Place.HELD,
    Happening.DEAD_LETTERED: Place.DEAD_LETTERED,
}


def audit(books: Books, *, quick: bool = False, progress: Callable[[int], None] = lambda _: None) -> Audit:
    """Go through a journal's books as of one moment, while workers go on.

    ``quick`` leaves out the dispatches' bytes, and whether payments are found by their ids. ``progress``
    learns now and then how many payments were read.

    Raises:
        JournalUnavailable, JournalCorrupt: it cannot be read.
    """
    found = Audit()
    with books.at_one_moment():
        pages = books.pages(bodies=not quick)
        while some := list(islice(pages, _ASKED)):
            for page in some:
                found.enter(page)
            if not quick:
                _find_again(books, some, found)
            progress(found.payments)
        if (size := books.size()) != found.payments:
            found.misfit("(journal)", f"has {size} payments, of which {found.payments} can be read")
        for stray, state in _strays(books):
            if state is State.CLAIMED and stray.code == Crashed.code and stray.payment_id is not None:
                found.crashed.add(stray.payment_id)
            if state is None or stray.code == IdempotencyConflict.code:
                if stray.happening in (Happening.DEAD_LETTERED, Happening.HELD):
                    found.enter_unclaimed(stray)
            else:
                found.late[stray.happening] += 1
        for key, problem in CarryBooks.wrong_remainders(found.carries.values(), books.remainders()):
            found.misfit(key, problem)
    return found


def _find_again(books: Books, pages: Sequence[Page], found: Audit) -> None:
    """Look each payment up as claims do: a repeat must meet the very row that is there."""
    known = books.standings([page.standing.payment_id for page in pages])
    for page in pages:
        standing = page.standing
        again = known.get(standing.payment_id)
        if again is None or _but_body(again) != _but_body(standing):
            found.misfit(standing.payment_id, "is not what the journal finds under its id")


def _but_body(standing: Standing) -> tuple[object, ...]:
    return standing[:_BODY] + standing[_BODY + 1 :]


def _strays(books: Books) -> Iterator[tuple[Entry, State | None]]:
    """Yield strays, and the state of the payment of that id, None where the journal knows none."""
    strays = books.strays()
    while some := list(islice(strays, _ASKED)):
        known = books.states([entry.payment_id for entry in some if entry.payment_id is not None])
        for entry in some:
            yield entry, None if entry.payment_id is None else known.get(entry.payment_id)


def _gross(entry: Entry) -> int:
    return worth(entry.gross or 0, entry.scale or 0)
