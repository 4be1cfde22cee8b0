"""A journal's URL, taken apart."""

from pathlib import PurePath

import pytest

from worker.journal.address import Address, InMemory, NoJournal, Postgresql, SqliteFile, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("none", NoJournal()),
        ("memory:", InMemory()),
        ("sqlite:///journal.db", SqliteFile(PurePath("journal.db"))),
        ("sqlite:////var/lib/pay%20ments.db", SqliteFile(PurePath("/var/lib/pay ments.db"))),
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
        ("redis://h", "expected sqlite, postgresql, memory or none"),
        ("", "expected sqlite"),
        ("sqlite:journal.db/..", "sqlite:///payments.db"),
        ("sqlite:///", "sqlite:///payments.db"),
    ],
)
def test_what_is_no_address(url: str, message: str) -> None:
    """The text says what would be one."""
    with pytest.raises(ValueError, match=message):
        parse_address(url)
