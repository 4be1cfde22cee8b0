"""The journal's history as events for others: what is to be published, and how far that has come.

History is written in the transaction that changes the payment, so an event is published if and only if it
happened. It is published before the position is moved, so it is published at least once, and a repeat has the
same id.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol

import orjson

from worker.journal.entries import Entry, Happening
from worker.journal.times import moment
from worker.money import format_units

PUBLISHED: Final = frozenset(
    {
        Happening.DISPATCHED,
        Happening.RETURNED,
        Happening.DELAYED,
        Happening.HELD,
        Happening.DEAD_LETTERED,
        Happening.DUPLICATE,
    }
)
"""What others are told; that a claim was refused or taken over is the workers' own affair."""


_FROM_DISPATCH: Final = ("merchant_id", "fees", "accounts", "settlement")


class Event(NamedTuple):
    """An event to be published: ``event_id`` for the message id, ``type`` for the routing key."""

    event_id: str
    type: str
    payment_id: str | None
    trace_id: str | None
    body: bytes


class Due(NamedTuple):
    """Events to publish, in order, and the position behind the last of them, for ``Outbox.done``."""

    events: Sequence[Event]
    position: str


class Outbox(Protocol):
    """One publisher's way to a journal's events. Of several publishers, one at a time has the events."""

    def due(self, now: datetime, limit: int) -> Due | None:
        """Return the next events, or None: there are none, or another publisher has them.

        Raises:
            JournalUnavailable: try again later.
        """

    def done(self, position: str) -> bool:
        """Move on; False where another publisher has taken over meanwhile.

        Raises:
            JournalUnavailable: the same events are due again.
        """

    def close(self) -> None:
        """Leave the events to other publishers."""


def event_of(entry: Entry, journal_id: bytes) -> Event:
    """Return the event of an entry; the same entry gives the same bytes."""
    kind = f"payment.{entry.happening}"
    name = f"{entry.number}\0{kind}\0{entry.payment_id}\0{entry.ended}\0{entry.attempt}\0{entry.dispatch_id}"
    event_id = blake2b(name.encode(), digest_size=16, key=journal_id, person=b"event").hexdigest()
    told: dict[str, Any] = {
        "event_id": event_id,
        "version": 1,
        "type": kind,
        "sequence": entry.number,
        "occurred_at": moment(entry.ended).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "payment_id": entry.payment_id,
        "in_hand": entry.claimed,
        "attempt": entry.attempt,
        "code": entry.code,
        "trace_id": entry.trace_id,
        "rule": entry.rule,
        "rules_version": entry.rules_version or None,
        "processor": entry.processor,
        "dispatch_id": entry.dispatch_id,
    }
    if entry.gross is not None and entry.net is not None and entry.scale is not None:
        told["gross"] = {"value": format_units(entry.gross, entry.scale), "currency": entry.currency}
        told["net"] = {"value": format_units(entry.net, entry.scale), "currency": entry.currency}
    if entry.body is not None and entry.happening in (Happening.DISPATCHED, Happening.RETURNED):
        dispatch = orjson.loads(entry.body)
        told |= {name: dispatch[name] for name in _FROM_DISPATCH if name in dispatch}
    present = {name: value for name, value in told.items() if value is not None or name == "payment_id"}
    return Event(event_id, kind, entry.payment_id, entry.trace_id, orjson.dumps(present))
