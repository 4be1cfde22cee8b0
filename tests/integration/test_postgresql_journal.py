"""The PostgreSQL journal and its server: tables, rivals, lost answers, and a server that goes away."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.support.databases import Databases
from tests.support.journals import Thirds, dispatched, ended, intent, later
from worker.errors import (
    InvalidSettings,
    InvariantViolation,
    JournalMismatch,
    JournalUnavailable,
)
from worker.journal.address import Postgresql
from worker.journal.opening import open_journal, prepare_journal
from worker.journal.postgresql import connection as connections
from worker.journal.postgresql import journal as journals
from worker.journal.postgresql.batch import Batch
from worker.journal.postgresql.books import PostgresqlBooks
from worker.journal.postgresql.journal import PostgresqlJournal
from worker.journal.postgresql.outbox import PostgresqlOutbox
from worker.journal.postgresql.schema import VERSION
from worker.journal.postgresql.upkeep import migrate
from worker.journal.postgresql.writing import Writer
from worker.journal.protocol import NEW, Amendment, Done, Held, New, Resume
from worker.journal.states import State
from worker.local_postgresql import LocalPostgresql


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with databases.new() as url:
        yield url


@pytest.fixture
def empty(databases: Databases) -> Iterator[str]:
    with databases.new(empty=True) as url:
        yield url


@pytest.fixture
async def journal(url: str) -> AsyncIterator[PostgresqlJournal]:
    journal = await PostgresqlJournal.open(url, "a")
    yield journal
    await journal.close()


def number(url: str, statement: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute(statement).fetchone()
        return int(found[0]) if found else 0


# --- tables ----------------------------------------------------------------------------------------------


async def test_tables_are_made_where_there_are_none(empty: str) -> None:
    """By whoever prepares the journal, and by nobody else."""
    with pytest.raises(
        JournalMismatch, match=f"version 0 of .* needs {VERSION}; run: payment-worker journal"
    ):
        await PostgresqlJournal.open(empty, "a")
    assert [prepare_journal(Postgresql(empty)) for _ in range(2)] == [True, False]
    journal = await open_journal(Postgresql(empty), "a", 60)
    assert journal is not None
    assert await journal.claim([intent()], later(0)) == [NEW]
    await journal.close()


def test_migrating_at_once(empty: str) -> None:
    """Of several that start together, one makes the tables and the others find them."""
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(migrate, [empty] * 8))
    assert sorted(outcomes) == [(0, VERSION)] + [(VERSION, VERSION)] * 7


async def test_newer_tables_are_refused(url: str) -> None:
    """An older program does not write into tables that it does not know."""
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO payment_journal.versions VALUES (%s, now())", (VERSION + 1,))
    with pytest.raises(JournalMismatch, match="run a newer payment-worker"):
        await PostgresqlJournal.open(url, "a")
    with pytest.raises(JournalMismatch, match=f"knows {VERSION} at most; run a newer payment-worker"):
        migrate(url)


def test_a_schema_of_somebody_else_is_refused(empty: str) -> None:
    """What is called as our schema is and is not ours is left alone."""
    with psycopg.connect(empty) as connection:
        connection.execute("CREATE SCHEMA payment_journal")
    with pytest.raises(JournalMismatch, match="not a journal's"):
        prepare_journal(Postgresql(empty))


def test_a_database_without_unicode_is_refused(databases: Databases) -> None:
    """Said before anything is made in it."""
    with psycopg.connect(databases.server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    with pytest.raises(JournalMismatch, match="createdb --encoding UTF8"):
        prepare_journal(Postgresql(databases.server.url_of("ascii")))


async def test_a_worker_needs_few_rights(url: str) -> None:
    """What the documentation lists is enough to prepare, claim, amend, record, carry and publish."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE worker LOGIN PASSWORD 'secret'")
        connection.execute("GRANT USAGE ON SCHEMA payment_journal TO worker")
        connection.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA payment_journal TO worker")
        connection.execute("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA payment_journal TO worker")
        connection.execute("DROP TABLE payment_journal.history_rest, payment_journal.bodies_rest")
    url = f"postgresql://worker:secret@{url.rpartition('@')[2]}"
    assert prepare_journal(Postgresql(url)) is False
    journal = await PostgresqlJournal.open(url, "a")
    now, first = datetime.now(UTC), intent(carrying=Thirds())
    await journal.claim([first], now)
    second = intent(processor="beta", carrying=Thirds())
    await journal.amend([Amendment(first.dispatch_id or "", "unroutable", second)], now)
    await journal.record([dispatched(second)], now)
    assert isinstance((await journal.claim([intent()], now))[0], Done)
    await journal.close()
    outbox = PostgresqlOutbox(url, "p")
    due = outbox.due(now, 10)
    assert due is not None
    assert outbox.done(due.position)
    outbox.close()


