"""Event loops for async plugins: each plugin's own, in a thread, given up when a call blocks it.

A call that waits past its deadline is cancelled, and the loop goes on. A call that blocks the loop cannot be
stopped: the loop is left to itself and another takes its place. The calls that were on it beside the one that
blocks are made again, at last each in a thread of its own. What a plugin's object keeps, such as a client's
connections, belongs to one loop: each new loop has objects of its own.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

from worker.plugins.bound import Bound
from worker.plugins.outcome import Failed, Outcome, Returned
from worker.plugins.threads import Threads

ANSWER_SECONDS: Final = 0.1
"""How long a loop may take to show that it still turns, once a call on it has overstayed."""
TRIES_TOGETHER: Final = 2
"""How often a call shares a loop that another call blocks, before it gets a thread of its own."""

Method = Callable[..., Any]


class _Loop(threading.Thread):
    """An event loop that turns until it is told to end, whatever plugins do on it. It is a daemon."""

    def __init__(self, name: str, methods: WeakKeyDictionary[Bound, Method] | None) -> None:
        super().__init__(name=name, daemon=True)
        self.methods = methods
        """Methods of objects made for this loop; None for those made when the rules were loaded."""
        self.late = 0
        """Calls past their deadline that have not ended."""
        self.trusted = asyncio.Event()
        """Not set while it has to show that it turns."""
        self.trusted.set()
        self.blocker: asyncio.Task[Any] | None = None
        self.given_up = False
        self._loop = asyncio.new_event_loop()
        self._over = False
        self.start()

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop):  # cancels what is left in the end
            while not self._over:
                with contextlib.suppress(BaseException):  # tasks that plugins start may raise SystemExit
                    self._loop.run_forever()

    def post(self, callback: Callable[[], object]) -> None:
        """Have something called in the loop's thread, unless it has ended."""
        _post(self._loop, callback)

    def end(self) -> None:
        """End once the loop turns."""
        self._over = True
        self.post(self._loop.stop)

    def give_up(self) -> None:
        """Remember what blocks it, let it end when it can, and those go on who waited for the verdict."""
        self.given_up, self.blocker = True, asyncio.current_task(self._loop)
        self.end()
        self.trusted.set()


class _Call:
    """A method awaited on a loop; ``coming`` is its outcome, in the loop of who asks."""

    def __init__(self, loop: _Loop, method: Method, given: tuple[Any, ...]) -> None:
        here = asyncio.get_running_loop()
        self.loop = loop
        self.coming: asyncio.Future[Outcome] = here.create_future()
        self._task: asyncio.Task[Outcome] | None = None

        def start() -> None:
            self._task = asyncio.get_running_loop().create_task(_awaited(method, given))
            self._task.add_done_callback(lambda task: _post(here, lambda: self._came_back(_outcome(task))))

        loop.post(start)

    @property
    def blocks(self) -> bool:
        """Whether it is what the loop was given up for."""
        return self._task is not None and self._task is self.loop.blocker

    def leave(self) -> None:
        """Cancel it, unless it has just come back: nobody waits for it any more."""
        if self.coming.cancelled():
            self.loop.late += 1
            self.loop.post(lambda: self._task is not None and self._task.cancel())

    def _came_back(self, outcome: Outcome) -> None:
        if self.coming.cancelled():
            self.loop.late -= 1
        else:
            self.coming.set_result(outcome)


