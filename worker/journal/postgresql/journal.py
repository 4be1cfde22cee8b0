"""The PostgreSQL journal as the pipeline sees it: a few connections, and what waits is one transaction."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from worker.errors import InvariantViolation, JournalUnavailable
from worker.journal.mine import Mine
from worker.journal.postgresql.batch import Batch, Surprised
from worker.journal.postgresql.connection import (
    check_version,
    connect_for_people,
    prepare,
    reach,
    read_secret,
    shown,
    speaking_of,
)
from worker.journal.postgresql.numbers import Numbers
from worker.journal.protocol import Amendment, Claim, Done, Ending, Intent

if TYPE_CHECKING:
    from psycopg import AsyncConnection

CONNECTIONS: Final = 4
"""Of one worker process at most: while one transaction waits for the disk, others are under way."""
MAX_ROWS: Final = 4096
"""Of one transaction, as soon as it is made of several requests."""
CAREFUL_TRANSACTIONS: Final = 64
"""After a surprise repeats are about, and looking first costs less than doing transactions twice."""
TRIES: Final = 8
"""Of a transaction whose payments others change at the same time."""
ANSWER_SECONDS: Final = 20.0
"""How long a transaction may take, before its connection is given up."""
MOST_DOUBTS: Final = 100_000

_Ask: TypeAlias = Callable[[Batch, Sequence[Any], datetime], Awaitable[Sequence[Any]]]


@dataclass(slots=True)
class _Request:
    """A batch that waits for its transaction, and the answer it waits for."""

    ask: _Ask
    batch: Sequence[Any]
    now: datetime
    answer: "asyncio.Future[Any]"


@dataclass(slots=True)
class _Lane:
    """A place for a connection."""

    connection: "AsyncConnection[Any] | None" = None

    def drop(self) -> None:
        """Break the connection off, without a word to a server that may not be listening."""
        if self.connection is not None:
            self.connection.pgconn.finish()

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.close()


@dataclass(slots=True)
class PostgresqlJournal:
    """One worker's way to a journal in PostgreSQL; ``owner`` is that worker's own name.

    Requests of one kind that came while all connections were busy become one transaction. The server writes
    transactions to disk together that are committed at the same time.
    """

    url: str = field(repr=False)
    owner: str
    lease_seconds: float
    fingerprint_key: bytes
    _numbers: Numbers = field(init=False)
    _mine: Mine = field(default_factory=Mine)
    _doubtful: dict[str, int] = field(default_factory=dict)
    _waiting: deque[_Request] = field(default_factory=deque)
    _idle: list[_Lane] = field(default_factory=lambda: [_Lane() for _ in range(CONNECTIONS)])
    _tasks: dict["asyncio.Task[None]", tuple[_Lane, Sequence[_Request]]] = field(default_factory=dict)
    _closed: bool = False
    _careful_for: int = 0

    def __post_init__(self) -> None:
        self._numbers = Numbers(self.owner)

    @classmethod
    async def open(cls, url: str, owner: str, lease_seconds: float = 60.0) -> "PostgresqlJournal":
        """Open a journal whose tables stand.

        Raises:
            JournalUnavailable, JournalMismatch: it cannot be used.
        """
        return cls(url, owner, lease_seconds, await asyncio.to_thread(_fingerprint_key, url))

    async def claim(self, intents: Sequence[Intent], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        claims: Sequence[Claim] = await self._ask(Batch.claim, intents, now)
        return claims

    async def amend(self, amendments: Sequence[Amendment], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        claims: Sequence[Claim] = await self._ask(Batch.amend, amendments, now)
        return claims

    async def record(self, endings: Sequence[Ending], now: datetime) -> None:
        """See ``Journal``."""
        await self._ask(Batch.record, endings, now)

    async def find(self, payment_ids: Sequence[str], now: datetime) -> Sequence[Done | None]:
        """See ``Journal``."""
        found: Sequence[Done | None] = await self._ask(Batch.find, payment_ids, now)
        return found

    async def close(self) -> None:
        """See ``Journal``."""
        self._closed = True
        self._waiting = deque(request for request in self._waiting if not request.answer.cancelled())
        for task, (lane, group) in self._tasks.items():
            if all(request.answer.cancelled() for request in group):
                lane.drop()
                task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        for lane in self._idle:
            await lane.close()

    async def _ask(self, ask: _Ask, batch: Sequence[Any], now: datetime) -> Any:
        if not batch:
            return []
        if self._closed:
            raise JournalUnavailable(f"the journal {shown(self.url)} is closed")
        request = _Request(ask, batch, now, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._start()
        return await request.answer

    def _start(self) -> None:
        """Start transactions for what waits, as long as connections are idle."""
        while self._waiting and self._idle:
            lane, group = self._idle.pop(), self._take()
            task = asyncio.get_running_loop().create_task(self._serve(lane, group))
            self._tasks[task] = lane, group
            task.add_done_callback(self._tasks.pop)

    def _take(self) -> Sequence[_Request]:
        """Take the request that has waited longest, and those of its kind."""
        first = self._waiting.popleft()
        group, rows, others = [first], len(first.batch), deque[_Request]()
        for request in self._waiting:
            if request.ask is first.ask and rows + len(request.batch) <= MAX_ROWS:
                group.append(request)
                rows += len(request.batch)
            else:
                others.append(request)
        self._waiting = others
        return group

    async def _serve(self, lane: _Lane, group: Sequence[_Request]) -> None:
        """Do a group's transaction, then free its connection; a mistake is for the one who made it."""
        try:
            error = await self._answer(lane, group)
            if isinstance(error, InvariantViolation) and len(group) > 1:
                for request in group:
                    _fail([request], await self._answer(lane, [request]))
            else:
                _fail(group, error)
        finally:
            self._idle.append(lane)
            self._start()

    async def _answer(self, lane: _Lane, group: Sequence[_Request]) -> Exception | None:
        """Do a group's transaction and hand out its answers; or return why nothing of it is on disk."""
        rows = [row for request in group for row in request.batch]
        try:
            answers = await self._do(lane, group[0].ask, rows, max(request.now for request in group))
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for it
            return error
        for request in group:
            if not request.answer.done():  # a caller that was cancelled does not wait any more
                request.answer.set_result(answers[: len(request.batch)])
            del answers[: len(request.batch)]
        return None

    async def _do(self, lane: _Lane, ask: _Ask, rows: Sequence[Any], now: datetime) -> list[Any]:
        """Do a transaction, again and more carefully where others were faster."""
        for _ in range(TRIES):
            careful = self._careful_for > 0
            self._careful_for -= careful
            try:
                return await self._try(lane, ask, rows, now, careful=careful)
            except Surprised:
                self._careful_for = CAREFUL_TRANSACTIONS
        raise JournalUnavailable(
            f"the journal {shown(self.url)}: others have changed the same payments {TRIES} times meanwhile"
        )

    async def _try(
        self, lane: _Lane, ask: _Ask, rows: Sequence[Any], now: datetime, *, careful: bool
    ) -> list[Any]:
        """Do a transaction once; where it fails, its connection is given up."""
        batch: Batch | None = None
        try:
            with speaking_of(self.url):
                async with asyncio.timeout(ANSWER_SECONDS):
                    if lane.connection is None:
                        lane.connection = await reach(self.url)
                        await prepare(lane.connection)
                    batch = Batch(
                        lane.connection, self._numbers, int(self.lease_seconds * 1000), self._mine,
                        self._doubtful, careful,
                    )  # fmt: skip
                    answers = await ask(batch, rows, now)
        except Surprised:
            raise
        except BaseException as error:
            await self._give_up(lane, batch)
            if isinstance(error, TimeoutError):
                raise JournalUnavailable(
                    f"the journal {shown(self.url)} has not answered for {ANSWER_SECONDS:g} s"
                ) from error
            raise
        for name in self._doubtful.keys() & batch.claimed.keys():
            del self._doubtful[name]
        return [*answers]

    async def _give_up(self, lane: _Lane, batch: Batch | None) -> None:
        """Close connections, since one was lost, and know nothing for sure any more."""
        self._numbers = Numbers(self.owner)
        self._mine.rows.clear()
        if batch is not None:
            if len(self._doubtful) > MOST_DOUBTS:
                self._doubtful.clear()
            self._doubtful |= dict.fromkeys(batch.claimed, batch.lease_until)
        for each in (lane, *self._idle):
            await each.close()


def _fail(group: Sequence[_Request], error: Exception | None) -> None:
    for request in group:
        if error is not None and not request.answer.done():
            request.answer.set_exception(error)


def _fingerprint_key(url: str) -> bytes:
    with contextlib.closing(connect_for_people(url, read_only=True)) as connection:
        check_version(connection, url)
        return read_secret(connection, "fingerprint_key")
