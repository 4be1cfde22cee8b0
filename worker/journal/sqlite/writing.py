"""What a transaction writes into a journal file: a handful of statements a batch, whatever its size.

Each call into SQLite lets another thread of this process have the interpreter and then waits to get it back,
so a batch is written by statements over all its rows, never by one a row.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import orjson

from worker.journal.changes import Carried, Put, Takeover
from worker.journal.entries import Happening
from worker.journal.packing import packed
from worker.journal.protocol import WAY, Ending, Intent, Way, way_of
from worker.journal.sqlite.schema import HAPPENINGS, STATES
from worker.journal.states import State

CLAIMED: Final = STATES.index(State.CLAIMED)
DISPATCHED: Final = STATES.index(State.DISPATCHED)
MAX_ROWS: Final = 256
"""Rows of one INSERT; larger batches take several."""

_OWN = ("payment_id", "fingerprint", "attempt", "redrives", "gross", "net", "fees", "trace_id", "dispatch_id")
_own = itemgetter(*map(Intent._fields.index, _OWN))
_PER_ROW: Final = (*_OWN, "way", "start", "length", "charged")
_PER_BATCH: Final = ("batch", "state", "owner", "lease_until", "created", "claimed", "changed")
_COPIED: Final = "way, gross, net, fees, dispatch_id, batch, start, length"


@dataclass(slots=True)
class Interned:
    """Numbers of what repeats; those that a transaction adds are good once it is committed."""

    ways: dict[Way, int] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget all, since a transaction that added some was undone."""
        self.ways.clear()
        self.owners.clear()


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes into an open transaction, for one worker; ``now`` and ``lease_until`` in milliseconds."""

    connection: sqlite3.Connection
    interned: Interned
    owner: str

    def insert(
        self, intents: Sequence[Intent], charges: Sequence[str | None], now: int, lease_until: int
    ) -> range:
        """Add payments, with their charges as ``packed``; return their rows.

        Raises:
            sqlite3.IntegrityError: one of them is known.
        """
        batch, rows = self._rows(intents, charges)
        shared = (batch, CLAIMED, self.own_number(), lease_until, now, now, now)
        width, first = len(_PER_ROW), 0
        last = 0
        while first < len(intents):
            count = min(MAX_ROWS, 1 << (len(intents) - first).bit_length() - 1)
            values = rows[first * width : (first + count) * width]
            last = self.connection.execute(_insert(count), (*shared, *values)).lastrowid or 0
            first += count
        return range(last - len(intents) + 1, last + 1)

    def replace(self, puts: Sequence[Put], rows: Sequence[int], now: int, lease_until: int) -> None:
        """Put intents in the place of others."""
        if not puts:
            return
        for closes, code in {(put.closes, put.code) for put in puts}:
            chosen = [
                row for row, put in zip(rows, puts, strict=True) if (put.closes, put.code) == (closes, code)
            ]
            for happening in closes:
                self._close(chosen, happening, code, now)
        batch, values = self._rows([put.intent for put in puts], packed(puts))
        width = len(_PER_ROW)
        new = [[row, *values[place * width + 2 : (place + 1) * width]] for place, row in enumerate(rows)]
        self.connection.execute(
            _REPLACE, (CLAIMED, self.own_number(), lease_until, now, now, batch, orjson.dumps(new).decode())
        )

    def take_over(
        self, takeovers: Sequence[Takeover], rows: Sequence[int], now: int, lease_until: int
    ) -> None:
        """Give known intents to this worker, pinned for ever."""
        if not takeovers:
            return
        closed = [row for row, takeover in zip(rows, takeovers, strict=True) if takeover.closes]
        if closed:
            self._close(closed, Happening.ABANDONED, None, now)
        new = [
            [row, intent.attempt, intent.redrives, intent.trace_id]
            for row, (intent, _) in zip(rows, takeovers, strict=True)
        ]
        self.connection.execute(
            _TAKE_OVER, (CLAIMED, self.own_number(), lease_until, now, now, orjson.dumps(new).decode())
        )

    def repeat(self, repeats: Sequence[Intent], rows: Sequence[int], now: int) -> None:
        """Count duplicates."""
        if not repeats:
            return
        found = [[row, intent.attempt, intent.trace_id] for row, intent in zip(rows, repeats, strict=True)]
        text = orjson.dumps(found).decode()
        happening = HAPPENINGS.index(Happening.DUPLICATE)
        self.connection.execute(_ENTER_REPEATS, (happening, self.own_number(), now, now, text))
        self.connection.execute(_COUNT_REPEATS, (text,))

    def dispatched(self, rows: Sequence[int], now: int) -> int:
        """Record these rows as dispatched; return how many of them were this worker's claims."""
        text = orjson.dumps(rows).decode()
        owner = self.own_number()
        found = self.connection.execute(_DISPATCHED, (DISPATCHED, now, text, CLAIMED, owner)).rowcount
        self.connection.execute(_ENTER_DISPATCHED, (HAPPENINGS.index(Happening.DISPATCHED), now, text))
        return found

    def end(self, endings: Sequence[Ending], rows: Sequence[int], now: int) -> None:
        """Record where payments ended."""
        if not endings:
            return
        ended = [
            [row, STATES.index(ending.state), HAPPENINGS.index(Happening(ending.state.value)), ending.code]
            for row, ending in zip(rows, endings, strict=True)
        ]
        text = orjson.dumps(ended).decode()
        self.connection.execute(_ENTER_ENDINGS, (now, text))
        self.connection.execute(_END, (now, text))

    def stray(self, endings: Sequence[Ending], now: int) -> None:
        """Record what deliveries without a claim came to."""
        if not endings:
            return
        found = [
            [
                HAPPENINGS.index(Happening(e.state.value)), e.payment_id or "", e.attempt, e.code, e.trace_id,
                *((None, None, None, None) if e.way is None else (self._number(e.way), e.gross, e.gross, 0)),
            ]
            for e in endings
        ]  # fmt: skip
        text = orjson.dumps(found).decode()
        self.connection.execute(_ENTER_STRAYS, (self.own_number(), now, now, text))

    def carry(self, carried: Sequence[Carried], rows: Sequence[int]) -> None:
        """Keep remainders, and how each payment has changed them."""
        if not carried:
            return
        kept = {each.key: str(each.after) for each in carried}
        self.connection.execute(_CARRY, (orjson.dumps(list(kept.items())).decode(),))
        steps = [
            [row, each.key, str(each.before), str(each.after)]
            for row, each in zip(rows, carried, strict=True)
        ]
        self.connection.execute(_ENTER_CARRIED, (orjson.dumps(steps).decode(),))

    def own_number(self) -> int:
        """Return the number of this worker's name."""
        number = self.interned.owners.get(self.owner)
        if number is None:
            execute = self.connection.execute
            execute("INSERT INTO owners (name) VALUES (?) ON CONFLICT DO NOTHING", (self.owner,))
            number = int(execute("SELECT id FROM owners WHERE name = ?", (self.owner,)).fetchone()[0])
            self.interned.owners[self.owner] = number
        return number

    def _rows(self, intents: Sequence[Intent], charges: Sequence[str | None]) -> tuple[int, list[Any]]:
        """Write the bodies of a batch; return their row, and all payments' own columns in a row."""
        values, bodies = list[Any](), list[bytes]()
        start = 0
        for intent, charged in zip(intents, charges, strict=True):
            body = intent.body or b""
            number = self._number(way_of(intent))
            values += _own(intent)
            length = len(body)
            values += (number, start, length, charged)
            bodies.append(body)
            start += length
        written = self.connection.execute(
            "INSERT INTO bodies (payments, bytes) VALUES (?, ?)", (len(bodies), b"".join(bodies))
        )
        return written.lastrowid or 0, values

    def _number(self, way: Way) -> int:
        number = self.interned.ways.get(way)
        if number is None:
            execute = self.connection.execute
            found = execute(_FIND_WAY, way).fetchone()
            number = int(found[0]) if found else execute(_ADD_WAY, way).lastrowid or 0
            self.interned.ways[way] = number
        return number

    def _close(self, rows: Sequence[int], happening: Happening, code: str | None, now: int) -> None:
        text = orjson.dumps(rows).decode()
        self.connection.execute(_CLOSE, (HAPPENINGS.index(happening), code, now, text))


