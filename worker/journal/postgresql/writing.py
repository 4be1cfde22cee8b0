"""What a transaction writes into the tables: a handful of statements a batch, whatever its size.

Each is one round trip, and the quick ones are transactions of their own.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import orjson

from worker.journal.changes import Carried, Put, Takeover
from worker.journal.entries import Happening
from worker.journal.packing import packed
from worker.journal.postgresql.numbers import Numbers
from worker.journal.postgresql.statements import (
    CARRIED,
    CARRY,
    CLOSE,
    DISPATCHED,
    END,
    INSERT,
    REPEAT,
    REPLACE,
    STRAYS,
    TAKE_OVER,
)
from worker.journal.protocol import Ending, Intent, way_of

if TYPE_CHECKING:
    from psycopg import AsyncConnection

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"'})
_NUMBERS: Final = ("gross", "net", "fees", "attempt", "redrives")
_TEXTS: Final = ("payment_id", "trace_id", "dispatch_id")


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes into an open transaction, for one worker; ``now`` and ``lease_until`` in milliseconds."""

    connection: "AsyncConnection[Any]"
    numbers: Numbers

    async def insert(
        self,
        intents: Sequence[Intent],
        rows: Sequence[int],
        charges: Sequence[str | None],
        now: int,
        lease_until: int,
    ) -> None:
        """Add payments as these rows, with their charges as ``packed``.

        They are written in the order of their ids, so that two workers who add the same ones do not each
        wait for the other.

        Raises:
            psycopg.errors.UniqueViolation: one of them is known.
        """
        written = sorted(zip(rows, intents, charges, strict=True), key=_by_payment_id)
        bodies, starts, lengths = _joined([intent.body or b"" for _, intent, _ in written])
        ways = self.numbers.ways
        await self._run(
            INSERT, now=now, lease=lease_until, bodies=bodies, id=_array([row for row, _, _ in written]),
            start=_array(starts), length=_array(lengths),
            way=_array([ways[way_of(intent)] for _, intent, _ in written]),
            fingerprint=_array([f'"\\\\x{intent.fingerprint.hex()}"' for _, intent, _ in written]),
            charged=_texts([charged for _, _, charged in written]),
            **{name: _array([getattr(intent, name) for _, intent, _ in written]) for name in _NUMBERS},
            **{name: _texts([getattr(intent, name) for _, intent, _ in written]) for name in _TEXTS},
        )  # fmt: skip

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
        bodies, starts, lengths = _joined([intent.body or b"" for intent in intents])
        found = [
            {
                "id": row, "attempt": intent.attempt, "redrives": intent.redrives, "gross": intent.gross,
                "net": intent.net, "fees": intent.fees, "trace_id": intent.trace_id,
                "dispatch_id": intent.dispatch_id, "way": self.numbers.ways[way_of(intent)], "start": start,
                "length": length, "charged": charged,
            }
            for row, intent, start, length, charged in zip(
                rows, intents, starts, lengths, packed(puts), strict=True
            )
        ]  # fmt: skip
        await self._run(REPLACE, rows=_json(found), bodies=bodies, now=now, lease=lease_until)

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

    async def dispatched(self, rows: Sequence[int], now: int) -> None:
        """Record these rows as dispatched; their locks are taken in the order of their numbers.

        Raises:
            psycopg.errors.DivisionByZero: some of them are not this worker's claims; nothing is recorded.
        """
        await self._run(DISPATCHED, rows=_array(sorted(rows)), count=len(rows), now=now)

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
                "code": each.code, "trace_id": each.trace_id, "gross": each.gross, "net": each.gross,
                "way": None if each.way is None else self.numbers.ways[each.way],
                "fees": None if each.way is None else 0,
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

    async def _close(
        self, rows: Sequence[int], happenings: Iterable[Happening], code: str | None, now: int
    ) -> None:
        """Write the entries that end these rows' claims."""
        if rows:
            for happening in happenings:
                await self._run(CLOSE, rows=_array(rows), happening=happening.value, code=code, now=now)

    async def _run(self, statement: str, **values: object) -> None:
        values["owner"] = self.numbers.owner
        await self.connection.execute(statement, values, prepare=True)


def _by_payment_id(row: tuple[int, Intent, str | None]) -> str:
    return row[1].payment_id


def _joined(bodies: Sequence[bytes]) -> tuple[bytes, Sequence[int], Sequence[int]]:
    """Return bodies in one piece, and where in it each one starts and how long it is."""
    lengths = [*map(len, bodies)]
    return b"".join(bodies), [*accumulate(lengths[:-1], initial=0)], lengths


def _texts(values: Sequence[str | None]) -> str:
    """Return a column of texts as an array."""
    if None in values or any(character in "".join(map(str, values)) for character in '"\\'):
        return _array(["NULL" if value is None else f'"{value.translate(_ESCAPES)}"' for value in values])
    return '{"' + '","'.join(map(str, values)) + '"}'


def _array(values: Iterable[object]) -> str:
    return f"{{{','.join(map(str, values))}}}"


def _json(rows: Sequence[Mapping[str, object]]) -> str:
    return orjson.dumps(rows).decode()
