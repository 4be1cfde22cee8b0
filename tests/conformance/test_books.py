"""What the read side of every journal answers, whatever it is made of."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.journals import JournalRig, dispatched, intent, journal_rig, later
from worker.journal.books import Books
from worker.journal.states import State


@pytest.fixture(params=["memory", "sqlite"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JournalRig]:
    async with journal_rig(request.param, tmp_path) as rig:
        yield rig


@contextmanager
def opened(rig: JournalRig) -> Iterator[Books]:
    """Books that are closed at the end, twice."""
    books = rig.books()
    try:
        yield books
    finally:
        books.close()
        books.close()


async def test_neighbours(rig: JournalRig) -> None:
    """Those before and after a name, known or not, and fewer where there are no more."""
    await rig.worker("a").claim([intent(f"pay-{letter}") for letter in "acegik"], later(0))
    with opened(rig) as books:
        assert books.neighbours("pay-f", 2) == ["pay-c", "pay-e", "pay-g", "pay-i"]
        assert books.neighbours("pay-c", 1) == ["pay-a", "pay-e"]
        assert books.neighbours("pay", 3) == ["pay-a", "pay-c", "pay-e"]
        assert books.neighbours("z", 1) == ["pay-k"]


async def test_one_moment(rig: JournalRig) -> None:
    """Within the block the books stand still; after it, what was written meanwhile is in them."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    with opened(rig) as books:
        with books.at_one_moment():
            assert books.states(["pay-1"]) == {"pay-1": State.CLAIMED}
            await journal.record([dispatched(first)], later(1))
            assert books.states(["pay-1"]) == {"pay-1": State.CLAIMED}
            assert books.history("pay-1") == []
        assert books.states(["pay-1"]) == {"pay-1": State.DISPATCHED}
