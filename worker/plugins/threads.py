"""Threads for what may hang: few, lent for one call at a time, given up when a call overstays.

Plugins that are not async run in them. Python cannot stop a thread. One whose call overstays its deadline is
left to itself and another takes its place; it is counted until it comes back. They are daemons, so that none
can hold up the end of the process.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Final

from worker.plugins.bound import Bound
from worker.plugins.outcome import Outcome, outcome_of

AT_ONCE: Final = 4
"""Calls of one plugin that run at once."""


class _Thread(threading.Thread):
    """Runs what it is given, one after another, until it is given None."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while (work := self.inbox.get()) is not None:
            work()


@dataclass(slots=True)
class Threads:
    """Threads of one name; ``overstaying`` counts those whose call has not come back in time."""

    name: str
    overstaying: int = 0
    _idle: list[_Thread] = field(default_factory=list)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _closed: bool = False

    async def ask(self, bound: Bound, given: tuple[Any, ...]) -> Outcome:
        """Call a plugin's method in a thread; see ``call``."""
        return await self.call(bound.call, given, bound.deadline_seconds)

    async def call(
        self, function: Callable[..., Any], given: tuple[Any, ...], deadline_seconds: float | None
    ) -> Outcome:
        """Call a function in a thread; the deadline counts from when it has one. None is no deadline.

        Raises:
            TimeoutError: the deadline has passed. The call may still be running.
        """
        async with self._slots:
            thread = self._idle.pop() if self._idle else _Thread(self.name)
            loop = asyncio.get_running_loop()
            coming: asyncio.Future[Outcome] = loop.create_future()

            def work() -> None:
                outcome = outcome_of(function, *given)
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(self._came_back, thread, coming, outcome)

            thread.inbox.put(work)
            try:
                async with asyncio.timeout(deadline_seconds):
                    return await coming
            finally:
                if coming.cancelled():
                    self.overstaying += 1

    def _came_back(self, thread: _Thread, coming: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
        if coming.cancelled():
            self.overstaying -= 1
        else:
            coming.set_result(outcome)
        if self._closed or len(self._idle) >= AT_ONCE:
            thread.inbox.put(None)
        else:
            self._idle.append(thread)

    def close(self) -> None:
        """Let the threads end that are idle now, and the others when their call comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().inbox.put(None)
