"""Asking the journal whether a payment may go back."""

from pathlib import Path, PurePath

import pytest

from tests.support.journals import dispatched, ended, intent
from tests.support.payments import NOW
from worker.dead_letters.actions import NoRecord
from worker.dead_letters.record import JournalRecord, opened_record
from worker.errors import JournalMismatch
from worker.journal.address import NoJournal, SqliteFile
from worker.journal.memory import Memory, MemoryBooks, MemoryJournal
from worker.journal.sqlite.upkeep import migrate
from worker.journal.states import State


async def test_what_is_or_may_be_out_there_is_known() -> None:
    """Dispatched, or claimed by a worker: neither goes back. Dead, delayed and unknown ones may."""
    memory = Memory()
    journal = MemoryJournal("worker", memory=memory)
    intents = {name: intent(name) for name in ("sent", "claimed", "dead", "late")}
    await journal.claim(list(intents.values()), NOW)
    ends = [
        dispatched(intents["sent"]),
        ended(State.DEAD_LETTERED, intents["dead"]),
        ended(State.DELAYED, intents["late"]),
    ]
    await journal.record(ends, NOW)
    record = JournalRecord(MemoryBooks(memory))
    assert await record.already_dispatched([*intents, "never"]) == {"sent", "claimed"}


def test_journal_file_is_opened_and_closed(tmp_path: Path) -> None:
    """The workers' own file answers."""
    path = tmp_path / "journal.db"
    migrate(path)
    with opened_record(SqliteFile(PurePath(path)), "sqlite") as record:
        assert isinstance(record, JournalRecord)


def test_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    """A journal that is there and cannot be read is no missing one: nothing is sent on a guess."""
    path = tmp_path / "journal.db"
    path.touch()
    with pytest.raises(JournalMismatch), opened_record(SqliteFile(PurePath(path)), "sqlite"):
        pass


def test_lack_of_a_journal_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once, on stderr, and how it is named where it is elsewhere."""
    with opened_record(NoJournal(), "none") as record:
        assert isinstance(record, NoRecord)
    assert capsys.readouterr().err.startswith("no journal: nobody knows")
    with opened_record(SqliteFile(PurePath(tmp_path / "none.db")), "sqlite:///none.db"):
        pass
    assert "no journal at sqlite:///none.db" in capsys.readouterr().err