async def test_a_user_without_rights(url: str) -> None:
    """The text says what is not allowed, and to grant it."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")
        connection.execute("GRANT USAGE ON SCHEMA payment_journal TO reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA payment_journal TO reader")
    host = url.rpartition("@")[2]
    journal = await PostgresqlJournal.open(f"postgresql://reader:secret@{host}", "a")
    with pytest.raises(JournalMismatch, match=r"permission denied .*; grant it"):
        await journal.claim([intent()], later(0))
    await journal.close()


async def test_a_wrong_password_is_not_shown(url: str) -> None:
    """Neither it nor the user is in the message."""
    host = url.rpartition("@")[2]
    with pytest.raises(JournalUnavailable, match="password authentication failed") as caught:
        await PostgresqlJournal.open(f"postgresql://payments:tr0ub4dor@{host}", "a")
    assert "tr0ub4dor" not in str(caught.value)


async def test_an_url_that_is_none(url: str) -> None:
    """A misspelt option is named."""
    with pytest.raises(InvalidSettings, match=r'invalid .* "sslmod"'):
        await PostgresqlJournal.open(f"{url}?sslmod=require", "a")


# --- requests --------------------------------------------------------------------------------------------


async def test_closing_twice(journal: PostgresqlJournal) -> None:
    """The second time does nothing; what comes after is refused."""
    await journal.claim([intent()], later(0))
    await journal.close()
    await journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.claim([intent()], later(0))


async def test_what_was_asked_before_closing_is_done(journal: PostgresqlJournal) -> None:
    """Requests that wait when the journal is closed are still answered."""
    asked = [asyncio.ensure_future(journal.claim([intent(f"pay-{n}")], later(0))) for n in range(40)]
    await asyncio.sleep(0)
    await journal.close()
    assert await asyncio.gather(*asked) == [[NEW]] * 40


async def test_a_cancelled_request_harms_nobody(journal: PostgresqlJournal) -> None:
    """Its transaction goes on, and the others hear theirs."""
    asked = [asyncio.ensure_future(journal.claim([intent(f"pay-{n}")], later(0))) for n in range(20)]
    await asyncio.sleep(0)
    for cancelled in asked[::2]:
        cancelled.cancel()
    assert await asyncio.gather(*asked[1::2]) == [[NEW]] * 10
    assert (await journal.claim([intent("pay-0")], later(1)))[0] == Held(59.0)


async def test_many_small_requests_are_few_transactions(
    journal: PostgresqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes while all connections are busy waits together, each for its own answer."""
    sizes = []

    async def claim(batch: Batch, intents: Any, now: Any) -> Any:
        sizes.append(len(intents))
        return await Batch.claim(batch, intents, now)

    monkeypatch.setattr(journals, "Batch", type("Batch", (Batch,), {"claim": claim}))
    payments = [intent(f"pay-{n}") for n in range(200)]
    claims = await asyncio.gather(*(journal.claim([each], later(0)) for each in payments))
    assert claims == [[NEW]] * 200
    assert len(sizes) <= journals.CONNECTIONS + 1
    repeats = await asyncio.gather(*(journal.claim([each], later(1)) for each in payments))
    assert repeats == [[Held(59.0)]] * 200


async def test_a_mistake_is_its_own_requests_alone(journal: PostgresqlJournal) -> None:
    """Of requests that are one transaction, the others are done."""
    payments = [intent(f"pay-{n}") for n in range(30)]
    await journal.claim(payments, later(0))
    wrong = dispatched(intent("pay-7", processor="beta"))
    endings = [wrong if each.payment_id == "pay-7" else dispatched(each) for each in payments]
    outcomes = await asyncio.gather(
        *(journal.record([each], later(1)) for each in endings), return_exceptions=True
    )
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, InvariantViolation)] == [7]
    answers = await journal.claim([each._replace(redelivered=True) for each in payments], later(2))
    assert [type(answer) for answer in answers] == [Done] * 7 + [Resume] + [Done] * 22


