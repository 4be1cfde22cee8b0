"""The ledger of the documents: books that balance, from events alone."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest

from tests.support.journals import dispatched, intent, journal_rig, later, load_ledger

PROCESSING = 340_000_000_000
NET = 12_000_000_000_000


@pytest.fixture
def ledger() -> ModuleType:
    return load_ledger()


@pytest.fixture
def books(ledger: ModuleType) -> Iterator[sqlite3.Connection]:
    connection = ledger.open_ledger(":memory:")
    yield connection
    connection.close()


async def events(tmp_path: Path) -> list[dict[str, Any]]:
    """Two payments dispatched, one of them returned and dispatched to another processor, and a repeat."""
    async with journal_rig("sqlite", tmp_path) as rig:
        journal, first, other = rig.worker("a"), intent("pay-1"), intent("pay-2")
        await journal.claim([first, other], later(0))
        await journal.record([dispatched(first), dispatched(other)], later(1))
        again = intent("pay-1", processor="beta", returned=first.dispatch_id)
        await journal.claim([again, intent("pay-2")], later(2))
        await journal.record([dispatched(again)], later(3))
        outbox = rig.outbox("p")
        due = outbox.due(later(4), 100)
        outbox.close()
    return [orjson.loads(event.body) for event in due.events] if due else []


async def test_the_books_balance(ledger: ModuleType, books: sqlite3.Connection, tmp_path: Path) -> None:
    """Whatever was returned is posted back, every account has what it should, and all sum to nothing."""
    for event in await events(tmp_path):
        ledger.post(books, event)
    assert ledger.balances(books) == {
        ("receivable:alpha", "EUR"): NET + PROCESSING,
        ("receivable:beta", "EUR"): NET + PROCESSING,
        ("payable:studio", "EUR"): -2 * NET,
        ("revenue:processing", "EUR"): -2 * PROCESSING,
    }


async def test_repeats_change_nothing(ledger: ModuleType, books: sqlite3.Connection, tmp_path: Path) -> None:
    """Events that come twice, even in another order, are posted once."""
    told = await events(tmp_path)
    assert [ledger.post(books, event) for event in told] == [True, True, True, False, True]
    before = ledger.balances(books)
    assert [ledger.post(books, event) for event in reversed(told)] == [False] * 5
    assert ledger.balances(books) == before


def test_an_event_that_does_not_balance_is_refused(ledger: ModuleType, books: sqlite3.Connection) -> None:
    """Wrong money is never posted."""
    euro = {"value": "1.00", "currency": "EUR"}
    event = {"type": "payment.dispatched", "in_hand": True, "event_id": "1", "payment_id": "pay-1",
             "processor": "alpha", "merchant_id": "m", "gross": euro, "net": euro,
             "fees": [{"name": "f", "amount": euro}]}  # fmt: skip
    with pytest.raises(ValueError, match="pay-1 does not balance"):
        ledger.post(books, event)
