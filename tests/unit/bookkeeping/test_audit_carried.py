"""Remainders in the audit: exact fees are what was charged and what is carried on, to the last fraction."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.carried import carried, planner
from tests.support.journals import dispatched, ended, later
from worker.bookkeeping.audit import Audit, audit
from worker.bookkeeping.carried import CarryBooks
from worker.errors import JournalCorrupt
from worker.journal.books import Kept, Page
from worker.journal.memory import Memory, MemoryBooks, MemoryJournal
from worker.journal.packing import unpack
from worker.journal.states import State
from worker.money import Carry
from worker.planning import Planner


@given(amounts=st.lists(st.decimals("0.01", "12", places=2), min_size=1, max_size=30))
async def test_exact_fees_are_charged_and_carried_on(amounts: list[Any]) -> None:
    """Whatever the amounts, with minima and maxima among the fees."""
    memory = Memory()
    journal = MemoryJournal("a", 60, memory)
    for number, amount in enumerate(amounts):
        one = carried(f"pay-{number}", str(amount), planner())
        await journal.claim([one], later(0))
        await journal.record([dispatched(one)], later(1))
    found = audit(MemoryBooks(memory))
    assert found.fits, found.misfits
    euros = found.carries["EUR"]
    expected = sum(
        min(max(Fraction(amount) * Fraction("0.0275"), Fraction("0.01")), Fraction("0.20"))
        + Fraction(amount) * Fraction("0.003")
        for amount in amounts
    )
    assert (euros.payments, euros.anew) == (len(amounts), 0)
    assert euros.exact == expected == euros.charged + euros.left
    kept = sum(
        Fraction(one.remainder.numerator, one.remainder.denominator)
        for one in MemoryBooks(memory).remainders().values()
    )
    assert euros.left == kept / 100


@pytest.mark.parametrize("other", [planner("acquiring"), planner(percent="5", rounding="half_even")])
async def test_payments_charged_anew_are_told_apart(other: Planner) -> None:
    """Delayed and then charged by other rules, their first charge's remainder stays where it is."""
    memory = Memory()
    journal = MemoryJournal("a", 60, memory)
    first = carried("pay-1", "1.10", planner())
    await journal.claim([first], later(0))
    await journal.record([ended(State.DELAYED, first)], later(1))
    again = carried("pay-1", "1.10", other, attempt=2)
    await journal.claim([again], later(2))
    await journal.record([dispatched(again)], later(3))
    found = audit(MemoryBooks(memory))
    assert found.fits, found.misfits
    euros = found.carries["EUR"]
    assert (euros.payments, euros.anew) == (0, 1)
    assert euros.left_anew == Fraction("0.00025") + Fraction("0.0033")


async def test_a_trail_that_cannot_be_read_is_named() -> None:
    """Whatever somebody has made of it."""
    page = await carried_page(Memory())
    assert page.charged is not None
    for trail in ("{", "[{}]", "7", '[{"mode":"carry","exact":"1/0","result":"1"}]'):
        found = Audit()
        found.enter(page._replace(charged=page.charged._replace(trail=trail)))
        assert [misfit.problem for misfit in found.misfits] == ["how its fees were rounded cannot be read"]


def test_a_charge_that_cannot_be_read_is_told() -> None:
    """In words, wherever it is met."""
    for text in ("{", "[1,2]", "7"):
        with pytest.raises(JournalCorrupt, match="which is none"):
            unpack(text)


async def carried_page(memory: Memory) -> Page:
    one = carried("pay-1", "1.10", planner())
    journal = MemoryJournal("a", 60, memory)
    await journal.claim([one], later(0))
    return next(MemoryBooks(memory).pages())


async def test_a_wrong_remainder_of_a_payment_is_named() -> None:
    """What it has left is not what its rounding left."""
    page = await carried_page(Memory())
    changed = [page.carried[0]._replace(after=Carry(1, 3)), page.carried[1]]
    found = Audit()
    found.enter(page._replace(carried=changed))
    assert [misfit.name for misfit in found.misfits] == ["pay-1"]
    assert "its exact fees are" in found.misfits[0].problem


async def test_remainders_of_a_payment_that_was_not_charged() -> None:
    """Somebody has taken its charge away."""
    page = await carried_page(Memory())
    found = Audit()
    found.enter(page._replace(charged=None))
    assert [misfit.problem for misfit in found.misfits] == [
        "has changed remainders, but was not charged with them"
    ]


async def test_a_wrong_remainder_of_a_key_is_named() -> None:
    """It is neither what payments have left, nor that and what pruned ones had left."""
    memory = Memory()
    page = await carried_page(memory)
    books = CarryBooks()
    assert list(books.enter(page)) == []
    kept = MemoryBooks(memory).remainders()
    assert list(CarryBooks.wrong_remainders([books], kept)) == []
    key = page.carried[0].key
    wrong = {**kept, key: kept[key]._replace(pruned=Fraction(1, 8))}
    assert [name for name, _ in CarryBooks.wrong_remainders([books], wrong)] == [key]
    lost = {name: one for name, one in kept.items() if name != key}
    assert [name for name, _ in CarryBooks.wrong_remainders([books], lost)] == [key]
    strange = {**kept, "strange": Kept(Carry(1, 2), Fraction())}
    assert [name for name, _ in CarryBooks.wrong_remainders([books], strange)] == ["strange"]
