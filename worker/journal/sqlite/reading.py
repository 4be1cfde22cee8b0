"""What the journal file knows of a batch's payments."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from worker.journal.decide import Known
from worker.journal.entries import Entry
from worker.journal.packing import unpack
from worker.journal.sqlite.schema import HAPPENINGS, STATES
from worker.money import Carry

_KNOWN: Final = """
    SELECT p.payment_id, p.fingerprint, p.state, p.attempt, p.redrives, p.pinned, o.name, p.lease_until,
        w.rule, w.rules_version, w.candidate, w.processor, w.exchange, w.routing_key, p.dispatch_id,
        w.priority, p.charged
    FROM json_each(?) AS asked
    JOIN payments AS p ON p.id = asked.value
    JOIN ways AS w ON w.id = p.way
    JOIN owners AS o ON o.id = p.owner
"""
ENTRIES: Final = """
    SELECT h.id, h.happening, ifnull(p.payment_id, nullif(h.payment_id, '')), h.payment IS NOT NULL,
        h.attempt, h.code, h.trace_id, o.name, h.began, h.ended, w.currency, w.scale, h.gross, h.net, h.fees,
        w.rule, w.rules_version, w.candidate, w.processor, h.dispatch_id, h.batch, h.start, h.length
    FROM history AS h JOIN owners AS o ON o.id = h.owner
        LEFT JOIN payments AS p ON p.id = h.payment LEFT JOIN ways AS w ON w.id = h.way
"""
_BODIES: Final = """
    SELECT p.payment_id, p.batch, p.start, p.length
    FROM json_each(?) AS asked JOIN payments AS p ON p.id = asked.value
"""
_WAS_INTENT: Final = "SELECT 1 FROM history WHERE payment = ? AND dispatch_id = ? LIMIT 1"


def read_secret(connection: sqlite3.Connection, name: str) -> bytes:
    """Return what was made with the file: ``fingerprint_key`` or ``journal_id``."""
    return bytes(connection.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()[0])


def read_known(connection: sqlite3.Connection, rows: Iterable[int]) -> dict[str, Known]:
    """Return what is known of payments, by payment id."""
    known: dict[str, Known] = {}
    text = orjson.dumps(list(rows)).decode()
    for *found, packed in connection.execute(_KNOWN, (text,)):
        payment_id, fingerprint, state, attempt, redrives, pinned, *more = found
        charged, keys = unpack(packed)
        known[payment_id] = Known(
            payment_id, fingerprint, STATES[state], attempt, redrives, bool(pinned), *more
        )._replace(charged=charged, keys=keys)
    return known


def read_bodies(connection: sqlite3.Connection, rows: Sequence[int]) -> dict[str, bytes]:
    """Return the bytes of payments' intents, by payment id."""
    found = connection.execute(_BODIES, (orjson.dumps(rows).decode(),)).fetchall()
    blobs = read_blobs(connection, {batch for _, batch, _, _ in found})
    return {payment_id: blobs[batch][start : start + length] for payment_id, batch, start, length in found}


def read_blobs(connection: sqlite3.Connection, batches: Iterable[int]) -> dict[int, bytes]:
    """Return the bodies of whole batches."""
    text = orjson.dumps(list(batches)).decode()
    return dict(
        connection.execute(
            "SELECT id, bytes FROM bodies WHERE id IN (SELECT value FROM json_each(?))", (text,)
        )
    )


def entry_of(row: Sequence[Any], blobs: Mapping[int, bytes]) -> Entry:
    """Return the entry of a row of ``ENTRIES``, with its body where its batch is among ``blobs``."""
    number, happening, payment_id, claimed, *more, batch, start, length = row
    body = blobs[batch][start : start + length] if length and batch in blobs else None
    return Entry(number, HAPPENINGS[happening], payment_id, bool(claimed), *more)._replace(body=body)


def read_carries(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, Carry]:
    """Return the remainders of keys that have one."""
    found = connection.execute(
        "SELECT key, remainder FROM carries WHERE key IN (SELECT value FROM json_each(?))",
        (orjson.dumps(list(set(keys))).decode(),),
    )
    return {key: Carry.parse(text) for key, text in found}


def was_intent(connection: sqlite3.Connection, row: int, dispatch_id: str) -> bool:
    """Return whether a payment once had the intent of a dispatch."""
    return connection.execute(_WAS_INTENT, (row, dispatch_id)).fetchone() is not None
