"""Partitions by day of the PostgreSQL journal: made ahead, and dropped without losing what is needed."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from yarl import URL

from tests.support.command import run_command
from tests.support.databases import Databases
from tests.support.journals import dispatched, ended, intent
from worker.journal.postgresql import partitions
from worker.journal.postgresql.books import PostgresqlBooks
from worker.journal.postgresql.connection import connect_for_people
from worker.journal.postgresql.journal import PostgresqlJournal
from worker.journal.postgresql.partitions import make_partitions
from worker.journal.postgresql.upkeep import PostgresqlUpkeep
from worker.journal.protocol import NEW, Amendment
from worker.journal.states import State

DAY = 86400.0
NOW = datetime(2020, 1, 15, 12, tzinfo=UTC)  # prune makes partitions of the real day and those after it


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    """A journal that has partitions for the days of these tests."""
    with databases.new() as url:
        connection = connect_for_people(url)
        make_partitions(connection, NOW)
        connection.close()
        yield url


@pytest.fixture
async def journal(url: str) -> AsyncIterator[PostgresqlJournal]:
    journal = await PostgresqlJournal.open(url, "a")
    yield journal
    await journal.close()


@pytest.fixture
def books(url: str) -> Iterator[PostgresqlBooks]:
    books = PostgresqlBooks.open(url)
    yield books
    books.close()


async def dispatch(journal: PostgresqlJournal, names: list[str], day: float) -> None:
    batch = [intent(name) for name in names]
    await journal.claim(batch, later(day * DAY))
    await journal.record([dispatched(each) for each in batch], later(day * DAY + 1))


def prune(url: str, day: float, *, dead_letters: bool = False) -> int:
    upkeep = PostgresqlUpkeep(url)
    return sum(one.payments for one in upkeep.prune(later(day * DAY), dead_letters=dead_letters))


def where(url: str, table: str) -> dict[str, int]:
    """How many rows are in which partition, day or ``rest``."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            f"SELECT tableoid::regclass::text, count(*) FROM payment_journal.{table} GROUP BY 1"  # noqa: S608
        ).fetchall()
    return {name.rpartition("_")[2]: rows for name, rows in found}


def partitions_of(url: str, table: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1",
            (f"payment_journal.{table}",),
        ).fetchall()
    return [name.rpartition("_")[2] for (name,) in found]


def day(number: float) -> str:
    return f"{NOW + timedelta(days=number):%Y%m%d}"


async def test_rows_go_to_their_days(url: str, journal: PostgresqlJournal) -> None:
    """Those of days without a partition go to the rest, and nothing fails."""
    await dispatch(journal, ["a", "b"], 0)
    await dispatch(journal, ["c"], 1)
    await dispatch(journal, ["d"], 400)
    assert where(url, "history") == {day(0): 2, day(1): 1, "rest": 1}
    assert where(url, "bodies") == {day(0): 1, day(1): 1, "rest": 1}


async def test_partitions_are_made_ahead(url: str, journal: PostgresqlJournal) -> None:
    """For two weeks; a day whose rows are in the rest already stays there."""
    await dispatch(journal, ["a"], 33)
    connection = connect_for_people(url)
    make_partitions(connection, later(30 * DAY))
    make_partitions(connection, later(30 * DAY))
    connection.close()
    made = partitions_of(url, "history")
    assert [day(ahead) in made for ahead in (29, 30, 32, 33, 34, 44, 45)] == [
        False, True, True, False, True, True, False,
    ]  # fmt: skip
    await dispatch(journal, ["b"], 33)
    assert where(url, "history") == {"rest": 2}


async def test_old_days_are_dropped(url: str, journal: PostgresqlJournal) -> None:
    """With everything that was in them; a repeat of a forgotten payment is a new one."""
    for number in range(4):
        await dispatch(journal, [f"old-{number}-{n}" for n in range(5)], number)
    await dispatch(journal, ["young"], 10)
    assert prune(url, 5) == 20
    assert where(url, "history") == where(url, "bodies") == {day(10): 1}
    assert not {day(number) for number in range(4)} & {*partitions_of(url, "history")}
    assert not {day(number) for number in range(4)} & {*partitions_of(url, "bodies")}
    assert await journal.claim([intent("old-1-1")], later(11 * DAY)) == [NEW]


async def test_what_is_needed_of_a_day_stays(
    url: str, journal: PostgresqlJournal, books: PostgresqlBooks
) -> None:
    """A few dead letters among many dispatches keep their history and their bodies, and nothing else."""
    batch = [intent(f"pay-{n}") for n in range(20)]
    dead = batch[7]
    await journal.claim(batch, later(0))
    second = intent("pay-7", processor="beta")
    await journal.amend([Amendment(dead.dispatch_id or "", "unroutable", second)], later(1))
    endings = [dispatched(each) for each in batch if each is not dead]
    await journal.record([*endings, ended(State.DEAD_LETTERED, second)], later(2))
    before = (books.find("pay-7"), books.history("pay-7"))
    await dispatch(journal, ["young"], 10)
    assert prune(url, 5) == 19
    assert (books.find("pay-7"), books.history("pay-7")) == before
    assert before[0] is not None
    assert before[0].body == second.body
    assert where(url, "history") == {day(10): 1, "rest": 2}
    assert where(url, "bodies") == {day(10): 1, "rest": 2}
    assert b"pay-8" not in b"".join(blobs(url))
    await journal.claim([intent("pay-7", redrives=1)], later(11 * DAY))
    await journal.record([dispatched(intent("pay-7", redrives=1))], later(11 * DAY))
    assert prune(url, 30, dead_letters=True) == 2
    assert "rest" not in where(url, "history") | where(url, "bodies")


