"""The statements that write into the tables: rows come as arrays or as a document, many to a round trip."""

from typing import Final


def _recordset(**columns: str) -> str:
    described = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"json_to_recordset(%(rows)s::json) AS j ({described})"


_BODIES: Final = """
    INSERT INTO bodies (id, made, bytes) VALUES (nextval('batches'), %(now)s, %(bodies)b) RETURNING id
"""
_INSERTED: Final = {
    "id": "bigint", "gross": "bigint", "net": "bigint", "fees": "bigint", "start": "integer",
    "length": "integer", "way": "integer", "attempt": "integer", "redrives": "integer",
    "fingerprint": "bytea", "payment_id": "text", "trace_id": "text", "dispatch_id": "text",
    "charged": "text",
}  # fmt: skip
INSERT: Final = f"""
    WITH batch AS ({_BODIES})
    INSERT INTO payments
        (created, claimed, changed, lease_until, owner, batch, {", ".join(_INSERTED)})
    SELECT %(now)s, %(now)s, %(now)s, %(lease)s, %(owner)s, batch.id, new.* FROM batch,
        unnest({", ".join(f"%({name})s::{kind}[]" for name, kind in _INSERTED.items())}) AS new
"""
_COPIED: Final = "way, gross, net, fees, dispatch_id, batch, start, length"
_ENTRY: Final = (
    f"INSERT INTO history (happening, payment, attempt, code, trace_id, owner, began, ended, {_COPIED})"
)
CLOSE: Final = f"""
    {_ENTRY}
    SELECT %(happening)s::happening, id, attempt, %(code)s::text, trace_id, owner, claimed, %(now)s, {_COPIED}
    FROM payments WHERE id = ANY(%(rows)s::bigint[])
"""
DISPATCHED: Final = f"""
    WITH ended AS (
        UPDATE payments SET state = 'dispatched', changed = %(now)s, code = NULL
        WHERE id = ANY(%(rows)s::bigint[]) AND state = 'claimed' AND owner = %(owner)s
        RETURNING id, attempt, trace_id, owner, claimed, {_COPIED}
    ), entered AS (
        {_ENTRY}
        SELECT 'dispatched', id, attempt, NULL, trace_id, owner, claimed, %(now)s, {_COPIED} FROM ended
        RETURNING id
    )
    SELECT 1 / (count(*) = %(count)s)::integer FROM entered
"""
"""All of them or none: where one is missing, the division by zero undoes the others."""
END: Final = f"""
    WITH ended AS (
        UPDATE payments AS p SET state = j.state, code = j.code, changed = %(now)s
        FROM {_recordset(id="bigint", state="state", code="text")} WHERE p.id = j.id
        RETURNING p.state, p.id, attempt, p.code, trace_id, owner, claimed, {_COPIED}
    )
    {_ENTRY}
    SELECT state::text::happening, id, attempt, code, trace_id, owner, claimed, %(now)s, {_COPIED} FROM ended
"""
_OF_STRAY: Final = {
    "happening": "happening", "payment_id": "text", "attempt": "integer", "code": "text", "trace_id": "text",
    "way": "integer", "gross": "bigint", "net": "bigint", "fees": "bigint",
}  # fmt: skip
STRAYS: Final = f"""
    INSERT INTO history (owner, began, ended, {", ".join(_OF_STRAY)})
    SELECT %(owner)s, %(now)s, %(now)s, j.* FROM {_recordset(**_OF_STRAY)}
"""
REPEAT: Final = f"""
    WITH repeated AS (
        UPDATE payments AS p SET duplicates = duplicates + 1
        FROM {_recordset(id="bigint", attempt="integer", trace_id="text")} WHERE p.id = j.id
        RETURNING p.id, j.attempt, j.trace_id, {_COPIED}
    )
    {_ENTRY}
    SELECT 'duplicate', id, attempt, NULL, trace_id, %(owner)s, %(now)s, %(now)s, {_COPIED} FROM repeated
"""
TAKE_OVER: Final = f"""
    UPDATE payments AS p SET state = 'claimed', owner = %(owner)s, lease_until = %(lease)s, claimed = %(now)s,
        changed = %(now)s, pinned = true, attempt = j.attempt, redrives = j.redrives, trace_id = j.trace_id
    FROM {_recordset(id="bigint", attempt="integer", redrives="integer", trace_id="text")} WHERE p.id = j.id
"""
_OF_INTENT: Final = {
    "attempt": "integer", "redrives": "integer", "gross": "bigint", "net": "bigint", "fees": "bigint",
    "trace_id": "text", "dispatch_id": "text", "way": "integer", "start": "integer", "length": "integer",
    "charged": "text",
}  # fmt: skip
REPLACE: Final = f"""
    WITH batch AS ({_BODIES})
    UPDATE payments AS p SET state = 'claimed', owner = %(owner)s, lease_until = %(lease)s, claimed = %(now)s,
        changed = %(now)s, batch = batch.id, pinned = false, code = NULL,
        {", ".join(f"{name} = j.{name}" for name in _OF_INTENT)}
    FROM batch, {_recordset(id="bigint", **_OF_INTENT)} WHERE p.id = j.id
"""
CARRY: Final = f"""
    UPDATE carries AS c SET remainder = j.after
    FROM {_recordset(key="text", after="text")} WHERE c.key = j.key
"""
CARRIED: Final = f"""
    INSERT INTO carried (payment, key, before, after)
    SELECT j.* FROM {_recordset(payment="bigint", key="text", before="text", after="text")}
"""
