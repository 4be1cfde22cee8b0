"""The events of the PostgreSQL journal, whose entries do not appear in the order of their numbers."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from tests.support.databases import Databases
from tests.support.journals import dispatched, intent, later
from worker.errors import JournalUnavailable
from worker.journal.outbox import Due
from worker.journal.postgresql.journal import PostgresqlJournal
from worker.journal.postgresql.outbox import PostgresqlOutbox
from worker.journal.postgresql.upkeep import migrate
from worker.local_postgresql import LocalPostgresql

SLOW = """
    INSERT INTO payment_journal.history (id, payment_id, began, ended, owner, attempt, happening)
    VALUES (nextval('payment_journal.entries'), 'slow', 0, 0, 1, 1, 'dead_lettered')
"""


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with databases.new() as url:
        yield url


@pytest.fixture
async def journal(url: str) -> AsyncIterator[PostgresqlJournal]:
    journal = await PostgresqlJournal.open(url, "a")
    yield journal
    await journal.close()


async def dispatch(journal: PostgresqlJournal, name: str) -> None:
    payment = intent(name)
    await journal.claim([payment], later(0))
    await journal.record([dispatched(payment)], later(1))


def told(due: Due | None) -> list[str | None]:
    return [] if due is None else [event.payment_id for event in due.events]


async def test_an_entry_that_appears_late(url: str, journal: PostgresqlJournal) -> None:
    """Its number was given out before others that are committed already: they wait for it."""
    await dispatch(journal, "early")
    outbox = PostgresqlOutbox(url, "p")
    with psycopg.connect(url) as slow:
        slow.execute(SLOW)
        await dispatch(journal, "quick")
        assert told(outbox.due(later(2), 10)) == []
        await dispatch(journal, "quicker")
        assert told(outbox.due(later(2), 10)) == []
    assert told(outbox.due(later(2), 10)) == ["early", "slow", "quick", "quicker"]
    outbox.close()


async def test_an_entry_that_never_appears(url: str, journal: PostgresqlJournal) -> None:
    """Its transaction was undone: the numbers have a gap, and the others are told."""
    await dispatch(journal, "early")
    outbox = PostgresqlOutbox(url, "p")
    with psycopg.connect(url) as slow:
        slow.execute(SLOW)
        await dispatch(journal, "quick")
        assert told(outbox.due(later(2), 10)) == []
        slow.rollback()
    assert told(outbox.due(later(2), 10)) == ["early", "quick"]
    outbox.close()


async def test_transactions_of_others_hold_no_event_up(url: str, journal: PostgresqlJournal) -> None:
    """Whatever else is written in the same database, for however long."""
    with psycopg.connect(url) as other:
        other.execute("CREATE TABLE public.theirs (id integer)")
        other.execute("INSERT INTO public.theirs VALUES (1)")
        await dispatch(journal, "quick")
        outbox = PostgresqlOutbox(url, "p")
        assert told(outbox.due(later(2), 10)) == ["quick"]
        outbox.close()


async def test_a_server_that_comes_back() -> None:
    """While it is away that is said; afterwards the same events are due."""
    with LocalPostgresql({"fsync": "off"}) as server:
        url = server.create_database("journal")
        migrate(url)
        journal = await PostgresqlJournal.open(url, "a")
        await dispatch(journal, "pay-1")
        outbox = PostgresqlOutbox(url, "p")
        due = outbox.due(later(2), 10)
        server.stop()
        for _ in range(2):
            with pytest.raises(JournalUnavailable):
                outbox.due(later(3), 10)
        outbox.close()
        server.start()
        assert outbox.due(later(4), 10) == due
        outbox.close()
        await journal.close()
