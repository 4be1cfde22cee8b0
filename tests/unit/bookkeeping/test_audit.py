"""The audit's sums, and each thing that it must notice."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from tests.support.journals import dispatch_body, dispatched, ended, intent, later
from worker.bookkeeping.amounts import worth
from worker.bookkeeping.audit import Audit, Misfit, Place, Sum, audit
from worker.journal.books import Page, Standing
from worker.journal.entries import Entry, Happening
from worker.journal.memory import Memory, MemoryBooks, MemoryJournal
from worker.journal.protocol import Amendment, Ending
from worker.journal.states import State

E = 10**10
"""A cent, in units of 10^-12."""


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def journal(memory: Memory) -> MemoryJournal:
    return MemoryJournal("a", 60, memory)


async def refused_then_dispatched(journal: MemoryJournal, payment_id: str = "pay-1") -> None:
    """Refused by alpha, dispatched to beta, and delivered once more."""
    first = intent(payment_id)
    await journal.claim([first], later(0))
    second = intent(payment_id, processor="beta", candidate=2)
    await journal.amend([Amendment(first.dispatch_id or "", "unroutable", second)], later(1))
    await journal.record([dispatched(second)], later(2))
    await journal.claim([first], later(3))


async def test_everything_received_is_somewhere(memory: Memory, journal: MemoryJournal) -> None:
    """In count and in money, by currency; what never was a payment is counted apart."""
    await refused_then_dispatched(journal)
    for number, state in enumerate((State.DELAYED, State.HELD, State.DEAD_LETTERED)):
        one = intent(f"other-{number}", None, gross=100 + number, net=100 + number, fees=0)
        await journal.claim([one], later(0))
        await journal.record([ended(state, one)], later(1))
    await journal.claim([intent("in hand", currency="JPY", scale=0, gross=7, net=5, fees=2)], later(0))
    unread = Ending(State.DEAD_LETTERED, None, None, "malformed_message", claimed=False)
    earlier = Ending(State.DEAD_LETTERED, "pay-1", None, "idempotency_conflict", claimed=False)
    conflict = earlier._replace(currency="USD", scale=3, gross=55_000)
    unfit = Ending(
        State.DEAD_LETTERED,
        "unfit",
        None,
        "fee_exceeds_amount",
        claimed=False,
        currency="USD",
        scale=2,
        gross=5,
    )
    late = Ending(State.DELAYED, "pay-1", None, "claimed_elsewhere", claimed=False)
    await journal.record([unread, earlier, conflict, unfit, late], later(1))
    found = audit(MemoryBooks(memory))
    assert (found.fits, found.payments, found.unread) == (True, 5, 2)
    assert found.late == {Happening.DELAYED: 1}
    euros = found.currencies["EUR"]
    assert euros.received == Sum(5, (2 * 1234 + 100 + 101 + 102) * E)
    assert euros.places == {
        Place.DISPATCHED: Sum(1, 1234 * E),
        Place.DELAYED: Sum(1, 100 * E),
        Place.HELD: Sum(1, 101 * E),
        Place.DEAD_LETTERED: Sum(1, 102 * E),
        Place.IN_FLIGHT: Sum(),
        Place.DUPLICATES: Sum(1, 1234 * E),
        Place.UNCLAIMED: Sum(),
    }
    dollars = found.currencies["USD"]
    assert dollars.received == dollars.places[Place.UNCLAIMED] == Sum(2, 5505 * E)
    assert (euros.gross, euros.fees, euros.net) == (1234 * E, 34 * E, 1200 * E)
    assert found.currencies["JPY"].places[Place.IN_FLIGHT] == Sum(1, worth(7, 0))


async def test_what_crashed_its_workers_is_named(memory: Memory, journal: MemoryJournal) -> None:
    """It is in flight, since its processor may have it, and its dead letter is no sign of another worker."""
    await journal.claim([intent("pay-1"), intent("pay-2"), intent("pay-3")], later(0))
    crashed = Ending(State.DEAD_LETTERED, "pay-1", None, "crashed", claimed=False)
    await journal.record(
        [crashed, crashed._replace(payment_id="pay-2"), dispatched(intent("pay-2"))], later(1)
    )
    found = audit(MemoryBooks(memory))
    assert (found.fits, found.crashed, found.count(Place.IN_FLIGHT)) == (True, {"pay-1"}, 2)


async def test_progress_is_told(journal: MemoryJournal, memory: Memory) -> None:
    """Every five hundred payments."""
    await journal.claim([intent(f"pay-{number}") for number in range(2500)], later(0))
    told: list[int] = []
    assert audit(MemoryBooks(memory), progress=told.append).fits
    assert told == [500, 1000, 1500, 2000, 2500]


def entered(page: Page) -> Audit:
    found = Audit()
    found.enter(page)
    return found


def first_entry(page: Page, **changes: Any) -> Page:
    return page._replace(entries=[page.entries[0]._replace(**changes), *page.entries[1:]])


def standing(page: Page, **changes: Any) -> Page:
    return page._replace(standing=page.standing._replace(**changes))


def without(page: Page, *happenings: Happening) -> Page:
    return page._replace(entries=[e for e in page.entries if e.happening not in happenings])


def repeated(page: Page) -> Page:
    """Dispatched twice."""
    return page._replace(entries=[*page.entries[:2], page.entries[1], *page.entries[2:]])


def other_body(page: Page, **changes: Any) -> Page:
    """The dispatch's entry, and the row, with other bytes."""
    made = intent("pay-1", processor="beta", candidate=2)._replace(**changes)
    entries: list[Entry] = list(page.entries)
    entries[1] = entries[1]._replace(body=dispatch_body(made))
    return page._replace(entries=entries)


