"""What the journal file knows of a batch's payments."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from worker.journal.decide import Known
from worker.journal.sqlite.schema import STATES
from worker.journal.sqlite.writing import unpack
from worker.money import Carry

_KNOWN: Final = """
    SELECT p.id, p.payment_id, p.fingerprint, p.state, p.attempt, p.redrives, p.pinned, o.name, p.lease_until,
        w.rule, w.rules_version, w.candidate, w.processor, w.exchange, w.routing_key, p.dispatch_id,
        w.priority, p.charged
    FROM json_each(?) AS asked
    JOIN payments AS p ON p.payment_id = asked.value
    JOIN ways AS w ON w.id = p.way
    JOIN owners AS o ON o.id = p.owner
"""
_BODIES: Final = """
    SELECT p.payment_id, p.batch, p.start, p.length
    FROM json_each(?) AS asked JOIN payments AS p ON p.payment_id = asked.value
"""
_WAS_INTENT: Final = """
    SELECT 1 FROM history
    WHERE payment = (SELECT id FROM payments WHERE payment_id = ?) AND dispatch_id = ? LIMIT 1
"""


def read_fingerprint_key(connection: sqlite3.Connection) -> bytes:
    """Return the key that was made with the file."""
    return bytes(connection.execute("SELECT value FROM secrets WHERE name = 'fingerprint_key'").fetchone()[0])


def read_known(
    connection: sqlite3.Connection, payment_ids: Iterable[str]
) -> tuple[dict[str, Known], dict[str, int]]:
    """Return what is known of payments, and their rows, by payment id."""
    known: dict[str, Known] = {}
    rows: dict[str, int] = {}
    text = orjson.dumps(list(set(payment_ids))).decode()
    for row, *found, packed in connection.execute(_KNOWN, (text,)):
        payment_id, fingerprint, state, attempt, redrives, pinned, *more = found
        charged, keys = unpack(packed)
        rows[payment_id] = row
        known[payment_id] = Known(
            payment_id, fingerprint, STATES[state], attempt, redrives, bool(pinned), *more
        )._replace(charged=charged, keys=keys)
    return known, rows


def read_bodies(connection: sqlite3.Connection, payment_ids: Sequence[str]) -> dict[str, bytes]:
    """Return the bytes of payments' intents."""
    found = connection.execute(_BODIES, (orjson.dumps(payment_ids).decode(),)).fetchall()
    batches = {batch for _, batch, _, _ in found}
    blobs = dict(
        connection.execute(
            "SELECT id, bytes FROM bodies WHERE id IN (SELECT value FROM json_each(?))",
            (orjson.dumps(list(batches)).decode(),),
        )
    )
    return {payment_id: blobs[batch][start : start + length] for payment_id, batch, start, length in found}


def read_carries(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, Carry]:
    """Return the remainders of keys that have one."""
    found = connection.execute(
        "SELECT key, remainder FROM carries WHERE key IN (SELECT value FROM json_each(?))",
        (orjson.dumps(list(set(keys))).decode(),),
    )
    return {key: Carry.parse(text) for key, text in found}


def was_intent(connection: sqlite3.Connection, payment_id: str, dispatch_id: str) -> bool:
    """Return whether a payment once had the intent of a dispatch."""
    found = connection.execute(_WAS_INTENT, (payment_id, dispatch_id)).fetchone()
    return found is not None
