"""What happened, counted."""

from collections import Counter

import pytest

from tests.support.journals import dispatched, ended, intent, later
from worker.bookkeeping.stats import Row, gather
from worker.commands.stats import By
from worker.commands.stats_view import show_stats, write_stats
from worker.journal.books import Dimension
from worker.journal.entries import Happening
from worker.journal.memory import Memory, MemoryBooks, MemoryJournal
from worker.journal.protocol import Amendment
from worker.journal.states import State
from worker.journal.times import milliseconds

CENT = 10**10


@pytest.fixture
async def books() -> MemoryBooks:
    """One refused by alpha, dispatched by beta and repeated an hour later, and one dead letter."""
    memory = Memory()
    journal = MemoryJournal("a", 60, memory)
    first, second = intent(), intent(processor="beta", candidate=2)
    dead = intent("dead", None, currency="GEMS", scale=0, gross=7, net=7, fees=0)
    await journal.claim([first, dead], later(0))
    await journal.amend([Amendment(first.dispatch_id or "", "unroutable", second)], later(0))
    await journal.record([dispatched(second), ended(State.DEAD_LETTERED, dead, "no_route")], later(0))
    await journal.claim([first], later(3600))
    return MemoryBooks(memory)


async def test_rows(books: MemoryBooks) -> None:
    """Each thing that happened counts; amounts are of what was dispatched alone."""
    assert gather(books, [Dimension.CURRENCY, Dimension.PROCESSOR]) == {
        ("EUR", "alpha"): Row(Counter({Happening.REFUSED: 1})),
        ("EUR", "beta"): Row(
            Counter({Happening.DISPATCHED: 1, Happening.DUPLICATE: 1}), 1234 * CENT, 34 * CENT, 1200 * CENT
        ),
        ("GEMS", None): Row(Counter({Happening.DEAD_LETTERED: 1})),
    }
    until = milliseconds(later(3600))
    assert gather(books, [], until=until)[()].counts == Counter(
        {Happening.REFUSED: 1, Happening.DISPATCHED: 1, Happening.DEAD_LETTERED: 1}
    )


async def test_amounts_are_shown_by_currency(books: MemoryBooks, capsys: pytest.CaptureFixture[str]) -> None:
    """With a sum for each; without the dimension they would not add up, and are left out."""
    both = [Dimension.PROCESSOR, Dimension.CURRENCY]
    show_stats(both, gather(books, both))
    shown = capsys.readouterr().out
    assert shown.count("12.34") == 2
    assert ["all", "EUR"] in [line.split()[:2] for line in shown.splitlines()]
    show_stats([Dimension.HOUR], gather(books, [Dimension.HOUR]))
    shown = capsys.readouterr().out
    assert "2026-11-24 12h UTC" in shown
    assert "12.34" not in shown
    assert "--by currency shows them" in shown
    show_stats([Dimension.CURRENCY], gather(books, [Dimension.CURRENCY]))
    assert capsys.readouterr().out.count("12.34") == 1


async def test_json(books: MemoryBooks, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Exact amounts as plain decimals, hours as times."""
    by = [Dimension.HOUR, Dimension.CURRENCY]
    write_stats(by, gather(books, by))
    out = capsysbinary.readouterr().out
    assert b'"hour":"2026-11-24T12:00:00Z","currency":"EUR"' in out
    assert b'"gross":"12.34","fees":"0.34","net":"12.00"' in out


def test_nothing_happened(capsys: pytest.CaptureFixture[str]) -> None:
    """Said in words."""
    show_stats([Dimension.CODE], gather(MemoryBooks(Memory()), [Dimension.CODE]))
    assert capsys.readouterr().out == "nothing happened in that time\n"


def test_the_command_offers_every_dimension() -> None:
    """It names them itself, since it must not import the journal to show its help."""
    assert [one.value for one in By] == [one.value for one in Dimension]
