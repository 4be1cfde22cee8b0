"""The private PostgreSQL server: its data survives a kill, and nothing of it survives its owner."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from worker.errors import LocalDatabaseFailed, PostgresqlMissing
from worker.local_postgresql import LocalPostgresql, find_postgresql


def answer(url: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT sum(number) FROM numbers").fetchone()
        return int(found[0]) if found else 0


def test_a_kill_loses_nothing() -> None:
    """What was committed is there after a crash, a stop and a restart, at the same URL."""
    with LocalPostgresql() as server:
        url = server.create_database("kept")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE numbers AS SELECT 42 AS number")
        pid = server.pid
        server.kill()
        assert server.pid is None
        server.start()
        assert server.pid != pid
        assert answer(url) == 42
        server.restart()
        assert answer(url) == 42
        copy = server.create_database("copy", "kept")
        assert answer(copy) == 42


OWNER = """
import sys, time
from worker.local_postgresql import LocalPostgresql
server = LocalPostgresql()
server.start()
print(server.pid, server.url, flush=True)
time.sleep(600)
"""


def test_nothing_survives_its_owner() -> None:
    """An owner that is killed leaves no process and no folder."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, _ = owner.stdout.readline().split()
    arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    folder = Path(arguments[arguments.index("-D") + 1]).parent
    assert folder.exists()
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    deadline = time.monotonic() + 20
    while folder.exists() or Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the server or its folder is still there"
        time.sleep(0.05)


def test_before_the_first_start() -> None:
    """There is no URL yet, and the text says what to do."""
    with pytest.raises(LocalDatabaseFailed, match="call start"):
        _ = LocalPostgresql().url


def test_a_server_that_cannot_start() -> None:
    """The end of its log is in the message, and nothing is left behind."""
    server = LocalPostgresql({"shared_buffers": "none"})
    with pytest.raises(LocalDatabaseFailed, match="shared_buffers"):
        server.start()
    with pytest.raises(LocalDatabaseFailed, match="no folder yet"):
        _ = server.port


def test_a_postgresql_that_is_not_there(tmp_path: Path) -> None:
    """A folder that is named wrongly is named in the message."""
    with pytest.raises(PostgresqlMissing, match=str(tmp_path)):
        find_postgresql(os.environ | {"POSTGRESQL_HOME": str(tmp_path)})
