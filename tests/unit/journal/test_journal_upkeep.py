"""Pruning a journal file, and the commands that look after one."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.journals import JournalRig, Thirds, dispatched, ended, intent, journal_rig, later
from worker.journal.protocol import NEW, Amendment, Done, New
from worker.journal.sqlite import upkeep as upkeeps
from worker.journal.sqlite.connection import connect
from worker.journal.sqlite.upkeep import SqliteUpkeep, migrate
from worker.journal.states import State

DAY = 86400.0


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeeps, "SLICE_PAYMENTS", 7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[JournalRig]:
    async with journal_rig("sqlite", tmp_path) as rig:
        yield rig


def prune(path: Path, before: datetime, *, dead_letters: bool = False) -> int:
    return sum(pruned.payments for pruned in SqliteUpkeep(path).prune(before, dead_letters=dead_letters))


def count(path: Path, table: str) -> int:
    connection = connect(path, read_only=True)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
    finally:
        connection.close()


async def dispatch(rig: JournalRig, names: list[str], day: float) -> None:
    journal, batch = rig.worker("a"), [intent(name) for name in names]
    await journal.claim(batch, later(day * DAY))
    await journal.record([dispatched(each) for each in batch], later(day * DAY + 1))


async def test_what_is_pruned_is_forgotten(rig: JournalRig, path: Path) -> None:
    """Old dispatches go with their history and bodies; younger ones are still known as repeats."""
    await dispatch(rig, [f"old-{number}" for number in range(20)], 0)
    await dispatch(rig, [f"young-{number}" for number in range(3)], 10)
    assert prune(path, later(5 * DAY)) == 20
    assert [count(path, table) for table in ("payments", "history", "bodies")] == [3, 3, 1]
    old, young = await rig.worker("a").claim([intent("old-1"), intent("young-1")], later(11 * DAY))
    assert (old, type(young)) == (NEW, Done)


async def test_what_is_not_over_stays(rig: JournalRig, path: Path) -> None:
    """Payments in hand or delayed are never pruned, dead letters and held ones only when asked for."""
    journal = rig.worker("a")
    batch = [intent(name) for name in ("claimed", "delayed", "dead", "held", "done")]
    _, delayed, dead, held, done = batch
    await journal.claim(batch, later(0))
    await journal.record(
        [ended(State.DELAYED, delayed), ended(State.DEAD_LETTERED, dead), ended(State.HELD, held)], later(1)
    )
    await journal.record([dispatched(done)], later(2))
    await dispatch(rig, ["last"], 10)
    assert prune(path, later(5 * DAY)) == 1
    assert prune(path, later(5 * DAY), dead_letters=True) == 2
    assert [rig.books().find(each.payment_id) is None for each in batch] == [False, False, True, True, True]


async def test_numbers_are_not_given_twice(rig: JournalRig, path: Path) -> None:
    """The newest payment and entry stay, so that what comes later has a later number."""
    await dispatch(rig, ["a", "b", "c"], 0)
    assert prune(path, later(5 * DAY)) == 2
    outbox = rig.outbox("p")
    due = outbox.due(later(0), 10)
    assert due is not None
    assert outbox.done(due.position)
    await dispatch(rig, ["d"], 10)
    due = outbox.due(later(0), 10)
    assert due is not None
    assert [event.payment_id for event in due.events] == ["d"]
    outbox.close()


async def test_events_are_told_before_they_are_pruned(rig: JournalRig, path: Path) -> None:
    """With a publisher about, a payment stays until its events have been published."""
    await dispatch(rig, ["a", "b", "c", "d"], 0)
    outbox = rig.outbox("p")
    due = outbox.due(later(0), 2)
    assert due is not None
    assert outbox.done(due.position)
    assert prune(path, later(5 * DAY)) == 2
    outbox.close()


async def test_bodies_stay_while_one_payment_needs_them(rig: JournalRig, path: Path) -> None:
    """A batch's bodies are one row: it goes with the last payment that was ever put into it."""
    journal = rig.worker("a")
    first, second, third = batch = [intent(name) for name in ("a", "b", "c")]
    await journal.claim(batch, later(0))
    other = intent("a", processor="beta")
    await journal.amend([Amendment(first.dispatch_id or "", "unroutable", other)], later(1))
    await journal.record([dispatched(other), dispatched(second)], later(2))
    await dispatch(rig, ["last"], 10)
    assert prune(path, later(5 * DAY)) == 2
    standing = rig.books().find("c")
    assert standing is not None
    assert standing.body == third.body
    assert count(path, "bodies") == 2
    await journal.record([dispatched(third)], later(3))
    await dispatch(rig, ["very last"], 10)
    assert prune(path, later(5 * DAY)) == 1
    assert count(path, "bodies") == 2


async def test_remainders_add_up_after_pruning(rig: JournalRig, path: Path) -> None:
    """What pruned payments did to a remainder is kept in sum."""
    journal = rig.worker("a")
    for number in range(5):
        payment = intent(f"pay-{number}", carrying=Thirds())
        assert isinstance((await journal.claim([payment], later(0)))[0], New)
        await journal.record([dispatched(payment)], later(1))
    await dispatch(rig, ["last"], 10)
    assert prune(path, later(5 * DAY)) == 5
    connection = connect(path, read_only=True)
    assert connection.execute("SELECT remainder, pruned FROM carries").fetchall() == [("-1/3", "-1/3")]
    assert connection.execute("SELECT count(*) FROM carried").fetchone() == (0,)
    connection.close()


def test_looking_after_a_journal(path: Path) -> None:
    """Make one, look at it, prune it, and make it again with nothing to do."""
    journal = f"sqlite:///{path}"
    made = run_command("journal", "migrate", "--journal", journal)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.endswith("version 0 is now 1\n")
    assert "nothing to do" in run_command("journal", "migrate", "--journal", journal).stdout
    status = json.loads(run_command("journal", "status", "--journal", journal, "--json").stdout)
    assert (status["version"], status["needed"], status["payments"], status["unpublished"]) == (1, 1, 0, None)
    assert "version of the tables" in run_command("journal", "status", "--journal", journal).stdout
    pruned = run_command("journal", "prune", "--journal", journal, "--older-than", "90d")
    assert pruned.stdout.endswith("0 payments forgotten, 0 kept\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("status", "--journal", "none"), "no journal to look after"),
        (("status", "--journal", "sqlite:///missing.db"), "there is no journal missing.db"),
        (("migrate", "--journal", "sqlite:///."), "the journal . is a folder; name a file in it"),
        (("migrate", "--journal", "sqlite:///missing/j.db"), "its folder must exist and be writable"),
        (("prune", "--older-than", "90"), "--older-than: '90' is not a duration"),
        (("prune", "--older-than", "99999999999d"), "longer ago than 100 years"),
    ],
)
def test_what_cannot_be_looked_after(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """One readable line, and the exit code for settings."""
    done = run_command("journal", *arguments, folder=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_journal_that_is_behind(path: Path) -> None:
    """Its status says what to run, and its exit code that something is to be done."""
    migrate(path)
    connection = connect(path)
    connection.execute("PRAGMA user_version=0")
    connection.close()
    done = run_command("journal", "status", "--journal", f"sqlite:///{path}")
    assert done.returncode == 2
    assert "run: payment-worker journal migrate" in done.stdout
