"""The tables of a journal file, and the steps from one version of them to the next.

Payments are narrow rows, so that a claim writes little: what repeats (route, amounts' currency, owner) stands
once in a table of its own, and the dispatches' bytes of one batch are one row of ``bodies``.
"""

from collections.abc import Sequence
from typing import Final

from worker.journal.entries import Happening
from worker.journal.states import State

APPLICATION_ID: Final = 0x50617957
"""Marks a file as a journal of ours, for ``file`` and for ourselves."""

STATES: Final[tuple[State, ...]] = (
    State.CLAIMED,
    State.DISPATCHED,
    State.DELAYED,
    State.HELD,
    State.DEAD_LETTERED,
    State.RETURNED,
)
"""A state's number in the file is its place here; append only. Numbers leave the rows' size as it is."""

HAPPENINGS: Final[tuple[Happening, ...]] = (
    Happening.DISPATCHED,
    Happening.DELAYED,
    Happening.HELD,
    Happening.DEAD_LETTERED,
    Happening.RETURNED,
    Happening.REFUSED,
    Happening.ABANDONED,
    Happening.DUPLICATE,
)
"""As for states."""

MIGRATIONS: Final[Sequence[str]] = (
    """
    CREATE TABLE secrets (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT;
    INSERT INTO secrets (name, value)
        VALUES ('fingerprint_key', randomblob(32)), ('journal_id', randomblob(16));
    CREATE TABLE owners (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE ways (
        id INTEGER PRIMARY KEY,
        currency TEXT NOT NULL,
        scale INTEGER NOT NULL,
        rule TEXT,
        rules_version TEXT NOT NULL,
        candidate INTEGER NOT NULL,
        processor TEXT,
        exchange TEXT,
        routing_key TEXT,
        priority INTEGER
    ) STRICT;
    CREATE TABLE bodies (
        id INTEGER PRIMARY KEY,
        payments INTEGER NOT NULL,
        bytes BLOB NOT NULL
    ) STRICT;
    CREATE TABLE payments (
        id INTEGER PRIMARY KEY,
        payment_id TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        attempt INTEGER NOT NULL,
        redrives INTEGER NOT NULL,
        gross INTEGER NOT NULL,
        net INTEGER NOT NULL,
        fees INTEGER NOT NULL,
        trace_id TEXT,
        dispatch_id TEXT,
        way INTEGER NOT NULL REFERENCES ways,
        batch INTEGER NOT NULL REFERENCES bodies,
        start INTEGER NOT NULL,
        length INTEGER NOT NULL,
        state INTEGER NOT NULL,
        owner INTEGER NOT NULL REFERENCES owners,
        lease_until INTEGER NOT NULL,
        created INTEGER NOT NULL,
        claimed INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        pinned INTEGER NOT NULL DEFAULT 0,
        duplicates INTEGER NOT NULL DEFAULT 0,
        code TEXT,
        charged TEXT
    ) STRICT;
    CREATE TABLE ids (
        payment_id TEXT PRIMARY KEY,
        payment INTEGER NOT NULL REFERENCES payments
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE indexed (
        upto INTEGER NOT NULL,
        owner TEXT NOT NULL,
        lease_until REAL NOT NULL
    ) STRICT;
    INSERT INTO indexed VALUES (0, '', 0);
    CREATE TABLE history (
        id INTEGER PRIMARY KEY,
        happening INTEGER NOT NULL,
        payment INTEGER REFERENCES payments,
        payment_id TEXT,
        attempt INTEGER NOT NULL,
        code TEXT,
        trace_id TEXT,
        owner INTEGER NOT NULL REFERENCES owners,
        began INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        way INTEGER REFERENCES ways,
        gross INTEGER,
        net INTEGER,
        fees INTEGER,
        dispatch_id TEXT,
        batch INTEGER REFERENCES bodies,
        start INTEGER,
        length INTEGER
    ) STRICT;
    CREATE INDEX history_by_payment ON history (payment);
    CREATE INDEX strays ON history (payment_id) WHERE payment_id IS NOT NULL;
    CREATE TABLE outbox (
        name TEXT PRIMARY KEY,
        position INTEGER NOT NULL,
        owner TEXT NOT NULL,
        lease_until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO outbox VALUES ('events', 0, '', 0);
    CREATE TABLE carries (
        key TEXT PRIMARY KEY,
        remainder TEXT NOT NULL,
        pruned TEXT NOT NULL DEFAULT '0'
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE carried (
        payment INTEGER NOT NULL REFERENCES payments,
        key TEXT NOT NULL REFERENCES carries,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        PRIMARY KEY (payment, key)
    ) STRICT, WITHOUT ROWID;
    """,
)
"""Forward only: what stands here is never changed, a new version is one more step."""

VERSION: Final = len(MIGRATIONS)
