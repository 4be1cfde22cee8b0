"""A settlement file against the journal: every line and every payment gets one verdict."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.journals import dispatched, ended, intent, later
from worker.bookkeeping.reconcile import Difference, Reconciliation, Terms, Verdict, reconcile
from worker.bookkeeping.settlement import Line, Settled, Unreadable
from worker.journal.memory import Memory, MemoryBooks, MemoryJournal
from worker.journal.states import State
from worker.journal.times import milliseconds

ALPHA = Terms("alpha")
CENT = 10**10
GROSS, NET = 1234 * CENT, 1200 * CENT


@pytest.fixture
async def books() -> MemoryBooks:
    """Four payments dispatched to alpha at seconds 0 to 3, one to beta, one dead."""
    memory = Memory()
    journal = MemoryJournal("a", 60, memory)
    sent = [intent(f"pay-{number}") for number in range(4)]
    other, dead = intent("other", processor="beta"), intent("dead")
    await journal.claim([*sent, other, dead], later(0))
    for number, one in enumerate(sent):
        await journal.record([dispatched(one)], later(number))
    await journal.record([dispatched(other), ended(State.DEAD_LETTERED, dead)], later(1))
    return MemoryBooks(memory)


def hold(books: MemoryBooks, *lines: Line, terms: Terms = ALPHA) -> tuple[Reconciliation, list[Difference]]:
    differences: list[Difference] = []
    return reconcile(books, lines, terms, differences.append), differences


def all_four(units: int = GROSS) -> list[Settled]:
    return [Settled(2 + number, f"pay-{number}", "EUR", units) for number in range(4)]


async def test_everything_matches(books: MemoryBooks) -> None:
    """In any order; gross, or net where the file has that."""
    found, differences = hold(books, *reversed(all_four()))
    assert (found.matches, found.lines, differences) == (True, 4, [])
    assert found.counts == Counter({Verdict.MATCHED: 4})
    both = found.totals[Verdict.MATCHED, "EUR"]
    assert (both.file, both.journal) == (4 * GROSS, 4 * GROSS)
    assert hold(books, *all_four(NET), terms=Terms("alpha", net=True))[0].matches
    assert not hold(books, *all_four(), terms=Terms("alpha", net=True))[0].matches


async def test_every_kind_of_difference(books: MemoryBooks) -> None:
    """Each with its line, both amounts, and why it is missing here."""
    found, differences = hold(
        books,
        Settled(2, "pay-0", "EUR", GROSS + 1),
        Settled(3, "pay-1", "USD", GROSS),
        Settled(4, "pay-2", "EUR", GROSS),
        Settled(5, "pay-2", "EUR", GROSS),
        Settled(6, "other", "EUR", GROSS),
        Settled(7, "dead", "EUR", GROSS),
        Settled(8, "stranger", "EUR", 5),
        Unreadable(9, "no amount"),
    )
    euros = ("EUR", GROSS)
    assert differences == [
        Difference(Verdict.DIFFERENT_AMOUNT, 2, "pay-0", ("EUR", GROSS + 1), euros),
        Difference(Verdict.DIFFERENT_AMOUNT, 3, "pay-1", ("USD", GROSS), euros),
        Difference(Verdict.REPEATED, 5, "pay-2", euros, None),
        Difference(Verdict.MISSING_HERE, 6, "other", euros, None, "it is dispatched to beta"),
        Difference(Verdict.MISSING_HERE, 7, "dead", euros, None, "it is dead-lettered as unroutable"),
        Difference(Verdict.MISSING_HERE, 8, "stranger", ("EUR", 5), None, "the journal does not know it"),
        Difference(Verdict.UNREADABLE, 9, None, None, None, "no amount"),
        Difference(Verdict.MISSING_THERE, None, "pay-3", None, euros),
    ]
    assert not found.matches
    assert found.counts == Counter(
        {
            Verdict.MATCHED: 1, Verdict.DIFFERENT_AMOUNT: 2, Verdict.MISSING_HERE: 3,
            Verdict.MISSING_THERE: 1, Verdict.REPEATED: 1, Verdict.UNREADABLE: 1,
        }
    )  # fmt: skip
    differing = found.totals[Verdict.DIFFERENT_AMOUNT, "EUR"]
    assert (differing.file, differing.journal) == (GROSS + 1, 2 * GROSS)
    assert found.totals[Verdict.DIFFERENT_AMOUNT, "USD"].file == GROSS


async def test_a_file_of_a_time(books: MemoryBooks) -> None:
    """Only dispatches of that time are missed in the file; those of another time that it has still match."""
    terms = Terms("alpha", since=milliseconds(later(1)), until=milliseconds(later(3)))
    found, differences = hold(books, *all_four()[:2], terms=terms)
    assert found.counts[Verdict.MATCHED] == 2
    assert [(one.verdict, one.payment_id) for one in differences] == [(Verdict.MISSING_THERE, "pay-2")]


async def test_an_empty_file(books: MemoryBooks) -> None:
    """All is missing there."""
    found, differences = hold(books)
    assert (found.lines, found.counts) == (0, Counter({Verdict.MISSING_THERE: 4}))
    assert len(differences) == 4


async def test_repeats_are_found_across_slices(books: MemoryBooks) -> None:
    """However far apart the two lines are; progress is told meanwhile."""
    strangers = [Settled(number, f"x-{number}", "EUR", 1) for number in range(2500)]
    told: list[int] = []
    differences: list[Difference] = []
    lines = [*all_four(), *strangers, Settled(3000, "pay-0", "EUR", GROSS)]
    reconcile(books, lines, ALPHA, differences.append, told.append)
    assert differences[-1].verdict is Verdict.REPEATED
    assert told == [1000, 2000, 2505]


@given(
    amounts=st.lists(
        st.tuples(st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from("hjb")), max_size=40
    )
)
async def test_differences_explain_the_totals(amounts: list[tuple[int, int, str]]) -> None:
    """What the file has more than the journal is the sum of the differences, to the last unit."""
    memory = Memory()
    journal = MemoryJournal("a", 60, memory)
    lines: list[Line] = []
    kept = 0
    for number, (in_file, in_journal, side) in enumerate(amounts):
        if side in "jb":
            one = intent(f"p-{number}", gross=in_journal, net=in_journal, fees=0)
            await journal.claim([one], later(0))
            await journal.record([dispatched(one)], later(1))
            kept += in_journal
        if side in "hb":
            lines.append(Settled(number, f"p-{number}", "EUR", in_file * CENT))
    found, differences = hold(MemoryBooks(memory), *lines)
    file = sum(line.units for line in lines if isinstance(line, Settled))
    explained = sum(
        (one.file[1] if one.file else 0) - (one.journal[1] if one.journal else 0) for one in differences
    )
    assert file - kept * CENT == explained
    assert found.counts.total() == len(amounts)
