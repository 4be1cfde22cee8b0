"""One transaction's request against the tables: a batch of claims, amendments or endings.

Locks are always taken in the same order, so that transactions never wait for one another in a circle: first
the keys of remainders by name, then the ids of new payments by name, then known payments by number.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg.errors import DivisionByZero, UniqueViolation

from worker.journal.changes import Changes, sort_endings
from worker.journal.decide import Known
from worker.journal.mine import Mine
from worker.journal.packing import packed
from worker.journal.postgresql.numbers import Numbers
from worker.journal.postgresql.reading import (
    lock,
    lock_carries,
    read_bodies,
    read_intents_that_were,
    read_known,
)
from worker.journal.postgresql.writing import Writer
from worker.journal.protocol import NEW, Amendment, Claim, Done, Ending, Intent, way_of
from worker.journal.states import State
from worker.journal.times import milliseconds
from worker.money import Carry

if TYPE_CHECKING:
    from psycopg import AsyncConnection


class Surprised(Exception):
    """A payment is not as expected, or no longer: the transaction is to be done again, carefully."""


@dataclass(slots=True)
class Batch:
    """A transaction in the making. Unless it is ``careful``, it takes first deliveries to be new payments.

    ``doubtful`` are the leases of claims by payment id whose transaction may have been committed though its
    answer was lost: nothing was sent for them.
    """

    connection: "AsyncConnection[Any]"
    numbers: Numbers
    lease_milliseconds: int
    mine: Mine
    doubtful: Mapping[str, int]
    careful: bool
    lease_until: int = 0
    claimed: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    """Rows and dispatch ids of claims by payment id: this worker's, once they are committed."""

    async def claim(self, intents: Sequence[Intent], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        at = self._begin(now)
        await self.numbers.prepare(self.connection, map(way_of, intents))
        turns = _turns(intent.payment_id for intent in intents)
        if len(turns) == 1 and all(map(self._seems_new, intents)):
            await self._insert(intents, [None] * len(intents), at)
            claims: Sequence[Claim] = [NEW] * len(intents)
        else:
            async with self.connection.transaction():
                claims = await self._claim_in_turns(intents, turns, at)
        self.mine.add(self.claimed)
        return claims

    async def _claim_in_turns(
        self, intents: Sequence[Intent], turns: Sequence[Sequence[int]], at: int
    ) -> Sequence[Claim]:
        """Claim deliveries of one payment one after the other."""
        carries = await self._carries(intents)
        self.careful |= len(turns) > 1
        claims: dict[int, Claim] = {}
        for turn in turns:
            answers = await self._claim([intents[place] for place in turn], at, carries)
            claims |= zip(turn, answers, strict=True)
        return [claims[place] for place in range(len(intents))]

    async def _claim(self, intents: Sequence[Intent], at: int, carries: dict[str, Carry]) -> Sequence[Claim]:
        """Claim for different payments."""
        asked = [intent for intent in intents if not self._seems_new(intent)]
        known, rows = await self._known([intent.payment_id for intent in asked])
        found = dict(known)
        changes = Changes(self.numbers.owner_name, at, self.lease_until, known, carries)
        changes.claim(intents)
        if changes.inserts:
            new = [put.intent for put in changes.inserts]
            rows |= await self._insert(new, packed(changes.inserts), at)
        touched = [put.intent.payment_id for put in changes.replaces]
        touched += [each.intent.payment_id for each in changes.takeovers]
        touched += [intent.payment_id for intent in changes.duplicates]
        if touched:
            await lock(self.connection, [rows[name] for name in touched])
            now_known, _ = await self._known(touched)
            if any(now_known.get(name) != found[name] for name in touched):
                raise Surprised
        return await self._write(changes, rows)

    async def amend(self, amendments: Sequence[Amendment], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        at, intents = self._begin(now), [amendment.intent for amendment in amendments]
        await self.numbers.prepare(self.connection, map(way_of, intents))
        async with self.connection.transaction():
            carries = await self._carries(intents)
            names = [intent.payment_id for intent in intents]
            await lock(self.connection, (), names)
            known, rows = await self._known(names)
            changes = Changes(self.numbers.owner_name, at, self.lease_until, known, carries)
            changes.amend(amendments)
            claims = await self._write(changes, rows)
        self.mine.add(self.claimed)
        return claims

    async def find(self, payment_ids: Sequence[str], now: datetime) -> Sequence[Done | None]:  # noqa: ARG002
        """See ``Journal``."""
        known, _ = await read_known(self.connection, payment_ids)
        return [known[one].done() if one in known else None for one in payment_ids]

    async def record(self, endings: Sequence[Ending], now: datetime) -> Sequence[None]:
        """See ``Journal``."""
        at = self._begin(now)
        strays = [ending.way for ending in endings if ending.way is not None]
        await self.numbers.prepare(self.connection, strays)
        quick: list[int] = []
        others: list[Ending] = []
        for ending in endings:
            row, dispatch_id = self.mine.rows.get(ending.payment_id or "", _NOT_MINE)
            as_claimed = ending.state is State.DISPATCHED and ending.dispatch_id == dispatch_id is not None
            if as_claimed and not self.careful:
                quick.append(row)
            else:
                others.append(ending)
        if others:
            async with self.connection.transaction():
                names = {ending.payment_id for ending in others if ending.payment_id}
                await lock(self.connection, quick, names)
                await self._end(others, names, at)
                await self._dispatched(quick, at)
        else:
            await self._dispatched(quick, at)
        for ending in endings:
            self.mine.rows.pop(ending.payment_id or "", None)
        return [None] * len(endings)

    async def _dispatched(self, rows: Sequence[int], at: int) -> None:
        """Record these claims of this worker as dispatched."""
        if rows:
            try:
                await self._writer().dispatched(rows, at)
            except DivisionByZero:
                raise Surprised from None

    async def _end(self, endings: Sequence[Ending], names: Collection[str], at: int) -> None:
        """Record where these payments ended, which may be any."""
        known, rows = await read_known(self.connection, names)
        were = await self._were(endings, known)
        ended, strays = sort_endings(endings, known, self.numbers.owner_name, lambda *pair: pair in were)
        writer = self._writer()
        for turn in _turns(ending.payment_id or "" for ending in ended):
            chosen = [ended[place] for place in turn]
            await writer.end(chosen, [rows[ending.payment_id or ""] for ending in chosen], at)
        await writer.stray(strays, at)

    async def _were(self, endings: Sequence[Ending], known: Mapping[str, Known]) -> set[tuple[str, str]]:
        """Return which confirmed dispatches that are no intents any more once were."""
        asked = [
            (name, ending.dispatch_id or "")
            for ending in endings
            if ending.state is State.DISPATCHED and (name := ending.payment_id or "") in known
            and known[name].dispatch_id != ending.dispatch_id
        ]  # fmt: skip
        return await read_intents_that_were(self.connection, asked) if asked else set()

    def _begin(self, now: datetime) -> int:
        at = milliseconds(now)
        self.lease_until = at + self.lease_milliseconds
        return at

    async def _carries(self, intents: Sequence[Intent]) -> dict[str, Carry]:
        keys = [key for intent in intents if intent.carrying for key in intent.carrying.keys]
        return await lock_carries(self.connection, keys) if keys else {}

    async def _known(self, names: Sequence[str]) -> tuple[dict[str, Known], dict[str, int]]:
        known, rows = await read_known(self.connection, names)
        for name in self.doubtful.keys() & known.keys():
            found = known[name]
            owned = found.owner == self.numbers.owner_name and not found.pinned
            if owned and found.lease_until == self.doubtful[name]:
                known[name] = found._replace(dispatch_id=None, lease_until=0)
        return known, rows

    async def _insert(
        self, intents: Sequence[Intent], charges: Sequence[str | None], at: int
    ) -> dict[str, int]:
        rows = await self.numbers.take_ids(self.connection, len(intents))
        names = [intent.payment_id for intent in intents]
        claims = zip(rows, [intent.dispatch_id for intent in intents], strict=True)
        self.claimed |= zip(names, claims, strict=True)  # before it is sent: an answer may be lost
        try:
            await self._writer().insert(intents, rows, charges, at, self.lease_until)
        except UniqueViolation:
            raise Surprised from None
        return dict(zip(names, rows, strict=True))

    async def _write(self, changes: Changes, rows: Mapping[str, int]) -> Sequence[Claim]:
        writer, now, lease_until = self._writer(), changes.now, self.lease_until
        await writer.carry(changes.carried, [rows[each.payment_id] for each in changes.carried])
        replaced, taken = changes.replaces, changes.takeovers
        await writer.replace(replaced, [rows[put.intent.payment_id] for put in replaced], now, lease_until)
        await writer.take_over(taken, [rows[each.intent.payment_id] for each in taken], now, lease_until)
        repeats = changes.duplicates
        await writer.repeat(repeats, [rows[intent.payment_id] for intent in repeats], now)
        sent = {put.intent.payment_id: put.intent.dispatch_id for put in replaced}
        sent |= {known.payment_id: known.dispatch_id for _, known in changes.resumed}
        self.claimed |= {name: (rows[name], dispatch_id) for name, dispatch_id in sent.items()}
        resumed = [known.payment_id for _, known in changes.resumed]
        bodies = await read_bodies(self.connection, resumed) if resumed else {}
        return changes.answered(bodies.get)

    def _seems_new(self, intent: Intent) -> bool:
        """Whether a delivery is the first of its payment, as far as anybody can tell without looking."""
        first = intent.attempt == 1 and not intent.redrives and not intent.redelivered
        return first and intent.returned is None and intent.carrying is None and not self.careful

    def _writer(self) -> Writer:
        return Writer(self.connection, self.numbers)


def _turns(names: Iterable[str]) -> list[list[int]]:
    """Return the places of different names: first each name's first one, then the second ones, and so on."""
    turns: list[list[int]] = []
    met: Counter[str] = Counter()
    for place, name in enumerate(names):
        if met[name] == len(turns):
            turns.append([])
        turns[met[name]].append(place)
        met[name] += 1
    return turns


_NOT_MINE: tuple[int, str | None] = (0, None)
