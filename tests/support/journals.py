"""Intents, endings and journals for tests."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from tests.support.payments import NOW
from worker.journal.books import Books
from worker.journal.fingerprint import Fingerprints
from worker.journal.protocol import Charged, Ending, Intent, Journal
from worker.journal.states import State
from worker.money import Carry
from worker.planning import make_dispatch_id

FINGERPRINTS = Fingerprints(b"a key for tests")


@dataclass(frozen=True, slots=True)
class JournalRig:
    """A journal's storage: ``worker`` opens a worker's own way to it, ``books`` the read side."""

    worker: Callable[[str], Journal]
    books: Callable[[], Books]


def later(seconds: float) -> datetime:
    """A time after the tests' beginning."""
    return NOW + timedelta(seconds=seconds)


def intent(payment_id: str = "pay-1", processor: str | None = "alpha", **changes: Any) -> Intent:
    """An intent to dispatch 12.34 EUR to a processor, or to none; ``text`` is what the fingerprint is of."""
    text = changes.pop("text", payment_id)
    made = Intent(
        payment_id, FINGERPRINTS.of(text.encode()), 1, 0, "EUR", 2, 1234, 1200, 34, "euros", "v1", "0" * 32
    )
    if processor is not None:
        dispatch_id = make_dispatch_id(payment_id, processor)
        body = orjson.dumps({"dispatch_id": dispatch_id, "payment_id": payment_id})
        made = made._replace(
            processor=processor, exchange=f"processor.{processor}", routing_key="card.eur",
            dispatch_id=dispatch_id, body=body,
        )  # fmt: skip
    return made._replace(**changes)


def dispatched(of: Intent) -> Ending:
    """A confirmed dispatch."""
    return Ending(State.DISPATCHED, of.payment_id, of.dispatch_id, None, of.attempt, of.trace_id)


def ended(state: State, of: Intent, code: str = "unroutable") -> Ending:
    """A confirmed delay or dead letter."""
    return Ending(state, of.payment_id, None, code, of.attempt, of.trace_id)


@dataclass(frozen=True, slots=True)
class Thirds:
    """A fee of a third of a cent, and its remainder: each third payment pays one."""

    keys: tuple[str, ...] = ("studio/standard/processing/EUR",)

    def charge(self, carries: Any) -> tuple[Charged, list[Carry]]:
        units, kept = carries[0].round(1, 3)
        return Charged(1234, 1234 - units, 2, (units,), f'[{{"result":"{units}"}}]'), [kept]

    def body(self, charged: Charged) -> bytes:
        return orjson.dumps({"fees": charged.fees, "net": charged.net})
