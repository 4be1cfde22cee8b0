"""Calls plugins, each under its deadline, and turns whatever goes wrong into the failure of one payment."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from worker.errors import InvariantViolation, MissingRate, StaleRate, StepOverran, StepUnavailable
from worker.plugins.bound import Bound
from worker.plugins.loops import Loops
from worker.plugins.outcome import Failed, Returned
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
    _places: dict[tuple[str, bool], Threads | Loops] = field(default_factory=dict)
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
        place = self._place(bound)
        if place.overstaying >= MOST_OVERSTAYING:
            raise StepUnavailable(
                f"{MOST_OVERSTAYING} calls of {bound.plugin} hang; it is not asked again until one comes back"
            )
        try:
            outcome = await place.ask(bound, question.given)
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
        """Let go of threads and loops; what hangs is left to itself."""
        for place in self._places.values():
            place.close()

    def _place(self, bound: Bound) -> Threads | Loops:
        """Return where a plugin's calls run, and no other plugin's."""
        key = (bound.plugin, bound.is_async)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = (Loops if bound.is_async else Threads)(f"plugin {bound.plugin}")
        return place

    def _say(self, bound: Bound, text: str, error: BaseException | None) -> None:
        now = self.clock()
        if self.log is not None and now - self._logged.get(bound.plugin, -LOG_SECONDS) >= LOG_SECONDS:
            self._logged[bound.plugin] = now
            self.log.error("plugin failed", plugin=bound.plugin, reason=text, exc_info=error)


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
