"""A journal's URL, taken apart."""

from pathlib import PurePath

import pytest

from worker.journal.address import (
    Address,
    InMemory,
    NoJournal,
    Postgresql,
    SqliteFile,
    parse_address,
    without_password,
)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("none", NoJournal()),
        ("memory:", InMemory()),
        ("sqlite:///journal.db", SqliteFile(PurePath("journal.db"))),
        ("sqlite:////var/lib/pay%20ments.db", SqliteFile(PurePath("/var/lib/pay ments.db"))),
        ("postgresql:///d?host=/run", Postgresql("postgresql:///d?host=/run")),
        ("postgresql://one:1,two:2/d", Postgresql("postgresql://one:1,two:2/d")),
        ("postgresql://a:b@h:5/d?sslmode=require", Postgresql("postgresql://a:b@h:5/d?sslmode=require")),
    ],
)
def test_addresses(url: str, address: Address) -> None:
    """Each backend has its scheme; a file is named from the working folder or from the root."""
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgre://h/d", "did you mean postgres"),
        ("redis://h", "expected sqlite:///file, postgresql://user@host/database, memory: or none"),
        ("", "'' is no journal's URL; expected sqlite"),
        ("journal.db", "'journal.db' is no journal's URL; expected sqlite"),
        ("memory:shared", "stands alone"),
        ("sqlite:///journal.db?mode=ro", "takes no options"),
        ("postgresql:", "postgresql://user@host/database"),
        ("postgresql://h:port/d", "port of the server.*is no number"),
        ("postgresql://h:70000/d", "port of the server.*is no number"),
        ("sqlite:journal.db/..", "sqlite:///payments.db"),
        ("sqlite:///", "sqlite:///payments.db"),
    ],
)
def test_what_is_no_address(url: str, message: str) -> None:
    """The text says what would be one."""
    with pytest.raises(ValueError, match=message):
        parse_address(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://a:secret@h:5/d?sslmode=require", "postgresql://a@h:5/d?sslmode=require"),
        ("postgresql://a:s@one:1,two:2/d?password=secret&x=1", "postgresql://a@one:1,two:2/d?x=1"),
        ("postgresql://h/d?password=secret", "postgresql://h/d"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    """Wherever it stands; all else stays."""
    assert without_password(url) == shown
