"""The bitmap that spares looks into a large index: it may only ever be wrong on the safe side."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Lock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.journals import dispatched, indexed_at_once, intent, later
from worker.journal.protocol import Done
from worker.journal.sqlite import sieve as sieves
from worker.journal.sqlite.index import index_tail
from worker.journal.sqlite.journal import SqliteJournal
from worker.journal.sqlite.sieve import Sieve, Sieved
from worker.journal.sqlite.upkeep import migrate


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    migrate(tmp_path / "journal.db")
    with indexed_at_once():
        yield tmp_path / "journal.db"


@given(
    st.lists(st.text(st.characters(codec="ascii"), min_size=1, max_size=64), max_size=200),
    st.integers(0, 300),
)
def test_what_is_in_it_is_never_sifted_out(payment_ids: list[str], rows: int) -> None:
    """Whatever its size, and however much more than that is put in."""
    sieve = Sieve(rows)
    sieve.add(payment_ids)
    assert sieve.sift(payment_ids) == payment_ids


def test_what_is_not_in_it_is_mostly_sifted_out() -> None:
    """Of other ids, less than one in ten has to be looked up."""
    sieve = Sieve(20_000)
    sieve.add(f"pay-{number}" for number in range(20_000))
    assert len(sieve.sift([f"new-{number}" for number in range(1000)])) < 100


def test_a_full_one_wants_to_be_made_anew() -> None:
    """When about as many ids are in it as it was made for."""
    sieve = Sieve(10_000)
    assert not sieve.is_full
    sieve.add(f"pay-{number}" for number in range(40_000))
    assert sieve.is_full


def test_what_comes_while_it_is_made() -> None:
    """Ids that are indexed meanwhile are in it when it is taken."""
    sieved, made = Sieved(meanwhile=[]), Sieve(100)
    sieved.add(["pay-1"])
    sieved.take(made)
    assert sieved.sift(["pay-1", "pay-2"]) == ["pay-1"]
    sieved.add(["pay-2"])
    assert sieved.sift(["pay-1", "pay-2"]) == ["pay-1", "pay-2"]


def test_unknown_ids_make_it_worthless() -> None:
    """Also the one that is in the making when they come."""
    sieved = Sieved(Sieve(100), [])
    sieved.lose()
    sieved.take(Sieve(100))
    assert sieved.sift(["pay-1"]) == ["pay-1"]


async def test_what_another_process_has_added_and_indexed(path: Path) -> None:
    """A worker with a sieve, idle for a while, still knows every repeat of what others did meanwhile."""
    idle, busy = SqliteJournal.open(path, "idle"), SqliteJournal.open(path, "busy")
    for number in range(3):
        await idle.claim([intent(f"old-{number}")], later(0))
    made = idle._index.sieved.sieve
    assert made is not None
    batch = [intent(f"pay-{number}") for number in range(50)]
    for start in range(0, 50, 10):
        await busy.claim(batch[start : start + 10], later(0))
        await busy.record([dispatched(each) for each in batch[start : start + 10]], later(1))
    assert {type(answer) for answer in await idle.claim(batch, later(2))} == {Done}
    assert idle._index.sieved.sieve is not made
    await idle.close()
    await busy.close()


async def test_what_is_indexed_after_it_was_made(path: Path) -> None:
    """What a worker adds itself is in its sieve as soon as it is in the index."""
    journal = SqliteJournal.open(path, "a")
    for number in range(10):
        payment = intent(f"pay-{number}")
        await journal.claim([payment], later(0))
        await journal.record([dispatched(payment)], later(1))
    again = [intent(f"pay-{number}") for number in range(10)]
    assert {type(answer) for answer in await journal.claim(again, later(2))} == {Done}
    await journal.close()


async def test_it_is_made_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims go on without it until it is there, and know repeats with and without."""
    monkeypatch.setattr(sieves, "SMALLEST_INDEX", 1)
    path = tmp_path / "journal.db"
    migrate(path)
    journal = SqliteJournal.open(path, "a")
    batch = [intent(f"pay-{number}") for number in range(2000)]
    await journal.claim(batch, later(0))
    await journal.record([dispatched(each) for each in batch], later(1))
    index_tail(path, "other", Lock(), Event())
    deadline = time.monotonic() + 30
    while journal._index.sieved.sieve is None:
        assert {type(answer) for answer in await journal.claim(batch[:10], later(2))} == {Done}
        assert time.monotonic() < deadline
    assert {type(answer) for answer in await journal.claim(batch, later(3))} == {Done}
    await journal.close()
