"""What a transaction writes into the tables: a handful of statements a batch, whatever its size.

New payments come in by COPY, the cheapest way for client and server alike.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from worker.journal.changes import Carried, Put, Takeover
from worker.journal.entries import Happening
from worker.journal.packing import packed
from worker.journal.postgresql.numbers import Numbers, way_of
from worker.journal.postgresql.statements import (
    BODIES,
    CARRIED,
    CARRY,
    CLOSE,
    COPY,
    DISPATCHED,
    END,
    REPEAT,
    REPLACE,
    STRAYS,
    TAKE_OVER,
)
from worker.journal.protocol import Ending, Intent

if TYPE_CHECKING:
    from psycopg import AsyncConnection

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL: Final = "\\N"


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes into an open transaction, for one worker; ``now`` and ``lease_until`` in milliseconds."""

    connection: "AsyncConnection[Any]"
    numbers: Numbers

    async def insert(
        self, intents: Sequence[Intent], charges: Sequence[str | None], now: int, lease_until: int
    ) -> Sequence[int]:
        """Add payments, with their charges as ``packed``; return their rows.

        They are written in the order of their ids, so that two workers who add the same ones do not each
        wait for the other.

        Raises:
            psycopg.errors.UniqueViolation: one of them is known.
        """
        rows = await self.numbers.take_ids(self.connection, len(intents))
        batch, places = await self._bodies(intents, now)
        before = f"{now}\t{now}\t{now}\t{lease_until}\t{batch}\t{self.numbers.owner}"
        ways = self.numbers.ways
        columns = zip(
            rows, intents, places,
            _texts([intent.payment_id for intent in intents]),
            _texts([intent.trace_id for intent in intents]),
            _texts([intent.dispatch_id for intent in intents]),
            _texts(charges), strict=True,
        )  # fmt: skip
        lines = {
            intent.payment_id: (
                f"{before}\t{row}\t{intent.gross}\t{intent.net}\t{intent.fees}\t{start}\t{length}"
                f"\t{ways[way_of(intent)]}\t{intent.attempt}\t{intent.redrives}\t\\\\x{intent.fingerprint.hex()}"
                f"\t{payment_id}\t{trace_id}\t{dispatch_id}\t{charged}\n"
            )
            for row, intent, (start, length), payment_id, trace_id, dispatch_id, charged in columns
        }
        async with self.connection.cursor() as cursor, cursor.copy(COPY) as copy:
            await copy.write("".join([lines[name] for name in sorted(lines)]))
        return rows

    async def replace(self, puts: Sequence[Put], rows: Sequence[int], now: int, lease_until: int) -> None:
        """Put intents in the place of others."""
        if not puts:
            return
        closing = defaultdict(list)
        for row, put in zip(rows, puts, strict=True):
            closing[put.closes, put.code].append(row)
        for (closes, code), chosen in closing.items():
            await self._close(chosen, closes, code, now)
        intents = [put.intent for put in puts]
        batch, places = await self._bodies(intents, now)
        found = [
            {
                "id": row, "attempt": intent.attempt, "redrives": intent.redrives, "gross": intent.gross,
                "net": intent.net, "fees": intent.fees, "trace_id": intent.trace_id,
                "dispatch_id": intent.dispatch_id, "way": self.numbers.ways[way_of(intent)], "start": start,
                "length": length, "charged": charged,
            }
            for row, intent, (start, length), charged in zip(rows, intents, places, packed(puts), strict=True)
        ]  # fmt: skip
        await self._run(REPLACE, rows=_json(found), batch=batch, now=now, lease=lease_until)

    async def take_over(
        self, takeovers: Sequence[Takeover], rows: Sequence[int], now: int, lease_until: int
    ) -> None:
        """Give known intents to this worker, pinned for ever."""
        if not takeovers:
            return
        closed = [row for row, takeover in zip(rows, takeovers, strict=True) if takeover.closes]
        await self._close(closed, [Happening.ABANDONED], None, now)
        found = [
            {"id": row, "attempt": each.attempt, "redrives": each.redrives, "trace_id": each.trace_id}
            for row, (each, _) in zip(rows, takeovers, strict=True)
        ]
        await self._run(TAKE_OVER, rows=_json(found), now=now, lease=lease_until)

    async def repeat(self, repeats: Sequence[Intent], rows: Sequence[int], now: int) -> None:
        """Count duplicates."""
        if not repeats:
            return
        found = [
            {"id": row, "attempt": each.attempt, "trace_id": each.trace_id}
            for row, each in zip(rows, repeats, strict=True)
        ]
        await self._run(REPEAT, rows=_json(found), now=now)

    async def dispatched(self, rows: Sequence[int], now: int) -> int:
        """Record these rows as dispatched; return how many of them were this worker's claims.

        Their locks are taken in the order of their numbers.
        """
        return await self._run(DISPATCHED, rows=_array(sorted(rows)), now=now)

    async def end(self, endings: Sequence[Ending], rows: Sequence[int], now: int) -> None:
        """Record where payments ended."""
        if not endings:
            return
        found = [
            {"id": row, "state": each.state.value, "code": each.code}
            for row, each in zip(rows, endings, strict=True)
        ]
        await self._run(END, rows=_json(found), now=now)

    async def stray(self, endings: Sequence[Ending], now: int) -> None:
        """Record what deliveries without a claim came to."""
        if not endings:
            return
        found = [
            {
                "happening": each.state.value, "payment_id": each.payment_id, "attempt": each.attempt,
                "code": each.code, "trace_id": each.trace_id,
            }
            for each in endings
        ]  # fmt: skip
        await self._run(STRAYS, rows=_json(found), now=now)

    async def carry(self, carried: Sequence[Carried], rows: Sequence[int]) -> None:
        """Keep remainders, and how each payment has changed them."""
        if not carried:
            return
        kept = {each.key: str(each.after) for each in carried}
        await self._run(CARRY, rows=_json([{"key": key, "after": after} for key, after in kept.items()]))
        steps = [
            {"payment": row, "key": each.key, "before": str(each.before), "after": str(each.after)}
            for row, each in zip(rows, carried, strict=True)
        ]
        await self._run(CARRIED, rows=_json(steps))

    async def _bodies(self, intents: Sequence[Intent], now: int) -> tuple[int, list[tuple[int, int]]]:
        """Write the bodies of a batch; return their row, and each one's start and length in it."""
        bodies = [intent.body or b"" for intent in intents]
        places, start = [], 0
        for body in bodies:
            places.append((start, len(body)))
            start += len(body)
        cursor = await self.connection.execute(BODIES, (now, b"".join(bodies)), prepare=True)
        found = await cursor.fetchone()
        return int(found[0]) if found else 0, places

    async def _close(
        self, rows: Sequence[int], happenings: Iterable[Happening], code: str | None, now: int
    ) -> None:
        """Write the entries that end these rows' claims."""
        if rows:
            for happening in happenings:
                await self._run(CLOSE, rows=_array(rows), happening=happening.value, code=code, now=now)

    async def _run(self, statement: str, **values: object) -> int:
        values["owner"] = self.numbers.owner
        return (await self.connection.execute(statement, values, prepare=True)).rowcount


def _texts(values: Sequence[str | None]) -> Sequence[str]:
    """Return a column as COPY reads it."""
    if None not in values and not any(character in "".join(map(str, values)) for character in "\\\t\n\r"):
        return [str(value) for value in values]
    return [_NULL if value is None else value.translate(_ESCAPES) for value in values]


def _array(numbers: Iterable[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"


def _json(rows: Sequence[Mapping[str, object]]) -> str:
    return orjson.dumps(rows).decode()