# --- answers that are lost -------------------------------------------------------------------------------


async def test_a_claim_whose_answer_was_lost(
    journal: PostgresqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Committed or not, nothing was sent for it: asked again, it is new, though the row is there."""
    insert = Writer.insert

    async def lost(writer: Writer, *arguments: Any) -> Any:
        await insert(writer, *arguments)
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(Writer, "insert", lost)
    with pytest.raises(JournalUnavailable, match="connection is lost"):
        await journal.claim([intent()], later(0))
    monkeypatch.undo()
    other = await PostgresqlJournal.open(journal.url, "b")
    assert await other.claim([intent()], later(1)) == [Held(59.0)]
    await other.close()
    assert await journal.claim([intent(processor="beta")], later(2)) == [NEW]
    assert await journal.claim([intent()], later(3)) == [Held(59.0)]
    await journal.record([dispatched(intent(processor="beta"))], later(4))


async def test_an_end_whose_answer_was_lost(
    journal: PostgresqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded again, it is on record once."""
    payments = [intent("pay-1"), intent("pay-2")]
    await journal.claim(payments, later(0))
    endings = [dispatched(payments[0]), ended(State.DELAYED, payments[1])]

    async def lost(batch: Batch, endings: Any, now: Any) -> None:
        await Batch.record(batch, endings, now)
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(journals, "Batch", type("Batch", (Batch,), {"record": lost}))
    with pytest.raises(JournalUnavailable):
        await journal.record(endings, later(1))
    monkeypatch.undo()
    await journal.record(endings, later(2))
    with closing(PostgresqlBooks.open(journal.url)) as books:
        assert books.states(["pay-1", "pay-2"]) == {"pay-1": State.DISPATCHED, "pay-2": State.DELAYED}
        assert [entry.claimed for name in ("pay-1", "pay-2") for entry in books.history(name)].count(
            True
        ) == 2


# --- rivals ----------------------------------------------------------------------------------------------


CLAIMER = """
import asyncio, sys
from tests.support.journals import dispatched, intent, later
from worker.journal.postgresql.journal import PostgresqlJournal
from worker.journal.protocol import New

async def main():
    journal, new = await PostgresqlJournal.open(sys.argv[1], sys.argv[2]), []
    for start in range(0, 2000, 100):
        batch = [intent(f"pay-{n}") for n in range(start, start + 100)]
        if sys.argv[2] in "bd":
            batch.reverse()
        answers = await journal.claim(batch, later(0))
        mine = [each for each, answer in zip(batch, answers) if isinstance(answer, New)]
        await journal.record([dispatched(each) for each in mine], later(1))
        new += [each.payment_id for each in mine]
    await journal.close()
    print(*new)

asyncio.run(main())
"""


def test_processes_that_share_a_database(url: str) -> None:
    """Four processes claim the same 2,000 payments: each payment is claimed by exactly one."""
    processes = [
        subprocess.Popen([sys.executable, "-c", CLAIMER, url, name], stdout=subprocess.PIPE, text=True)
        for name in "abcd"
    ]
    claimed = [
        payment_id for process in processes for payment_id in process.communicate(timeout=60)[0].split()
    ]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(claimed) == sorted(f"pay-{n}" for n in range(2000))


async def test_rivals_never_wait_in_a_circle(url: str) -> None:
    """Workers that take the same payments over from one another, in any order, with remainders or without.

    PostgreSQL counts the circles that it had to break.
    """
    names = [f"pay-{n}" for n in range(60)]

    async def rival(owner: str, step: int) -> None:
        journal = await PostgresqlJournal.open(url, owner)
        for turn in range(12):
            order = names[turn:] + names[:turn] if step > 0 else names[::-1]
            carrying = Thirds() if turn % 3 == 0 else None
            batch = [intent(name, redelivered=turn % 2 == 1, carrying=carrying) for name in order]
            answers = await asyncio.gather(
                *(journal.claim(batch[at : at + 20], later(turn)) for at in range(0, len(batch), 20))
            )
            mine = [
                each
                for each, answer in zip(batch, [one for part in answers for one in part], strict=True)
                if isinstance(answer, New | Resume)
            ]
            endings = [
                dispatched(each) if place % 5 == 0 else ended(State.DELAYED, each)
                for place, each in enumerate(mine)
            ]
            await asyncio.gather(
                *(journal.record(endings[at : at + 7], later(turn)) for at in range(0, len(endings), 7))
            )
        await journal.close()

    await asyncio.gather(*(rival(owner, 1 if owner in "ac" else -1) for owner in "abcd"))
    assert number(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


async def test_a_payment_that_another_holds(
    journal: PostgresqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for another transaction is bounded, and it is said what is waited for."""
    monkeypatch.setitem(connections._SETTINGS, "lock_timeout", "50ms")
    await journal.claim([intent()], later(0))
    with psycopg.connect(journal.url) as other:
        other.execute("SELECT FROM payment_journal.payments FOR UPDATE")
        with pytest.raises(JournalUnavailable, match="another transaction has held it"):
            await journal.claim([intent(redelivered=True)], later(1))
    assert isinstance((await journal.claim([intent(redelivered=True)], later(2)))[0], Resume)


# --- a server that goes away -----------------------------------------------------------------------------


async def test_a_server_that_is_away() -> None:
    """Nothing is claimed or recorded, and it says so; once the server is back, all goes on."""
    with LocalPostgresql({"fsync": "off"}) as server:
        url = server.create_database("journal")
        migrate(url)
        journal = await PostgresqlJournal.open(url, "a")
        await journal.claim([intent()], later(0))
        server.stop()
        for _ in range(3):
            with pytest.raises(JournalUnavailable, match=f"127.0.0.1:{server.port}/journal"):
                await journal.record([dispatched(intent())], later(1))
        server.start()
        await journal.record([dispatched(intent())], later(2))
        assert (await journal.claim([intent()], later(3)))[0] == Done(
            State.DISPATCHED, "alpha", intent().dispatch_id
        )
        await journal.close()


async def test_a_server_that_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes connections and never answers is given up after a while."""
    monkeypatch.setattr(journals, "ANSWER_SECONDS", 0.5)
    with LocalPostgresql({"fsync": "off"}) as server:
        url = server.create_database("journal")
        migrate(url)
        journal = await PostgresqlJournal.open(url, "a")
        await journal.claim([intent()], later(0))
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE payment_journal.payments")
            with pytest.raises(JournalUnavailable, match=r"has not answered for 0\.5 s"):
                await journal.claim([intent("pay-2")], later(1))
        assert await journal.claim([intent("pay-2")], later(2)) == [NEW]
        await journal.close()


async def test_a_server_that_is_killed_under_load() -> None:
    """What a worker was told stays so: every claim and every end that was answered is there afterwards."""
    with LocalPostgresql() as server:
        url = server.create_database("journal")
        migrate(url)
        claimed: set[str] = set()
        recorded: set[str] = set()
        stop = asyncio.Event()
        losses = 0

        async def work(journal: PostgresqlJournal, name: str) -> None:
            nonlocal losses
            number = 0
            while not stop.is_set():
                number += 1
                batch = [intent(f"{name}-{number}-{n}") for n in range(50)]
                for ask in (journal.claim, journal.record):
                    rows: Any = batch if ask == journal.claim else [dispatched(each) for each in batch]
                    while True:
                        try:
                            answers = await ask(rows, later(number))
                            break
                        except JournalUnavailable:
                            losses += 1
                            await asyncio.sleep(0.05)
                    if ask == journal.claim:
                        assert answers == [NEW] * 50
                    (claimed if ask == journal.claim else recorded).update(each.payment_id for each in batch)

        workers = [await PostgresqlJournal.open(url, owner) for owner in "ab"]
        working = [
            asyncio.create_task(work(journal, f"{journal.owner}{n}")) for journal in workers for n in range(3)
        ]
        for _ in range(4):
            before = len(recorded)
            async with asyncio.timeout(30):
                while len(recorded) < before + 500:
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        stop.set()
        await asyncio.gather(*working)
        with closing(PostgresqlBooks.open(url)) as books:
            states = books.states(claimed)
        assert states.keys() == claimed
        assert {states[name] for name in recorded} == {State.DISPATCHED}
        assert losses > 0
        for journal in workers:
            await journal.close()
