"""One transaction's requests against a journal file: claims, amendments, endings."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.journal.changes import Changes, sort_endings
from worker.journal.mine import Mine
from worker.journal.packing import packed
from worker.journal.protocol import NEW, Amendment, Claim, Done, Ending, Intent
from worker.journal.sqlite.index import Index
from worker.journal.sqlite.reading import read_bodies, read_carries, read_known, was_intent
from worker.journal.sqlite.writing import Interned, Writer
from worker.journal.states import State
from worker.journal.times import milliseconds


class Surprised(Exception):
    """A claim is not this worker's any more: the transaction is to be done again, carefully."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A transaction in the making. A ``careful`` one looks up its own claims before it ends them."""

    connection: sqlite3.Connection
    interned: Interned
    index: Index
    owner: str
    lease_milliseconds: int
    mine: Mine
    careful: bool

    def claim(self, intents: Sequence[Intent], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        at = milliseconds(now)
        payment_ids = [intent.payment_id for intent in intents]
        if len(set(payment_ids)) < len(intents):
            return self._claim_in_turn(intents, now)
        rows = self.index.find(self.connection, payment_ids)
        if rows or any(intent.carrying for intent in intents):
            changes = self._changes(intents, rows, at)
            changes.claim(intents)
            return self._write(changes, rows)
        new = self._writer().insert(intents, [None] * len(intents), at, at + self.lease_milliseconds)
        self.index.add(payment_ids, new)
        mine = zip(new, [intent.dispatch_id for intent in intents], strict=True)
        self.mine.add(dict(zip(payment_ids, mine, strict=True)))
        return [NEW] * len(intents)

    def _claim_in_turn(self, intents: Sequence[Intent], now: datetime) -> Sequence[Claim]:
        """Claim deliveries of one payment in the same batch one after the other."""
        first: dict[str, int] = {}
        for place, intent in enumerate(intents):
            first.setdefault(intent.payment_id, place)
        chosen = list(first.values())
        rest = sorted(set(range(len(intents))) - set(chosen))
        claims: dict[int, Claim] = {}
        for places in (chosen, rest):
            answers = self.claim([intents[place] for place in places], now)
            claims |= zip(places, answers, strict=True)
        return [claims[place] for place in range(len(intents))]

    def amend(self, amendments: Sequence[Amendment], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        intents = [amendment.intent for amendment in amendments]
        rows = self.index.find(self.connection, [intent.payment_id for intent in intents])
        changes = self._changes(intents, rows, milliseconds(now))
        changes.amend(amendments)
        return self._write(changes, rows)

    def record(self, endings: Sequence[Ending], now: datetime) -> None:
        """See ``Journal``."""
        at, writer = milliseconds(now), self._writer()
        quick: list[int] = []
        others: list[Ending] = []
        for ending in endings:
            row, dispatch_id = self.mine.rows.pop(ending.payment_id or "", _NOT_MINE)
            as_claimed = ending.state is State.DISPATCHED and ending.dispatch_id == dispatch_id is not None
            if as_claimed and not self.careful:
                quick.append(row)
            else:
                others.append(ending)
        if others:
            rows = self.index.find(self.connection, [e.payment_id for e in others if e.payment_id])
            known = read_known(self.connection, rows.values())
            ended, strays = sort_endings(
                others, known, self.owner, lambda name, sent: was_intent(self.connection, rows[name], sent)
            )
            writer.end(ended, [rows[ending.payment_id or ""] for ending in ended], at)
            writer.stray(strays, at)
        if quick and writer.dispatched(quick, at) < len(quick):
            raise Surprised

    def find(self, payment_ids: Sequence[str]) -> Sequence[Done | None]:
        """See ``Journal``."""
        known = read_known(self.connection, self.index.find(self.connection, payment_ids).values())
        return [known[one].done() if one in known else None for one in payment_ids]

    def _writer(self) -> Writer:
        return Writer(self.connection, self.interned, self.owner)

    def _changes(self, intents: Sequence[Intent], rows: Mapping[str, int], at: int) -> Changes:
        known = read_known(self.connection, rows.values()) if rows else {}
        keys = [key for intent in intents if intent.carrying for key in intent.carrying.keys]
        carries = read_carries(self.connection, keys) if keys else {}
        return Changes(self.owner, at, at + self.lease_milliseconds, known, carries)

    def _write(self, changes: Changes, rows: dict[str, int]) -> Sequence[Claim]:
        writer, now, lease_until = self._writer(), changes.now, changes.lease_until
        if changes.inserts:
            intents = [put.intent for put in changes.inserts]
            payment_ids = [intent.payment_id for intent in intents]
            new = writer.insert(intents, packed(changes.inserts), now, lease_until)
            self.index.add(payment_ids, new)
            rows |= zip(payment_ids, new, strict=True)
        writer.carry(changes.carried, [rows[each.payment_id] for each in changes.carried])
        replaced, taken = changes.replaces, changes.takeovers
        writer.replace(replaced, [rows[put.intent.payment_id] for put in replaced], now, lease_until)
        writer.take_over(taken, [rows[each.intent.payment_id] for each in taken], now, lease_until)
        writer.repeat(changes.duplicates, [rows[intent.payment_id] for intent in changes.duplicates], now)
        sent = {put.intent.payment_id: put.intent.dispatch_id for put in (*changes.inserts, *replaced)}
        sent |= {known.payment_id: known.dispatch_id for _, known in changes.resumed}
        self.mine.add({payment_id: (rows[payment_id], sent[payment_id]) for payment_id in sent})
        resumed = [rows[known.payment_id] for _, known in changes.resumed]
        bodies = read_bodies(self.connection, resumed) if resumed else {}
        return changes.answered(bodies.get)


_NOT_MINE: tuple[int, str | None] = (0, None)
