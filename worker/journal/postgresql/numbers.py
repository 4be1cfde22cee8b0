"""Numbers that stand for what repeats, and numbers for new rows, fetched ahead of their transactions.

Each is committed before it is used and never changes, so an undone transaction leaves it good. What was
learnt is forgotten with the connection: the server may have been brought back to an earlier day.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from worker.journal.protocol import WAY, Way

if TYPE_CHECKING:
    from psycopg import AsyncConnection

BLOCK: Final = 1000
"""Ids of payments that are fetched at a time: the sequence's increment."""

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('payment_journal.ways'))"
_SAME: Final = " AND ".join(f"{name} IS NOT DISTINCT FROM %s" for name in WAY)
_FIND_WAY: Final = f"SELECT id FROM ways WHERE {_SAME}"
_ADD_WAY: Final = f"INSERT INTO ways ({', '.join(WAY)}) VALUES ({', '.join(['%s'] * len(WAY))}) RETURNING id"
_ADD_OWNER: Final = "INSERT INTO owners (name) VALUES (%s) ON CONFLICT DO NOTHING"
_FIND_OWNER: Final = "SELECT id FROM owners WHERE name = %s"
_BLOCKS: Final = "SELECT nextval('payment_ids') FROM generate_series(1, %s)"


@dataclass(slots=True)
class Numbers:
    """What one worker knows of them; ``prepare`` comes before each transaction."""

    owner_name: str
    owner: int = 0
    ways: dict[Way, int] = field(default_factory=dict)
    _ids: list[int] = field(default_factory=list)
    _fetching: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def prepare(self, connection: "AsyncConnection[Any]", ways: Iterable[Way] = ()) -> None:
        """Fetch what a transaction about these ways needs."""
        ways = set(ways) - self.ways.keys()
        if self.owner and not ways:
            return
        async with self._fetching:
            if not self.owner:
                await connection.execute(_ADD_OWNER, (self.owner_name,))
                self.owner = await _number(connection, _FIND_OWNER, (self.owner_name,))
            for way in ways - self.ways.keys():
                async with connection.transaction():
                    await connection.execute(_LOCK)
                    known = await _number(connection, _FIND_WAY, way)
                    number = known or await _number(connection, _ADD_WAY, way)
                self.ways[way] = number

    async def take_ids(self, connection: "AsyncConnection[Any]", count: int) -> Sequence[int]:
        """Return ids for new payments, in rising order."""
        async with self._fetching:
            if len(self._ids) < count:
                blocks = -(-(count - len(self._ids)) // BLOCK)
                found = await (await connection.execute(_BLOCKS, (blocks,), prepare=True)).fetchall()
                self._ids += [each for (first,) in found for each in range(first, first + BLOCK)]
            taken, self._ids = self._ids[:count], self._ids[count:]
            return taken

    def forget(self) -> None:
        """Forget everything, since a connection was lost."""
        self.owner = 0
        self.ways.clear()
        self._ids.clear()


async def _number(connection: "AsyncConnection[Any]", statement: str, values: Sequence[object]) -> int:
    found = await (await connection.execute(statement, values)).fetchone()
    return 0 if found is None else int(found[0])
