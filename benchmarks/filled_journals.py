"""Journals that hold many payments at once: as so many dispatches would have left them, faster than a worker.

Their bodies are left out: nothing reads old ones.
"""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg

from worker.journal.postgresql.connection import connect_for_people
from worker.journal.postgresql.partitions import DAYS_AHEAD, make_partitions
from worker.journal.times import milliseconds
from worker.local_postgresql import LocalPostgresql

DAYS: Final = 2 * (DAYS_AHEAD + 1)
"""Over which the payments of a database are spread, a partition each."""

SQLITE_IDS: Final = {"at random": "lower(hex(randomblob(12)))", "in order of time": "printf('%024d', n)"}
POSTGRESQL_IDS: Final = {
    "at random": "substr(md5('id' || n), 1, 24)",
    "in order of time": "lpad(n::text, 24, '0')",
}

_SQLITE: Final = (
    "INSERT INTO owners (name) VALUES ('filled')",
    "INSERT INTO ways (currency, scale, rules_version, candidate) VALUES ('EUR', 2, 'v1', 1)",
    "INSERT INTO bodies (payments, bytes) VALUES (1, x'')",
    """
    INSERT INTO payments (payment_id, fingerprint, attempt, redrives, gross, net, fees, trace_id, dispatch_id,
        way, batch, start, length, state, owner, lease_until, created, claimed, changed)
    WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :rows)
    SELECT 'pay-' || {identity}, randomblob(16), 1, 0, 1234, 1200, 34, hex(randomblob(16)),
        hex(randomblob(16)), 1, 1, 0, 0, 1, 1, n, n, n, n FROM counted
    """,
    "INSERT INTO ids SELECT payment_id, id FROM payments ORDER BY payment_id",
    "UPDATE indexed SET upto = :rows",
    """
    INSERT INTO history
        (happening, payment, attempt, trace_id, owner, began, ended, way, gross, net, fees, dispatch_id)
    SELECT 0, id, 1, trace_id, 1, created, changed, 1, gross, net, fees, dispatch_id FROM payments
    """,
)
_POSTGRESQL: Final = (
    "TRUNCATE payments, history",  # tables that are new in a transaction need no write-ahead log
    """
    INSERT INTO payments (id, payment_id, fingerprint, attempt, redrives, gross, net, fees, trace_id,
        dispatch_id, way, batch, start, length, state, owner, lease_until, created, claimed, changed)
    SELECT n, 'pay-' || {identity}, decode(md5('f' || n), 'hex'), 1, 0, 1234, 1200, 34, md5('t' || n),
        md5('d' || n), 1, 1, 0, 0, 'dispatched', 1, at, at, at, at
    FROM (SELECT n, %(began)s + n * %(span)s / %(rows)s AS at
        FROM generate_series(1::bigint, %(rows)s) AS n) AS counted
    """,
    """
    INSERT INTO history
        (id, happening, payment, attempt, trace_id, owner, began, ended, way, gross, net, fees, dispatch_id)
    SELECT id, 'dispatched', id, 1, trace_id, 1, created, changed, 1, gross, net, fees, dispatch_id
    FROM payments
    """,
    "SELECT setval('payment_ids', %(rows)s + 1000), setval('entries', %(rows)s + 1)",
)
_BY_ID: Final = "SELECT indexdef FROM pg_indexes WHERE indexname = 'payments_by_id'"


def fill_sqlite(path: Path, rows: int, ids: str) -> None:
    """Put dispatched payments into a journal file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-1000000")
        connection.execute("BEGIN")
        for statement in _SQLITE:
            connection.execute(statement.replace("{identity}", SQLITE_IDS[ids]), {"rows": rows})
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fill_postgresql(server: LocalPostgresql, url: str, rows: int, ids: str) -> None:
    """Put dispatched payments of the last days into a journal's database.

    The server forgoes its safety meanwhile; it is restarted before and afterwards.
    """
    _set(
        server, "wal_level = minimal", "max_wal_senders = 0", "fsync = off", "maintenance_work_mem = '512MB'"
    )
    now = datetime.now(UTC)
    span = timedelta(days=DAYS - 1)
    asked = {
        "rows": rows,
        "began": milliseconds(now - span),
        "span": milliseconds(now) - milliseconds(now - span),
    }
    with closing(connect_for_people(url)) as connection:
        for days in (DAYS, DAYS // 2):
            make_partitions(connection, now - timedelta(days=days))
        with connection.transaction():
            found = connection.execute(_BY_ID).fetchone()
            if found is None:
                raise RuntimeError("the journal has no index of payment ids")
            connection.execute("DROP INDEX payments_by_id")
            for statement in _POSTGRESQL:
                connection.execute(statement.replace("{identity}", POSTGRESQL_IDS[ids]).encode(), asked)
            connection.execute(found[0])  # sorted once, which is faster than row by row
        connection.execute("VACUUM (ANALYZE) payments, history")
    _set(server)
    os.sync()


def _set(server: LocalPostgresql, *settings: str) -> None:
    """Restart a server with these settings, and with those it was made with."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET ALL")
        for setting in settings:
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
    server.restart()
