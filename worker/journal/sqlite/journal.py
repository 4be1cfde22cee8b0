"""The SQLite journal as the pipeline sees it: one thread writes, and what waits is one transaction."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeAlias

from worker.errors import JournalUnavailable, WorkerError
from worker.journal.mine import Mine
from worker.journal.protocol import Amendment, Claim, Done, Ending, Intent
from worker.journal.sqlite.batch import Batch, Surprised
from worker.journal.sqlite.connection import (
    SHORT_SECONDS,
    SameFile,
    begin,
    check_version,
    connect,
    look_often,
    speaking_of,
)
from worker.journal.sqlite.index import Index, Indexing
from worker.journal.sqlite.reading import read_secret
from worker.journal.sqlite.sieve import SMALLEST_INDEX, Sieving
from worker.journal.sqlite.writing import Interned

MAX_REQUESTS: Final = 16
"""Requests of one transaction; those of a few batches in flight are fewer."""

_Work: TypeAlias = Callable[[Batch], Any]


@dataclass(slots=True)
class _Request:
    """A batch that waits for its transaction, and the answer it waits for."""

    work: _Work
    answer: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class SqliteJournal:
    """One worker's way to a journal file; ``owner`` is that worker's own name.

    A thread of its own waits for the disk, so that the event loop never does. All requests that came while it
    was busy become the next transaction: under load one wait for the disk serves several batches.
    """

    path: Path
    owner: str
    lease_seconds: float
    fingerprint_key: bytes
    _requests: "SimpleQueue[_Request | None]" = field(default_factory=SimpleQueue)
    _thread: threading.Thread | None = None
    _closed: bool = False
    _connection: sqlite3.Connection | None = None
    _file: SameFile = field(init=False)
    _interned: Interned = field(default_factory=Interned)
    _mine: Mine = field(default_factory=Mine)
    _index: Index = field(default_factory=Index)
    _indexing: Indexing = field(init=False)
    _sieving: Sieving = field(init=False)

    def __post_init__(self) -> None:
        self._file = SameFile(self.path)
        self._indexing = Indexing(self.path, self.owner)
        self._sieving = Sieving(self.path)

    @classmethod
    def open(cls, path: Path, owner: str, lease_seconds: float = 60.0) -> "SqliteJournal":
        """Open a journal file whose tables stand.

        Raises:
            JournalUnavailable, JournalMismatch, JournalCorrupt: it cannot be used.
        """
        connection = look_often(connect(path, busy_seconds=SHORT_SECONDS))
        try:
            check_version(connection, path)
            key = read_secret(connection, "fingerprint_key")
            journal = cls(path, owner, lease_seconds, key, _connection=connection)
            journal._file.check()
        except BaseException:
            connection.close()
            raise
        journal._thread = threading.Thread(target=journal._work, name="journal", daemon=True)
        journal._thread.start()
        return journal

    @property
    def wants_sieve(self) -> bool:
        """Whether the index is large and its sieve not made yet: claims take somewhat longer until it is."""
        return self._index.upto >= SMALLEST_INDEX and self._index.sieved.sieve is None

    async def claim(self, intents: Sequence[Intent], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        claims: Sequence[Claim] = await self._ask(lambda batch: batch.claim(intents, now), intents)
        return claims

    async def amend(self, amendments: Sequence[Amendment], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        claims: Sequence[Claim] = await self._ask(lambda batch: batch.amend(amendments, now), amendments)
        return claims

    async def record(self, endings: Sequence[Ending], now: datetime) -> None:
        """See ``Journal``."""
        await self._ask(lambda batch: batch.record(endings, now), endings)

    async def find(self, payment_ids: Sequence[str], now: datetime) -> Sequence[Done | None]:  # noqa: ARG002
        """See ``Journal``."""
        found: Sequence[Done | None] = await self._ask(lambda batch: batch.find(payment_ids), payment_ids)
        return found

    async def close(self) -> None:
        """See ``Journal``."""
        if not self._closed:
            self._closed = True
            self._requests.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def _ask(self, work: _Work, batch: Sequence[object]) -> Any:
        if not batch:
            return []
        if self._closed:
            raise JournalUnavailable(f"the journal {self.path} is closed")
        request = _Request(work, asyncio.get_running_loop().create_future())
        self._requests.put(request)
        return await request.answer

    def _work(self) -> None:
        """Run transactions until the journal is closed; the thread's own loop."""
        while (request := self._requests.get()) is not None:
            group = [request]
            ending = False
            while len(group) < MAX_REQUESTS and not self._requests.empty():
                more = self._requests.get()
                if more is None:
                    ending = True
                    break
                group.append(more)
            self._transact(group)
            group[0].answer.get_loop().call_soon_threadsafe(partial(_answer, group))
            if ending:
                break
        self._indexing.stop()
        self._sieving.stop()
        self._disconnect()

    def _transact(self, group: Sequence[_Request]) -> None:
        """Run a group of requests as one transaction; what is wrong is for all, or for one, to hear."""
        group = [request for request in group if not request.answer.cancelled()]
        if not group:
            return
        try:
            with speaking_of(self.path), self._indexing.turn:
                self._indexing.check()
                self._file.check()
                try:
                    self._try(group, careful=False)
                except Surprised:
                    self._try(group, careful=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing of the group is on disk
            if self.path.exists():  # else it stays open, so that no other file gets its number
                self._disconnect()
            for request in group:
                request.error = error
        with contextlib.suppress(RuntimeError):  # no thread is to be had: another time
            if self._index.is_due:
                self._indexing.start()
            self._sieving.tend(self._index.sieved, self._index.upto)

    def _try(self, group: Sequence[_Request], *, careful: bool) -> None:
        if self._connection is None:
            self._connection = look_often(connect(self.path, busy_seconds=SHORT_SECONDS))
        connection = self._connection
        lease = int(self.lease_seconds * 1000)
        batch = Batch(connection, self._interned, self._index, self.owner, lease, self._mine, careful)
        begin(connection, lambda: any(not request.answer.cancelled() for request in group))
        try:
            self._index.begin(connection)
            for request in group:
                try:
                    request.result, request.error = request.work(batch), None
                except WorkerError as error:  # decided before anything was written
                    request.error = error
            connection.execute("COMMIT")
            self._index.keep()
        except BaseException:
            self._forget()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _forget(self) -> None:
        """Forget what a transaction that was undone had added."""
        self._interned.clear()
        self._mine.rows.clear()
        self._index.undo()

    def _disconnect(self) -> None:
        self._forget()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _answer(group: Sequence[_Request]) -> None:
    """Hand out a transaction's answers, on the event loop."""
    for request in group:
        if request.answer.cancelled():
            continue
        if request.error is not None:
            request.answer.set_exception(request.error)
        else:
            request.answer.set_result(request.result)
