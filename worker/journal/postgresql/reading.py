"""What the tables know of a batch's payments."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from worker.journal.decide import Known
from worker.journal.packing import unpack
from worker.journal.states import State
from worker.money import Carry

if TYPE_CHECKING:
    from psycopg import AsyncConnection

_ASKED: Final = "json_array_elements_text(%(names)s::json) AS asked (name)"
_KNOWN: Final = f"""
    SELECT p.id, p.payment_id, p.fingerprint, p.state, p.attempt, p.redrives, p.pinned, o.name, p.lease_until,
        w.rule, w.rules_version, w.candidate, w.processor, w.exchange, w.routing_key, p.dispatch_id,
        w.priority, p.charged
    FROM {_ASKED} JOIN payments AS p ON p.payment_id = asked.name
        JOIN ways AS w ON w.id = p.way JOIN owners AS o ON o.id = p.owner
"""
_LOCK: Final = f"""
    SELECT p.id FROM payments AS p WHERE p.id IN (
        SELECT unnest(%(rows)s::bigint[])
        UNION SELECT q.id FROM {_ASKED} JOIN payments AS q ON q.payment_id = asked.name
    ) ORDER BY p.id FOR UPDATE
"""
_BODIES: Final = f"""
    SELECT p.payment_id, substring(b.bytes FROM p.start + 1 FOR p.length)
    FROM {_ASKED} JOIN payments AS p ON p.payment_id = asked.name JOIN bodies AS b ON b.id = p.batch
"""
_WERE: Final = """
    SELECT p.payment_id, h.dispatch_id
    FROM json_to_recordset(%s::json) AS asked (name text, dispatch_id text)
        JOIN payments AS p ON p.payment_id = asked.name
        JOIN history AS h ON h.payment = p.id AND h.dispatch_id = asked.dispatch_id
"""
_ADD_KEYS: Final = """
    INSERT INTO carries (key) SELECT name FROM json_array_elements_text(%(names)s::json) AS asked (name)
    ORDER BY name COLLATE "C" ON CONFLICT DO NOTHING
"""
_LOCK_KEYS: Final = f"""
    SELECT key, remainder FROM carries WHERE key IN (SELECT name FROM {_ASKED}) ORDER BY key FOR UPDATE
"""


async def read_known(
    connection: "AsyncConnection[Any]", payment_ids: Iterable[str]
) -> tuple[dict[str, Known], dict[str, int]]:
    """Return what is known of payments, and their rows, by payment id."""
    known: dict[str, Known] = {}
    rows: dict[str, int] = {}
    for row, *found, charges in await _fetch(connection, _KNOWN, names=_names(payment_ids)):
        payment_id, fingerprint, state, *more = found
        charged, keys = unpack(charges)
        rows[payment_id] = row
        known[payment_id] = Known(payment_id, bytes(fingerprint), State(state), *more)._replace(
            charged=charged, keys=keys
        )
    return known, rows


async def lock(
    connection: "AsyncConnection[Any]", rows: Iterable[int], payment_ids: Iterable[str] = ()
) -> None:
    """Keep others from changing these payments until the transaction's end.

    All of a transaction's are locked at once, in the order of their numbers, so that two transactions do not
    each wait for the other.
    """
    numbers = f"{{{','.join(map(str, rows))}}}"
    await _fetch(connection, _LOCK, rows=numbers, names=_names(payment_ids))


async def read_bodies(connection: "AsyncConnection[Any]", payment_ids: Iterable[str]) -> dict[str, bytes]:
    """Return the bytes of payments' intents."""
    found = await _fetch(connection, _BODIES, names=_names(payment_ids))
    return {payment_id: bytes(body) for payment_id, body in found}


async def read_intents_that_were(
    connection: "AsyncConnection[Any]", asked: Collection[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Return those pairs of payment id and dispatch id of which the payment once had the intent."""
    text = orjson.dumps([{"name": name, "dispatch_id": dispatch_id} for name, dispatch_id in asked]).decode()
    return set(await (await connection.execute(_WERE, (text,))).fetchall())


async def lock_carries(connection: "AsyncConnection[Any]", keys: Iterable[str]) -> dict[str, Carry]:
    """Return the remainders of keys that have one; they are this transaction's until its end."""
    names = _names(keys)
    await connection.execute(_ADD_KEYS, {"names": names})
    found = await _fetch(connection, _LOCK_KEYS, names=names)
    return {key: Carry.parse(text) for key, text in found if text is not None}


async def _fetch(
    connection: "AsyncConnection[Any]", statement: str, **values: object
) -> Sequence[tuple[Any, ...]]:
    return await (await connection.execute(statement, values, prepare=True)).fetchall()


def _names(names: Iterable[str]) -> str:
    return orjson.dumps(list(set(names))).decode()
