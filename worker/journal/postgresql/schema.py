"""The tables of a journal in PostgreSQL, and the steps from one version of them to the next.

They are those of the SQLite journal, with three differences. States are enumerations, for whoever looks with
``psql``. The last version of a row is written beside the first (``fillfactor``), so that ending a payment
changes no index. And what only grows, ``history`` and ``bodies``, is partitioned by day, so that it can be
dropped; ``payments`` is one table, since a payment id can be unique within one table only.
"""

from collections.abc import Sequence
from typing import Final

SCHEMA: Final = "payment_journal"
"""The schema that holds them, so that a database may be shared."""

DAILY: Final = ("history", "bodies")
"""Tables that are partitioned by day."""

MIGRATIONS: Final[Sequence[str]] = (
    """
    CREATE TABLE secrets (
        name text PRIMARY KEY,
        value bytea NOT NULL
    );
    INSERT INTO secrets (name, value) VALUES
        ('fingerprint_key', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))),
        ('journal_id', uuid_send(gen_random_uuid()));
    CREATE TYPE state AS ENUM ('claimed', 'dispatched', 'delayed', 'held', 'dead_lettered', 'returned');
    CREATE TYPE happening AS ENUM (
        'dispatched', 'delayed', 'held', 'dead_lettered', 'returned', 'refused', 'abandoned', 'duplicate'
    );
    CREATE TABLE owners (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE
    );
    CREATE TABLE ways (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        currency text NOT NULL,
        scale integer NOT NULL,
        rule text,
        rules_version text NOT NULL,
        candidate integer NOT NULL,
        processor text,
        exchange text,
        routing_key text,
        priority integer
    );
    CREATE SEQUENCE payment_ids INCREMENT 1000;
    CREATE TABLE payments (
        id bigint PRIMARY KEY,
        created bigint NOT NULL,
        claimed bigint NOT NULL,
        changed bigint NOT NULL,
        lease_until bigint NOT NULL,
        gross bigint NOT NULL,
        net bigint NOT NULL,
        fees bigint NOT NULL,
        batch bigint NOT NULL,
        start integer NOT NULL,
        length integer NOT NULL,
        way integer NOT NULL,
        owner integer NOT NULL,
        attempt integer NOT NULL,
        redrives integer NOT NULL,
        duplicates integer NOT NULL DEFAULT 0,
        state state NOT NULL DEFAULT 'claimed',
        pinned boolean NOT NULL DEFAULT false,
        fingerprint bytea NOT NULL,
        payment_id text COLLATE "C" NOT NULL,
        trace_id text,
        dispatch_id text,
        code text,
        charged text
    ) WITH (fillfactor = 50);
    CREATE UNIQUE INDEX payments_by_id ON payments (payment_id);
    CREATE SEQUENCE batches;
    CREATE TABLE bodies (
        id bigint NOT NULL,
        made bigint NOT NULL,
        bytes bytea NOT NULL
    ) PARTITION BY RANGE (made);
    DO $$ BEGIN
        ALTER TABLE bodies ALTER COLUMN bytes SET COMPRESSION lz4;
    EXCEPTION WHEN feature_not_supported THEN
        ALTER TABLE bodies ALTER COLUMN bytes SET STORAGE EXTERNAL;
    END $$;
    CREATE INDEX bodies_by_id ON bodies (id);
    CREATE TABLE bodies_rest (LIKE bodies INCLUDING ALL);
    ALTER TABLE bodies ATTACH PARTITION bodies_rest DEFAULT;
    CREATE SEQUENCE entries;
    CREATE TABLE history (
        id bigint NOT NULL DEFAULT nextval('entries'),
        payment bigint,
        began bigint NOT NULL,
        ended bigint NOT NULL,
        gross bigint,
        net bigint,
        fees bigint,
        batch bigint,
        start integer,
        length integer,
        way integer,
        owner integer NOT NULL,
        attempt integer NOT NULL,
        happening happening NOT NULL,
        payment_id text COLLATE "C",
        code text,
        trace_id text,
        dispatch_id text
    ) PARTITION BY RANGE (ended);
    CREATE TABLE history_rest PARTITION OF history DEFAULT;
    CREATE INDEX history_by_id ON history (id);
    CREATE INDEX history_by_payment ON history (payment);
    CREATE INDEX strays ON history (payment_id) WHERE payment IS NULL;
    CREATE TABLE outbox (
        name text PRIMARY KEY,
        position bigint NOT NULL,
        owner text NOT NULL,
        lease_until bigint NOT NULL
    );
    INSERT INTO outbox VALUES ('events', 0, '', 0);
    CREATE TABLE carries (
        key text COLLATE "C" PRIMARY KEY,
        remainder text,
        pruned text NOT NULL DEFAULT '0'
    );
    CREATE TABLE carried (
        payment bigint NOT NULL,
        key text COLLATE "C" NOT NULL,
        before text NOT NULL,
        after text NOT NULL,
        PRIMARY KEY (payment, key)
    );
    """,
)
"""Forward only: what stands here is never changed, a new version is one more step.

A carry's remainder is null while it has none: its row is there to be locked. There are no foreign keys: for
each row written, one in another table would be looked up, and this program alone writes them. Bodies are
compressed by LZ4 where the server has it and else not at all: PostgreSQL's own method takes thrice as long.
"""

VERSION: Final = len(MIGRATIONS)