@dataclass(slots=True)
class Loops:
    """The loop of one plugin, and those that its calls have blocked."""

    name: str
    _loop: _Loop | None = None
    _blocked: set[_Loop] = field(default_factory=set)
    _replaced: bool = False
    _threads: Threads = field(init=False)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._threads = Threads(self.name)

    @property
    def overstaying(self) -> int:
        """How many calls have not come back in time; a blocked loop counts as one."""
        late = 0 if self._loop is None else self._loop.late
        return late + len(self._blocked) + self._threads.overstaying

    async def ask(self, bound: Bound, given: tuple[Any, ...]) -> Outcome:
        """Await a plugin's method on its loop; the deadline counts anew when another call has blocked that.

        Raises:
            TimeoutError: the deadline has passed. The call is cancelled, and may not heed it.
        """
        for _ in range(TRIES_TOGETHER):
            outcome = await self._together(bound, given)
            if outcome is not None:
                return outcome
        made = await self._threads.call(bound.make, (), bound.ready_seconds)
        if isinstance(made, Failed):
            return made
        return await self._threads.call(
            _alone, (made.value, given, bound.deadline_seconds), bound.deadline_seconds
        )

    def close(self) -> None:
        """Let the loop end; a blocked one ends once it turns again."""
        self._threads.close()
        if self._loop is not None:
            self._loop.end()

    async def _together(self, bound: Bound, given: tuple[Any, ...]) -> Outcome | None:
        """Await the method beside others; None when one of those has blocked the loop."""
        loop = await self._turning()
        made = await self._method(loop, bound)
        if isinstance(made, Failed):
            return made
        call = _Call(loop, made.value, given)
        try:
            async with asyncio.timeout(bound.deadline_seconds):
                outcome = await call.coming
        except TimeoutError:
            call.leave()
            if await self._turns(loop) or call.blocks:
                raise
            return None
        except asyncio.CancelledError:
            call.leave()
            raise
        cut_off = isinstance(outcome, Failed) and isinstance(outcome.error, asyncio.CancelledError)
        return None if cut_off and loop.given_up else outcome

    async def _turning(self) -> _Loop:
        """Return a loop that is not in doubt."""
        while self._loop is not None:
            loop = self._loop
            if loop.trusted.is_set():
                return loop
            await loop.trusted.wait()
        self._loop = _Loop(self.name, WeakKeyDictionary() if self._replaced else None)
        return self._loop

    async def _method(self, loop: _Loop, bound: Bound) -> Outcome:
        """Return the plugin's method on this loop; raises ``TimeoutError`` when making its object hangs."""
        if loop.methods is None:
            return Returned(bound.call)
        async with self._making:
            method = loop.methods.get(bound)
            if method is not None:
                return Returned(method)
            made = await self._threads.call(bound.make, (), bound.ready_seconds)
            if isinstance(made, Returned):
                loop.methods[bound] = made.value
            return made

    async def _turns(self, loop: _Loop) -> bool:
        """Return whether a loop shows in time that it turns; one that does not is given up."""
        if loop.trusted.is_set() and not loop.given_up:
            loop.trusted.clear()
            here = asyncio.get_running_loop()
            # By call_soon, so that an answer which is there already counts, however busy this loop was.
            giving_up = here.call_later(ANSWER_SECONDS, here.call_soon, self._give_up, loop)

            def turns() -> None:
                giving_up.cancel()
                self._blocked.discard(loop)
                loop.trusted.set()

            loop.post(lambda: _post(here, turns))
        await loop.trusted.wait()
        return not loop.given_up

    def _give_up(self, loop: _Loop) -> None:
        """Let a loop be that has not shown that it turns."""
        if not loop.trusted.is_set():
            self._blocked.add(loop)
            self._loop, self._replaced = None, True
            loop.give_up()


async def _awaited(method: Method, given: tuple[Any, ...]) -> Outcome:
    try:
        return Returned(await method(*given))
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is its failure, SystemExit too
        return Failed(error)


def _outcome(task: "asyncio.Task[Outcome]") -> Outcome:
    return Failed(asyncio.CancelledError()) if task.cancelled() else task.result()


def _alone(method: Method, given: tuple[Any, ...], seconds: float) -> object:
    """Await a method in this thread, on a loop that nothing else is on."""
    return asyncio.run(asyncio.wait_for(method(*given), seconds))


def _post(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Have something called in a loop's thread; a loop that is closed has nobody left who waits."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
