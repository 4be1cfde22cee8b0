"""Intents, endings and journals for tests."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import orjson

from tests.support.databases import Databases
from tests.support.payments import NOW
from worker.errors import FeeExceedsAmount
from worker.journal.books import Books
from worker.journal.fingerprint import Fingerprints
from worker.journal.memory import Memory, MemoryBooks, MemoryJournal, MemoryOutbox
from worker.journal.outbox import Outbox
from worker.journal.postgresql.books import PostgresqlBooks
from worker.journal.postgresql.journal import PostgresqlJournal
from worker.journal.postgresql.outbox import PostgresqlOutbox
from worker.journal.protocol import Charged, Ending, Intent, Journal
from worker.journal.sqlite import index, sieve
from worker.journal.sqlite.books import SqliteBooks
from worker.journal.sqlite.index import Indexing
from worker.journal.sqlite.journal import SqliteJournal
from worker.journal.sqlite.outbox import SqliteOutbox
from worker.journal.sqlite.sieve import Sieved, Sieving
from worker.journal.sqlite.upkeep import migrate
from worker.journal.states import State
from worker.money import Carry, format_units
from worker.planning import make_dispatch_id

FINGERPRINTS = Fingerprints(b"a key for tests")


@dataclass(frozen=True, slots=True)
class JournalRig:
    """A journal's storage: ``worker`` and ``outbox`` open one's own way to it, ``books`` the read side."""

    worker: Callable[[str], Journal]
    books: Callable[[], Books]
    outbox: Callable[[str], Outbox]


@asynccontextmanager
async def journal_rig(
    backend: str, folder: Path, databases: Databases | None = None
) -> AsyncIterator[JournalRig]:
    """A new journal of one backend, whose workers' ways are closed at the end; leases last a minute."""
    with ExitStack() as stack:
        match backend:
            case "memory":
                rig = _memory_rig()
            case "sqlite" | "sqlite, indexed at once":
                if backend != "sqlite":
                    stack.enter_context(indexed_at_once())
                rig = _sqlite_rig(folder / "journal.db", stack)
            case _:
                assert databases is not None
                rig = await _postgresql_rig(stack.enter_context(databases.new()), stack)
        opened: dict[str, Journal] = {}

        def worker(owner: str) -> Journal:
            if owner not in opened:
                opened[owner] = rig.worker(owner)
            return opened[owner]

        try:
            yield replace(rig, worker=worker)
        finally:
            for journal in opened.values():
                await journal.close()


def _memory_rig() -> JournalRig:
    memory = Memory()
    return JournalRig(
        lambda owner: MemoryJournal(owner, 60, memory),
        lambda: MemoryBooks(memory),
        lambda owner: MemoryOutbox(owner, memory),
    )


def _sqlite_rig(path: Path, stack: ExitStack) -> JournalRig:
    migrate(path)
    books = stack.enter_context(closing(SqliteBooks.open(path)))
    return JournalRig(
        lambda owner: SqliteJournal.open(path, owner, 60),
        lambda: books,
        lambda owner: SqliteOutbox(path, owner),
    )


async def _postgresql_rig(url: str, stack: ExitStack) -> JournalRig:
    books = stack.enter_context(closing(PostgresqlBooks.open(url)))
    key = (await PostgresqlJournal.open(url, "none")).fingerprint_key
    return JournalRig(
        lambda owner: PostgresqlJournal(url, owner, 60, key),
        lambda: books,
        lambda owner: PostgresqlOutbox(url, owner),
    )


@contextmanager
def indexed_at_once() -> Iterator[None]:
    """Every payment goes from the tail to the index right after its transaction, two to a slice.

    The index is sieved from the beginning, by a sieve that is made at once.
    """

    def start(indexing: Indexing) -> None:
        indexing._run()

    def tend(sieving: Sieving, sieved: Sieved, rows: int) -> None:
        made = real_tend(sieving, sieved, rows)
        if sieving._thread is not None:
            sieving._thread.join()
        return made

    real_tend = Sieving.tend
    with (
        patch.object(index, "SHORTEST_TAIL", 1),
        patch.object(index, "SLICE_ROWS", 2),
        patch.object(Indexing, "start", start),
        patch.object(sieve, "SMALLEST_INDEX", 1),
        patch.object(Sieving, "tend", tend),
    ):
        yield


def later(seconds: float) -> datetime:
    """A time after the tests' beginning."""
    return NOW + timedelta(seconds=seconds)


def intent(payment_id: str = "pay-1", processor: str | None = "alpha", **changes: Any) -> Intent:
    """An intent to dispatch 12.34 EUR to a processor, or to none; ``text`` is what the fingerprint is of."""
    text = changes.pop("text", payment_id)
    made = Intent(
        payment_id, FINGERPRINTS.of(text.encode()), 1, 0, "EUR", 2, 1234, 1200, 34, "euros", "v1", "0" * 32
    )
    if processor is None:
        return made._replace(**changes)
    made = made._replace(
        processor=processor, exchange=f"processor.{processor}", routing_key="card.eur",
        dispatch_id=make_dispatch_id(payment_id, processor),
    )._replace(**changes)  # fmt: skip
    return made if "body" in changes else made._replace(body=dispatch_body(made))


def dispatch_body(of: Intent) -> bytes:
    """The bytes of an intent's dispatch, with one fee."""

    def amount(units: int) -> dict[str, str]:
        return {"value": format_units(units, of.scale), "currency": of.currency}

    return orjson.dumps(
        {
            "dispatch_id": of.dispatch_id, "processor": of.processor, "gross": amount(of.gross),
            "fees": [{"name": "processing", "amount": amount(of.fees)}], "net": amount(of.net),
            "payment_id": of.payment_id, "merchant_id": "studio",
        }
    )  # fmt: skip


def dispatched(of: Intent) -> Ending:
    """A confirmed dispatch."""
    return Ending(
        State.DISPATCHED, of.payment_id, of.dispatch_id, None, of.attempt, of.trace_id, redrives=of.redrives
    )


def ended(state: State, of: Intent, code: str = "unroutable") -> Ending:
    """A confirmed delay or dead letter."""
    return Ending(state, of.payment_id, of.dispatch_id, code, of.attempt, of.trace_id, redrives=of.redrives)


@dataclass(frozen=True, slots=True)
class Thirds:
    """A fee of a third of a cent, and its remainder: each third payment pays one."""

    keys: tuple[str, ...] = ("studio/standard/processing/EUR",)

    def charge(self, carries: Any) -> tuple[Charged, list[Carry]]:
        units, kept = carries[0].round(1, 3)
        return Charged(1234, 1234 - units, 2, (units,), f'[{{"result":"{units}"}}]'), [kept]

    def body(self, charged: Charged) -> bytes:
        return orjson.dumps({"fees": charged.fees, "net": charged.net})


@dataclass(frozen=True, slots=True)
class TooMuch(Thirds):
    """Fees that are more than the payment."""

    def charge(self, carries: Any) -> tuple[Charged, list[Carry]]:
        raise FeeExceedsAmount("more than 12.34 EUR")


def load_ledger() -> ModuleType:
    """The example ledger of the documents, as a module."""
    path = Path(__file__).parents[2] / "docs" / "example_ledger" / "ledger.py"
    spec = spec_from_file_location("example_ledger", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
