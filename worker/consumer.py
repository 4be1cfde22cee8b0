"""One queue's sessions in a worker process, one after another, until the process is told to stop.

A session is a lane and its pipeline. Anything unexpected ends the whole session; the next one starts afresh,
and the broker delivers again what was not acknowledged. Nothing half-dead is repaired.
"""

import asyncio
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from worker.amqp.standard import StandardLane
from worker.amqp.tapped import TapLane
from worker.amqp.watchdog import WATCH_SECONDS, Watchdog
from worker.assembling import Shared, make_announcer, make_pipeline
from worker.errors import BrokerUnavailable, WorkerError
from worker.pipeline import Pipeline
from worker.planning import Planner
from worker.retry import retry_connecting, wait_between_sessions
from worker.source import Source, Survivals

MEND_SECONDS: Final = 1.0
"""Shortest time between two declarations of what was found missing."""

SPREAD_SECONDS: Final = 0.5
"""Within so long, by chance, the consumers of queues with one active consumer come to them."""

SHORT_SESSION_SECONDS: Final = 5.0
"""Sessions that end within this time are followed by others more slowly."""

AnyLane: TypeAlias = TapLane | StandardLane
T = TypeVar("T")


@dataclass(slots=True)
class Consumer:
    """Takes payments from ``source``, at most ``prefetch`` in flight. The log says most of the main one."""

    shared: Shared
    source: Source
    name: str
    prefetch: int
    main: bool = True
    _pipeline: Pipeline | None = field(default=None, init=False)
    _survivals: Survivals = field(default_factory=Survivals, init=False)
    _since: float = field(default_factory=time.monotonic)

    async def run(self) -> None:
        """Run sessions until told to stop.

        Raises:
            ConfigurationError: a later session found the broker changed so that it must not go on.
            InvariantViolation: a bug; the worker must not go on.
        """
        shared, queue = self.shared, self.source.queue
        say = shared.log.info if self.main else shared.log.debug
        short = 0
        while not shared.stop.is_set():
            wait = wait_between_sessions(short)
            if self.source.in_order:  # who comes first is the active one: not one process of all
                wait += random.uniform(0, SPREAD_SECONDS)  # noqa: S311 - nothing secret
            await until_stopped(asyncio.sleep(wait), shared.stop)
            opening = retry_connecting(self._open, self._report_connect_failure)
            lane = await until_stopped(opening, shared.stop)
            if lane is None:
                break
            started = time.monotonic()
            say("session started", broker=shared.settings.broker, queue=queue)
            try:
                await self._run_session(lane)
            except BrokerUnavailable as error:
                counts = dict(shared.counts)
                shared.log.warning("session ended", queue=queue, reason=str(error), counts=counts)
            finally:
                self._since = time.monotonic()
                short = short + 1 if self._since - started < SHORT_SESSION_SECONDS else 0
                await lane.close()

    def use(self, planner: Planner) -> None:
        """Plan by other rules from the next batch on."""
        if self._pipeline is not None:
            self._pipeline.use(planner)

    async def _open(self) -> AnyLane:
        shared = self.shared
        await shared.prepare(self._since)
        kind: type[AnyLane] = TapLane if shared.settings.lane == "tap" else StandardLane
        timeout = shared.settings.confirm_timeout
        return await kind.open(shared.broker, self.name, self.source.queue, self.prefetch, timeout)

    def _report_connect_failure(self, error: BaseException, wait_seconds: float) -> None:
        say = self.shared.log.warning if self.main else self.shared.log.debug
        seconds = round(wait_seconds, 2)
        say("no session", queue=self.source.queue, reason=str(error), retry_in_seconds=seconds)

    def _report_blocked(self, blocked: bool) -> None:
        if not self.main:
            return
        if blocked:
            self.shared.log.warning(
                "broker blocks publishers",
                reason="it is short of memory or disk; nothing is taken until it has enough again",
            )
        else:
            self.shared.log.info("broker takes publishes again")

    async def _mend(self, lane: AnyLane) -> None:
        """Say which exchanges are missing, and have them declared again where the topology is ours."""
        shared = self.shared
        while True:
            missing = await lane.missing_exchanges()
            shared.log.error("exchange is missing", exchanges=sorted(missing))
            if shared.settings.topology == "declare":
                try:
                    await shared.mend()
                except WorkerError as error:
                    shared.log.error("topology not mended", code=error.code, reason=str(error))  # noqa: TRY400
            await asyncio.sleep(MEND_SECONDS)

    async def _watch(self, lane: AnyLane) -> None:
        """End the session when the queue does not deliver what waits in it; say when the broker blocks it."""
        watchdog = Watchdog(standby=self.source.aside is None or self.source.in_order)
        blocked = False
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if lane.blocked is not blocked:
                blocked = not blocked
                self._report_blocked(blocked)
            try:
                sight = await lane.look(self.source.queue)
            except WorkerError as error:
                lane.give_up(str(error))
                return
            if sight is not None and (reason := watchdog.look(sight)) is not None:
                lane.give_up(reason)

    async def _run_session(self, lane: AnyLane) -> None:
        self._pipeline = make_pipeline(self.shared, self.source, lane, self._survivals)
        running = asyncio.create_task(self._pipeline.run())
        stopping = asyncio.create_task(self.shared.stop.wait())
        mending = asyncio.create_task(self._mend(lane))
        watching = asyncio.create_task(self._watch(lane))
        announcer = make_announcer(self.shared, self.name, lane) if self.main else None
        announcing = None if announcer is None else asyncio.create_task(announcer.run())
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await self._drain(running, lane)
            await running
        finally:
            for task in (stopping, running, mending, watching):
                task.cancel()
            if announcer is not None and announcing is not None:
                announcer.stop.set()  # cancelled while it sends, it would end the lane before its last acks
                await asyncio.wait({announcing}, timeout=self.shared.settings.drain_timeout)

    async def _drain(self, running: "asyncio.Task[None]", lane: AnyLane) -> None:
        """Stop the intake and wait for what is in flight, for at most the drain timeout."""
        seconds = self.shared.settings.drain_timeout
        if self.main:
            self.shared.log.info("draining", deadline_seconds=seconds)
        try:
            async with asyncio.timeout(seconds):
                if self.source.in_order:
                    lane.leave()
                else:
                    await lane.stop_intake()
                await asyncio.wait({running})
        except TimeoutError:
            running.cancel()
            await asyncio.wait({running})
            raise BrokerUnavailable(
                f"not everything in flight was finished within {seconds:g} s;"
                " the broker delivers the rest again"
            ) from None


async def until_stopped(opening: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """Return what ``opening`` gives, or None when told to stop before it does."""
    opener = asyncio.create_task(opening)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({opener, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if opener.done():
            return opener.result()
        opener.cancel()
        await asyncio.wait({opener})
        return None
    finally:
        stopping.cancel()
