"""A connection to a journal in PostgreSQL, and the server's errors in the worker's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, LiteralString
from urllib.parse import urlsplit

from worker.errors import (
    InvalidSettings,
    InvariantViolation,
    JournalCorrupt,
    JournalMismatch,
    JournalUnavailable,
    PostgresqlMissing,
)
from worker.journal.postgresql.schema import SCHEMA, VERSION

try:
    import psycopg
    from psycopg import errors
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as error:
    raise PostgresqlMissing(
        f"a journal in PostgreSQL needs psycopg ({error});"
        " run: pip install 'payment-stream-worker[postgresql]'"
    ) from error

LOCK_SECONDS: Final = 10
"""How long a statement waits for those of others."""
OLDEST: Final = 140000

_DEFAULTS: Final[dict[str, Any]] = {
    "application_name": "payment-worker",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""For what the URL leaves open: a server that vanished is noticed in seconds."""

_SETTINGS: Final = {
    "search_path": SCHEMA,
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": "30s",
    "default_transaction_isolation": "read committed",
    # all statements find few rows by their keys: whatever the statistics say, in the order of those keys
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
_SET: Final[LiteralString] = """
    SELECT set_config(name, setting, false) FROM unnest(%s::text[], %s::text[]) AS s (name, setting)
    UNION ALL SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'
"""


async def reach(url: str) -> "psycopg.AsyncConnection[Any]":
    """Connect as a worker does, up to the first statement; ``prepare`` has to follow.

    Two steps, so that the connection can be broken off in the second: psycopg cancels a statement by asking
    the server, for as long as ten seconds.

    Raises:
        JournalUnavailable: the server cannot be reached, or lets nobody in.
    """
    with speaking_of(url):
        return await psycopg.AsyncConnection.connect(_parameters(url), autocommit=True)


async def prepare(connection: "psycopg.AsyncConnection[Any]") -> None:
    """Set a new connection up: every commit is on disk when it returns.

    Raises:
        JournalMismatch: the server is too old.
    """
    _check_server(connection)
    await connection.execute(_SET, (list(_SETTINGS), list(_SETTINGS.values())))


def connect_for_people(url: str, *, read_only: bool = False) -> "psycopg.Connection[Any]":
    """Connect for statements that may look through whole tables; else as ``reach`` and ``prepare``."""
    with speaking_of(url):
        connection = psycopg.connect(_parameters(url), autocommit=True)
        try:
            _check_server(connection)
            kept = {name: _SETTINGS[name] for name in ("search_path", "lock_timeout", "jit")}
            kept |= {"default_transaction_read_only": str(read_only)}
            connection.execute(_SET, (list(kept), list(kept.values())))
        except BaseException:
            connection.close()
            raise
        return connection


def _parameters(url: str) -> str:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise InvalidSettings(f"the journal's URL {shown(url)}: {_first_line(error)}") from error
    return make_conninfo(url, **{name: value for name, value in _DEFAULTS.items() if name not in given})


def _check_server(connection: "psycopg.Connection[Any] | psycopg.AsyncConnection[Any]") -> None:
    found = connection.info.server_version
    if found < OLDEST:
        raise JournalMismatch(
            f"PostgreSQL {found // 10000} is too old for the journal; it needs {OLDEST // 10000} or newer"
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise JournalMismatch(
            f"the journal's database has the encoding {encoding}; create it with: createdb --encoding UTF8"
        )


def version_of(connection: "psycopg.Connection[Any]") -> int:
    """Return the version of a database's tables, 0 where there are none of ours.

    Raises:
        JournalMismatch: the schema is somebody else's.
    """
    found = connection.execute(
        "SELECT to_regnamespace(%s) IS NULL, to_regclass(%s)::oid", (SCHEMA, f"{SCHEMA}.versions")
    ).fetchone()
    missing, versions = found or (True, None)
    if missing:
        return 0
    if versions is None:
        raise JournalMismatch(
            f"the schema {SCHEMA} of the database is not a journal's; name another database for the journal"
        )
    row = connection.execute("SELECT coalesce(max(version), 0) FROM versions").fetchone()
    return int(row[0]) if row else 0


def check_version(connection: "psycopg.Connection[Any]", url: str) -> None:
    """Refuse tables of another version than this program's.

    Raises:
        JournalMismatch: with what to do.
    """
    version = version_of(connection)
    if version < VERSION:
        raise JournalMismatch(
            f"the journal {shown(url)} has version {version} of its tables, this program needs {VERSION};"
            " run: payment-worker journal migrate"
        )
    if version > VERSION:
        raise JournalMismatch(
            f"the journal {shown(url)} has version {version} of its tables, this program knows {VERSION} at"
            " most; run a newer payment-worker"
        )


def read_secret(connection: "psycopg.Connection[Any]", name: str) -> bytes:
    """Return what was made with the journal: ``fingerprint_key`` or ``journal_id``."""
    found = connection.execute("SELECT value FROM secrets WHERE name = %s", (name,)).fetchone()
    return bytes(found[0]) if found else b""


def shown(url: str) -> str:
    """Return where a journal is, for messages: without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2] or 'on this host'}{parts.path}"


@contextmanager
def speaking_of(url: str) -> Iterator[None]:
    """Turn PostgreSQL's errors into the worker's.

    Raises:
        JournalUnavailable: for now: out of reach, locked, full, not to be written.
        JournalMismatch: tables or rights are missing.
        JournalCorrupt: the database is damaged.
        InvariantViolation: it does not understand us.
    """
    try:
        yield
    except psycopg.Error as error:
        raise _translated(error, url) from error


def _translated(error: "psycopg.Error", url: str) -> Exception:
    said = f"the journal {shown(url)}: {_first_line(error)}"
    match error:
        case errors.DataCorrupted() | errors.IndexCorrupted():
            return JournalCorrupt(f"{said}; restore it from a backup")
        case errors.InsufficientPrivilege():
            return JournalMismatch(f"{said}; grant it, or name another user in the journal's URL")
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedObject():
            return JournalMismatch(f"{said}; run: payment-worker journal migrate")
        case psycopg.DataError() | psycopg.ProgrammingError() | psycopg.IntegrityError():
            return InvariantViolation(said)
        case _:
            return JournalUnavailable(f"{said}{_HINTS.get(error.sqlstate or '', '') or _hint(said)}")


def _hint(said: str) -> str:
    """Return what to do about a connection that was not made: such errors have no code."""
    return next((hint for text, hint in _NOT_CONNECTED.items() if text in said), "")


def _first_line(error: "psycopg.Error") -> str:
    return (error.diag.message_primary or str(error)).strip().splitlines()[0]


_HINTS: Final = {
    "53100": "; free space on its disk, nothing is acknowledged meanwhile",
    "55P03": f": another transaction has held it for {LOCK_SECONDS} s",
    "25006": "; it is a standby: name the primary, or all with target_session_attrs=read-write",
}
_NOT_CONNECTED: Final = {
    "authentication failed": "; check user and password in the journal's URL, or in the file of passfile",
    "no password supplied": "; give one in the journal's URL, or in the file that passfile names",
    "pg_hba.conf": "; let this user and host in, in the server's pg_hba.conf",
    "role ": "; create it with createuser, or name another user in the journal's URL",
    "database ": "; create it with createdb --encoding UTF8, or name another one in the journal's URL",
    "refused": "; is the server running, and is this its host and port?",
    "resolve host": "; is the host in the journal's URL right?",
}