TAMPERING: dict[str, Callable[[Page], Page]] = {
    "is delayed, but its history ends with dispatched": lambda p: standing(p, state=State.DELAYED),
    "is claimed, but its history ends with dispatched": lambda p: standing(p, state=State.CLAIMED),
    "is dispatched, but its history is empty": lambda p: without(p, *Happening),
    "dispatched follows dispatched in its history": repeated,
    "returned follows claimed in its history": lambda p: first_entry(p, happening=Happening.RETURNED),
    "counts 3 duplicates, but its history has 1": lambda p: standing(p, duplicates=3),
    "it has gross 12.34, but net 12.01 and fees 0.34": lambda p: standing(p, net=1201),
    "entry 1 has gross 12.34, but net 12.00 and fees 0.35": lambda p: first_entry(p, fees=35),
    "entry 1 has no amounts": lambda p: first_entry(p, gross=None),
    "entry 1 is in USD, but it is in EUR": lambda p: first_entry(p, currency="USD"),
    "is not the one that it has at gamma": lambda p: first_entry(p, processor="gamma"),
    "dispatch None is not the one that it has at alpha": lambda p: first_entry(p, dispatch_id=None),
    "of 12.34 = 0.34 + 12.00 EUR, but stands as": lambda p: standing(p, gross=1235, net=1201),
    "has two bodies": lambda p: standing(p, body=b"{}"),
    "has other amounts than its row": lambda p: other_body(p, net=1199, fees=35),
    "names pay-2": lambda p: other_body(p, payment_id="pay-2"),
    "is no dispatch": lambda p: standing(p._replace(entries=p.entries[:1]), body=b"[]", pinned=True),
}


@pytest.mark.parametrize("problem", TAMPERING)
async def test_what_does_not_fit_is_named(memory: Memory, journal: MemoryJournal, problem: str) -> None:
    """Each promise that a payment's page can break, with the payment's id."""
    await refused_then_dispatched(journal)
    page = next(MemoryBooks(memory).pages(bodies=True))
    assert entered(page).fits
    found = entered(TAMPERING[problem](page))
    assert not found.fits
    assert any(problem in misfit.problem for misfit in found.misfits), found.misfits
    assert {misfit.name for misfit in found.misfits} == {"pay-1"}


class Blind(MemoryBooks):
    """Finds another row than the one that is there, as it would if a payment had two."""

    def standings(self, payment_ids: Collection[str]) -> Mapping[str, Standing]:
        found = super().standings(payment_ids)
        return {one: standing._replace(created=5) for one, standing in found.items()}


async def test_a_second_row_of_a_payment_is_named(memory: Memory, journal: MemoryJournal) -> None:
    """The journal tells repeats by what it finds under an id; a quick audit does not look."""
    await refused_then_dispatched(journal)
    found = audit(Blind(memory))
    assert found.misfits == [Misfit("pay-1", "is not what the journal finds under its id")]
    assert audit(Blind(memory), quick=True).fits


async def test_sums_that_are_off(memory: Memory, journal: MemoryJournal) -> None:
    """A payment that is nowhere is off by one and by its amount; one that was paid otherwise, by that."""
    await refused_then_dispatched(journal)
    page = next(MemoryBooks(memory).pages())
    found = entered(without(page, Happening.DISPATCHED))
    assert found.currencies["EUR"].off_by == Sum(1, 1234 * E)
    found = entered(page._replace(entries=[page.entries[1]._replace(net=1100), page.entries[2]]))
    assert (found.currencies["EUR"].unpaid, found.currencies["EUR"].fits) == (100 * E, False)


async def test_misfits_are_bounded(memory: Memory, journal: MemoryJournal) -> None:
    """All are counted, and the first are named."""
    await journal.claim([intent(f"pay-{number}") for number in range(1005)], later(0))
    for payment in memory.payments.values():
        payment.known = payment.known._replace(state=State.DELAYED)
    found = audit(MemoryBooks(memory))
    assert (found.problems, len(found.misfits)) == (1005, 1000)
    assert found.misfits[0] == Misfit("pay-0", "is delayed, but its history is empty")
