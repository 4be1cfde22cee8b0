"""A copy of a journal file as it was at one moment, taken while workers go on writing it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from worker.errors import InvalidSettings, JournalUnavailable
from worker.journal.sqlite.connection import check_version, connect, speaking_of


def back_up(source: Path, target: Path) -> int:
    """Copy a journal to a new file, whole and checked; return its bytes. Writers are not held up.

    Raises:
        InvalidSettings: there is a file of that name already, or no journal to copy.
        JournalMismatch, JournalUnavailable, JournalCorrupt: the journal cannot be read, or the copy written.
    """
    if target.exists():
        raise InvalidSettings(f"{target} exists already; a backup never takes another one's place")
    if not source.exists():
        raise InvalidSettings(f"there is no journal {source}")
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with closing(connect(source, read_only=True)) as connection:
            check_version(connection, source)
            with speaking_of(target):
                connection.execute("VACUUM INTO ?", (str(unfinished),))
        with speaking_of(target), closing(sqlite3.connect(unfinished)) as copy:
            found = str(copy.execute("PRAGMA quick_check(1)").fetchone()[0])
            if found != "ok":
                raise JournalUnavailable(f"the backup {target} is damaged: {found}; look at its disk")
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.rename(target)
    except OSError as error:
        raise JournalUnavailable(f"the backup {target}: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return target.stat().st_size