def _insert(count: int) -> str:
    row = f"({','.join('?' * len(_PER_ROW))})"
    values = ",".join([row] * count)
    columns = ",".join(f"column{number}" for number in range(1, len(_PER_ROW) + 1))
    return (
        f"INSERT INTO payments ({','.join((*_PER_BATCH, *_PER_ROW))})"
        f" SELECT {','.join('?' * len(_PER_BATCH))},{columns} FROM (VALUES {values})"
    )


def _json(*names: str) -> str:
    columns = ", ".join(f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(names))
    return f"(SELECT {columns} FROM json_each(?))"


_FIND_WAY: Final = f"SELECT id FROM ways WHERE {' AND '.join(f'{name} IS ?' for name in WAY)}"
_ADD_WAY: Final = f"INSERT INTO ways ({', '.join(WAY)}) VALUES ({', '.join('?' * len(WAY))})"
_ENTRY: Final = "INSERT INTO history (happening, payment, attempt, code, trace_id, owner, began, ended, "
_CLOSE: Final = (
    f"{_ENTRY}{_COPIED}) SELECT ?, id, attempt, ?, trace_id, owner, claimed, ?, {_COPIED}"
    " FROM payments WHERE id IN (SELECT value FROM json_each(?))"
)
_DISPATCHED: Final = (
    "UPDATE payments SET state = ?, changed = ?, code = NULL"
    " WHERE id IN (SELECT value FROM json_each(?)) AND state = ? AND owner = ?"
)
_ENTER_DISPATCHED: Final = (
    f"{_ENTRY}{_COPIED}) SELECT ?, id, attempt, NULL, trace_id, owner, claimed, ?, {_COPIED}"
    " FROM payments WHERE id IN (SELECT value FROM json_each(?))"
)
_ENTER_ENDINGS: Final = (
    f"{_ENTRY}{_COPIED}) SELECT j.happening, id, attempt, j.code, trace_id, owner, claimed, ?, {_COPIED}"
    f" FROM {_json('row', 'state', 'happening', 'code')} AS j JOIN payments ON id = j.row"
)
_END: Final = (
    "UPDATE payments SET state = j.state, code = j.code, changed = ?"
    f" FROM {_json('row', 'state', 'happening', 'code')} AS j WHERE id = j.row"
)
_STRAY: Final = (
    "happening", "payment_id", "attempt", "code", "trace_id", "way", "gross", "net", "fees",
)  # fmt: skip
_ENTER_STRAYS: Final = (
    f"INSERT INTO history (owner, began, ended, {', '.join(_STRAY)}) SELECT ?, ?, ?, * FROM {_json(*_STRAY)}"
)
_ENTER_REPEATS: Final = (
    f"{_ENTRY}{_COPIED}) SELECT ?, id, j.attempt, NULL, j.trace_id, ?, ?, ?, {_COPIED}"
    f" FROM {_json('row', 'attempt', 'trace_id')} AS j JOIN payments ON id = j.row"
)
_COUNT_REPEATS: Final = (
    "UPDATE payments SET duplicates = duplicates + j.times FROM"
    f" (SELECT r.row AS row, count(*) AS times FROM {_json('row')} AS r GROUP BY r.row) AS j WHERE id = j.row"
)
_TAKE_OVER: Final = (
    "UPDATE payments SET state = ?, owner = ?, lease_until = ?, claimed = ?, changed = ?, pinned = 1,"
    " attempt = j.attempt, redrives = j.redrives, trace_id = j.trace_id"
    f" FROM {_json('row', 'attempt', 'redrives', 'trace_id')} AS j WHERE id = j.row"
)
_REPLACED: Final = _PER_ROW[2:]
_REPLACE: Final = (
    "UPDATE payments SET state = ?, owner = ?, lease_until = ?, claimed = ?, changed = ?, batch = ?,"
    f" pinned = 0, code = NULL, {', '.join(f'{name} = j.{name}' for name in _REPLACED)}"
    f" FROM {_json('row', *_REPLACED)} AS j WHERE id = j.row"
)
_ENTER_CARRIED: Final = f"INSERT INTO carried SELECT * FROM {_json('payment', 'key', 'before', 'after')}"
_CARRY: Final = (
    f"INSERT INTO carries (key, remainder) SELECT * FROM {_json('key', 'remainder')} WHERE true"
    " ON CONFLICT (key) DO UPDATE SET remainder = excluded.remainder"
)
