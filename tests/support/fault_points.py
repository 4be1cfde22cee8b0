"""What a test does to a worker's process from within: let it die at a named point, or move its clock.

The worker knows nothing of it. Each fault wraps functions of the process it is installed in, and is installed
before the worker starts there.
"""

import inspect
import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import wraps
from typing import Any, Final, Literal, Protocol

from worker import assembling, intake
from worker.amqp.paired import PairedLane
from worker.amqp.standard import StandardLane
from worker.amqp.tapped import Outlet, TapLane
from worker.claiming import JournalClaims
from worker.planning import Planner

_DECADES_SECONDS: Final = 30 * 365 * 86_400.0
Moment = Literal["before", "after"]

STEPS: Final[Mapping[str, tuple[tuple[Any, str], ...]]] = {
    "take": ((PairedLane, "take"),),
    "decode": ((intake, "decode"),),
    "plan": ((Planner, "plan"),),
    "claim": ((JournalClaims, "secure"),),
    "send": ((TapLane, "send"), (StandardLane, "send")),
    "confirm": ((Outlet, "take"), (StandardLane, "_outcome")),
    "record": ((JournalClaims, "record"),),
    "settle": ((PairedLane, "settle"),),
}
"""The steps of the pipeline in order, each with the functions that take it on one lane or the other.

``confirm`` is between the arrival of the broker's confirm and its being known to the pipeline.
"""


class Fault(Protocol):
    """Something that is done to a process; it must be picklable, to get there."""

    def install(self) -> None:
        """Do it to this process."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Death by SIGKILL right before or after the given call (from 1) of a step, also of one that raises."""

    step: str
    moment: Moment
    call: int = 1

    def install(self) -> None:
        """Wrap the step's functions."""
        calls = itertools.count(1)
        for owner, name in STEPS[self.step]:
            setattr(owner, name, self._deadly(getattr(owner, name), calls))

    def _deadly(self, function: Callable[..., Any], calls: Iterator[int]) -> Callable[..., Any]:
        def die_if(due: bool, moment: Moment) -> None:
            if due and moment == self.moment:
                os.kill(os.getpid(), signal.SIGKILL)

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def waited(*arguments: Any, **options: Any) -> Any:
                due = next(calls) == self.call
                die_if(due, "before")
                try:
                    return await function(*arguments, **options)
                finally:
                    die_if(due, "after")

            return waited

        @wraps(function)
        def called(*arguments: Any, **options: Any) -> Any:
            due = next(calls) == self.call
            die_if(due, "before")
            try:
                return function(*arguments, **options)
            finally:
                die_if(due, "after")

        return called


@dataclass(frozen=True, slots=True)
class ClockJumps:
    """A wall clock that jumps decades forth and back each time it is read; the monotonic one goes on."""

    seed: int

    def install(self) -> None:
        """Replace the clock that Python code reads, and the one that the session hands to its pipelines."""
        chance, real_time = random.Random(self.seed), time.time  # noqa: S311 - not for secrets

        def jumping() -> float:
            return real_time() + chance.uniform(-_DECADES_SECONDS, _DECADES_SECONDS)

        class JumpingDatetime(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> "JumpingDatetime":
                return cls.fromtimestamp(jumping(), tz)

        time.time = jumping
        assembling.datetime = JumpingDatetime  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Poison:
    """Death by SIGKILL over each payment whose body holds ``mark``, when it is read or planned."""

    mark: bytes
    step: Literal["decode", "plan"]

    def install(self) -> None:
        """Wrap the step's functions."""
        for owner, name in STEPS[self.step]:
            setattr(owner, name, self._deadly(getattr(owner, name)))

    def _deadly(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def called(*arguments: Any, **options: Any) -> Any:
            if self.mark in repr(arguments).encode():
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return called