def blobs(url: str) -> list[bytes]:
    with psycopg.connect(url) as connection:
        return [blob for (blob,) in connection.execute("SELECT bytes FROM payment_journal.bodies").fetchall()]


async def test_a_day_that_is_mostly_needed_stays_as_it_is(
    url: str, journal: PostgresqlJournal, books: PostgresqlBooks
) -> None:
    """Nothing is copied about while little would be gained."""
    batch = [intent(f"pay-{n}") for n in range(4)]
    await journal.claim(batch, later(0))
    await journal.record([ended(State.DEAD_LETTERED, each) for each in batch[:3]], later(1))
    await journal.record([dispatched(batch[3])], later(1))
    assert prune(url, 5) == 1
    assert where(url, "history") == {day(0): 4}
    assert where(url, "bodies") == {day(0): 1}
    assert [books.find(each.payment_id) is None for each in batch] == [False, False, False, True]


async def test_a_delayed_payment_outlives_its_day(url: str, journal: PostgresqlJournal) -> None:
    """What waits is resumed with the same bytes, however long ago they were written."""
    first = intent()
    await dispatch(journal, [f"pay-{n}" for n in range(2, 20)], 0)
    await journal.claim([first], later(0))
    other = await PostgresqlJournal.open(url, "b")
    await other.claim([intent(redelivered=True)], later(1))
    await other.record([ended(State.DELAYED, first)], later(2))
    assert prune(url, 30) == 18
    assert where(url, "bodies") == {"rest": 1}
    (answer,) = await journal.claim([intent(attempt=2)], later(31 * DAY))
    assert getattr(answer, "body", None) == first.body
    await other.close()


async def test_days_that_are_not_told_stay(url: str, journal: PostgresqlJournal) -> None:
    """With a publisher about, nothing goes whose events are still to be published."""
    await dispatch(journal, ["a", "b"], 0)
    await dispatch(journal, ["young"], 10)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE payment_journal.outbox SET owner = 'p', position = 1")
    assert prune(url, 5) == 1
    assert where(url, "history") == {day(0): 2, day(10): 1}


async def test_a_table_that_is_in_use(
    url: str, journal: PostgresqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that reads the history keeps its days for another time, and holds nobody up for long."""
    monkeypatch.setattr(partitions, "_PATIENCE", "SET LOCAL lock_timeout = '50ms'")
    await dispatch(journal, ["old"], 0)
    with psycopg.connect(url) as backup:
        backup.execute("SELECT FROM payment_journal.history")
        assert prune(url, 5) == 1
        await dispatch(journal, ["young"], 10)
        assert day(0) in where(url, "history")
    assert prune(url, 5) == 0
    assert day(0) not in where(url, "history")


async def test_pruning_while_workers_work(url: str, journal: PostgresqlJournal) -> None:
    """Between two slices, claims go on; what is touched meanwhile is not forgotten."""
    monkey: Any = PostgresqlUpkeep(url).prune(later(5 * DAY), dead_letters=True)
    batch = [intent(f"pay-{n}") for n in range(600)]
    await journal.claim(batch, later(0))
    await journal.record([ended(State.DEAD_LETTERED, each) for each in batch], later(1))
    first = next(monkey)
    await journal.claim([intent("pay-599", redrives=1)], later(6 * DAY))
    assert (first.payments, [each.payments for each in monkey]) == (500, [99])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "/missing"}, "create it with createdb"),
        ({"user": "nobody"}, "check user and password"),
        ({"password": "wrong"}, "check user and password"),
        ({"port": 1}, "is the server running"),
    ],
)
def test_a_server_that_lets_nobody_in(databases: Databases, change: dict[str, Any], message: str) -> None:
    """One readable line that says what to do, without the password."""
    with databases.new(empty=True) as journal:
        url = URL(journal)
        for part, value in change.items():
            url = getattr(url, f"with_{part}")(value)
        done = run_command("journal", "migrate", "--journal", str(url))
        assert done.returncode == 1
        assert message in done.stderr
        assert (url.password or "") not in done.stderr
        assert "Traceback" not in done.stderr


def test_looking_after_a_journal(databases: Databases) -> None:
    """Make one, look at it, prune it, and make it again with nothing to do; without a password in sight."""
    with databases.new(empty=True) as journal:
        password = journal.partition("@")[0].rpartition(":")[2]
        made = run_command("journal", "migrate", "--journal", journal)
        assert (made.returncode, made.stderr) == (0, "")
        assert made.stdout.endswith("version 0 is now 1\n")
        assert password not in made.stdout
        assert "nothing to do" in run_command("journal", "migrate", "--journal", journal).stdout
        status = json.loads(run_command("journal", "status", "--journal", journal, "--json").stdout)
        assert (status["version"], status["payments"], status["unpublished"]) == (1, 0, None)
        assert status["bytes_used"] > 0
        assert "version of the tables" in run_command("journal", "status", "--journal", journal).stdout
        pruned = run_command("journal", "prune", "--journal", journal, "--older-than", "90d")
        assert pruned.stdout.endswith("0 payments forgotten, 0 kept\n")
        backup = run_command("journal", "backup", "copy.db", "--journal", journal)
        assert "pg_dump" in backup.stderr
        assert f"{datetime.now(UTC):%Y%m%d}" in partitions_of(journal, "history")
