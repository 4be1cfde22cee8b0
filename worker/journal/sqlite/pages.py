"""A journal file read from its first payment to its last, a slice at a time."""

import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from worker.journal.books import Page, Standing
from worker.journal.changes import Carried
from worker.journal.entries import Entry
from worker.journal.packing import unpack
from worker.journal.sqlite.connection import speaking_of
from worker.journal.sqlite.reading import ENTRIES, entry_of, read_blobs
from worker.journal.sqlite.schema import STATES
from worker.journal.states import State
from worker.money import Carry

SLICE_PAYMENTS: Final = 500
"""Payments in memory at a time, with their history and the bodies of their batches."""

STANDING_COLUMNS: Final = """
    p.payment_id, hex(p.fingerprint), p.state, p.attempt, p.redrives, p.pinned, o.name, p.lease_until,
    w.currency, w.scale, p.gross, p.net, p.fees, w.rule, w.rules_version, w.candidate, w.processor,
    w.exchange, w.routing_key, p.dispatch_id, w.priority, NULL, p.code, p.trace_id, p.charged, p.created,
    p.changed, p.duplicates
"""
STANDING_TABLES: Final = (
    "FROM payments AS p JOIN ways AS w ON w.id = p.way JOIN owners AS o ON o.id = p.owner"
)
_FINGERPRINT, _STATE, _PINNED, _BODY, _CHARGED = map(
    Standing._fields.index, ("fingerprint", "state", "pinned", "body", "trail")
)

_SLICE: Final = f"""
    SELECT p.id, p.batch, p.start, p.length, {STANDING_COLUMNS} {STANDING_TABLES}
    WHERE p.id > ? ORDER BY p.id LIMIT {SLICE_PAYMENTS}
"""
_ENTRIES: Final = f"{ENTRIES} WHERE h.payment BETWEEN ? AND ? ORDER BY h.payment, h.id"
_CARRIED: Final = """
    SELECT p.payment_id, c.key, c.before, c.after FROM carried AS c JOIN payments AS p ON p.id = c.payment
    WHERE c.payment BETWEEN ? AND ?
"""
_DISPATCHED: Final = f"""
    SELECT p.id, {STANDING_COLUMNS} {STANDING_TABLES}
    WHERE p.id > :at AND p.state = {STATES.index(State.DISPATCHED)} AND w.processor = :processor
        AND p.changed >= :since AND p.changed < :until
    ORDER BY p.id LIMIT {SLICE_PAYMENTS}
"""
_STRAYS: Final = f"{ENTRIES} WHERE h.payment_id IS NOT NULL AND h.id > ? ORDER BY h.id LIMIT {SLICE_PAYMENTS}"


def read_pages(path: Path, connection: sqlite3.Connection, *, bodies: bool) -> Iterator[Page]:
    """Yield every payment's page, in the order in which they were first claimed."""
    at = 0
    while True:
        with speaking_of(path):
            rows = connection.execute(_SLICE, (at,)).fetchall()
            if not rows:
                return
            pages = _pages(connection, rows, bodies=bodies)
        yield from pages
        at = rows[-1][0]


def _pages(connection: sqlite3.Connection, rows: Sequence[Any], *, bodies: bool) -> list[Page]:
    bounds = (rows[0][0], rows[-1][0])
    found = connection.execute(_ENTRIES, bounds).fetchall()
    blobs: Mapping[int, bytes] = {}
    if bodies:
        batches = {row[1] for row in rows} | {row[-3] for row in found if row[-3] is not None}
        blobs = read_blobs(connection, batches)
    entries: defaultdict[str | None, list[Entry]] = defaultdict(list)
    for row in found:
        entry = entry_of(row, blobs)
        entries[entry.payment_id].append(entry)
    carried: defaultdict[str, list[Carried]] = defaultdict(list)
    for payment_id, key, before, after in connection.execute(_CARRIED, bounds):
        carried[payment_id].append(Carried(payment_id, key, Carry.parse(before), Carry.parse(after)))
    pages = []
    for _, batch, start, length, *row in rows:
        body = blobs.get(batch, b"")[start : start + length] if bodies and length else None
        standing = standing_of(row, body)
        name = standing.payment_id
        pages.append(Page(standing, entries[name], *unpack(row[_CHARGED]), carried[name]))
    return pages


def read_strays(path: Path, connection: sqlite3.Connection) -> Iterator[Entry]:
    """Yield the entries of deliveries that held no claim."""
    at = 0
    while True:
        with speaking_of(path):
            rows = connection.execute(_STRAYS, (at,)).fetchall()
        if not rows:
            return
        yield from (entry_of(row, {}) for row in rows)
        at = rows[-1][0]


def read_dispatched(
    path: Path, connection: sqlite3.Connection, processor: str, since: int | None, until: int | None
) -> Iterator[Standing]:
    """Yield what is dispatched to a processor, in the order in which it was first claimed."""
    asked = {
        "at": 0,
        "processor": processor,
        "since": 0 if since is None else since,
        "until": sys.maxsize if until is None else until,
    }
    while True:
        with speaking_of(path):
            rows = connection.execute(_DISPATCHED, asked).fetchall()
        if not rows:
            return
        yield from (standing_of(row[1:], None) for row in rows)
        asked["at"] = rows[-1][0]


def standing_of(row: Sequence[Any], body: bytes | None) -> Standing:
    """Return the standing of a row of ``STANDING_COLUMNS``."""
    values = list(row)
    values[_FINGERPRINT], values[_STATE] = row[_FINGERPRINT].lower(), STATES[row[_STATE]]
    values[_PINNED], values[_BODY] = bool(row[_PINNED]), body
    charged, _ = unpack(row[_CHARGED])
    values[_CHARGED] = None if charged is None else charged.trail
    return Standing._make(values)
