"""Calls plugins, each under its deadline, and turns whatever goes wrong into the failure of one payment."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from worker.errors import InvariantViolation, MissingRate, StaleRate, StepOverran, StepUnavailable
from worker.plugins.outcome import Failed, Outcome, Returned
from worker.plugins.registry import Bound
from worker.plugins.threads import Threads
from worker.routing.questions import Kind, Question
from worker.telemetry.logs import Log

MOST_OVERSTAYING: Final = 64
"""Calls of one plugin that may hang at once; beyond that it is not called until one comes back."""
LOG_SECONDS: Final = 1.0
"""Shortest time between two log lines about one plugin."""


@dataclass(slots=True)
class Caller:
    """Asks plugins for answers. One plugin's calls never wait for another's."""

    log: Log | None = None
    clock: Callable[[], float] = time.monotonic
    _threads: dict[str, Threads] = field(default_factory=dict)
    _tasks: dict[str, set[asyncio.Task[Outcome]]] = field(default_factory=dict)
    _logged: dict[str, float] = field(default_factory=dict)

    async def ask(self, question: Question) -> object:
        """Return what the plugin answers, unchecked.

        Raises:
            StepOverran: it has not answered within its deadline.
            StepUnavailable: it raised, or too many of its calls hang.
            MissingRate, StaleRate: a rate provider says so.
        """
        bound = question.use.bound
        if not isinstance(bound, Bound):
            raise InvariantViolation(f"{question.use} is not bound to anything that could be called")
        if self._overstaying(bound) >= MOST_OVERSTAYING:
            raise StepUnavailable(
                f"{MOST_OVERSTAYING} calls of {bound.plugin} hang; it is not asked again until one comes back"
            )
        try:
            outcome = await (self._await if bound.is_async else self._run)(bound, question)
        except TimeoutError:
            text = f"{bound.plugin} did not answer within {bound.deadline_seconds:g} s"
            self._say(bound, text, None)
            raise StepOverran(text) from None
        match outcome:
            case Returned(value):
                return value
            case Failed(error) if question.use.kind is Kind.RATES and isinstance(
                error, MissingRate | StaleRate
            ):
                raise error
            case Failed(error):
                text = f"{bound.plugin} raised {type(error).__name__}"
                self._say(bound, text, error)
                raise StepUnavailable(text) from error

    def close(self) -> None:
        """Let go of threads and tasks; what hangs is left to itself."""
        for threads in self._threads.values():
            threads.close()
        for tasks in self._tasks.values():
            for task in tasks:
                task.cancel()

    def _overstaying(self, bound: Bound) -> int:
        if bound.is_async:
            return len(self._tasks.get(bound.plugin, ()))
        threads = self._threads.get(bound.plugin)
        return 0 if threads is None else threads.overstaying

    async def _run(self, bound: Bound, question: Question) -> Outcome:
        threads = self._threads.get(bound.plugin)
        if threads is None:
            threads = self._threads[bound.plugin] = Threads(question.use.name)
        return await threads.call(bound.call, question.given, bound.deadline_seconds)

    async def _await(self, bound: Bound, question: Question) -> Outcome:
        """Await a coroutine in a task of its own, so that one that ignores its end holds up nobody."""
        task = asyncio.create_task(_outcome(bound, question))
        try:
            await asyncio.wait({task}, timeout=bound.deadline_seconds)
        finally:
            if not task.done():
                left = self._tasks.setdefault(bound.plugin, set())
                left.add(task)
                task.add_done_callback(left.discard)
                task.cancel()
        if not task.done():
            raise TimeoutError
        return Failed(asyncio.CancelledError()) if task.cancelled() else task.result()

    def _say(self, bound: Bound, text: str, error: BaseException | None) -> None:
        now = self.clock()
        if self.log is not None and now - self._logged.get(bound.plugin, -LOG_SECONDS) >= LOG_SECONDS:
            self._logged[bound.plugin] = now
            self.log.error("plugin failed", plugin=bound.plugin, reason=text, exc_info=error)


async def _outcome(bound: Bound, question: Question) -> Outcome:
    try:
        return Returned(await bound.call(*question.given))
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is its failure, SystemExit too
        return Failed(error)


class CallerNow(AbstractContextManager["CallerNow"]):
    """Asks plugins and waits for the answer, for commands that route payments one by one."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._caller = Caller()

    def ask(self, question: Question) -> object:
        """Return the plugin's answer; raises as ``Caller.ask`` does."""
        return self._runner.run(self._caller.ask(question))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._caller.close()
        self._runner.close()
