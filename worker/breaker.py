"""A circuit breaker for each processor, so that a dead one does not cost every payment a try. Pure.

Closed, it counts: when ``failure_percent`` or more of the last ``minimum_payments`` dispatches have failed,
it opens. Open, it lets nothing through for ``open_seconds``. Then it is half open: one payment goes through
as a trial, and one more every ``open_seconds`` for as long as none of them has an answer. A trial that
succeeds closes the breaker, one that fails opens it again.
"""

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from fractions import Fraction
from math import ceil
from typing import Final

from schemas.rules import Health
from worker.routing import Processor

DEFAULT_HEALTH: Final = Health()
"""For processors whose rules say nothing about their health."""


class State(Enum):
    """Whether dispatches go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """One processor's breaker. ``on_change`` learns each new state; ``now`` is in monotonic seconds."""

    __slots__ = (
        "_count",
        "_failed_at",
        "_next_trial",
        "_on_change",
        "_open_seconds",
        "_size",
        "_threshold",
        "state",
    )

    def __init__(self, on_change: Callable[[State], None], health: Health = DEFAULT_HEALTH) -> None:
        self.state = State.CLOSED
        self._on_change = on_change
        self._next_trial = 0.0
        self._count = 0  # dispatches since it closed last
        self._failed_at: deque[int] = deque()  # the counts at which one failed, within the window
        self.use(health)

    def use(self, health: Health) -> None:
        """Take other thresholds; what was counted stays."""
        self._size = health.minimum_payments
        self._threshold = max(1, ceil(Fraction(health.failure_percent) * self._size / 100))
        self._open_seconds = health.open_seconds

    def allows(self, now: float) -> bool:
        """Whether a payment may go to the processor now; where that takes a trial, it is this payment."""
        if self.state is State.CLOSED:
            return True
        if now < self._next_trial:
            return False
        self._next_trial = now + self._open_seconds
        self._turn(State.HALF_OPEN)
        return True

    def succeeded(self) -> None:
        """Note that the processor's exchange has confirmed a dispatch."""
        self._count += 1
        if self.state is State.HALF_OPEN:
            self._count = 0
            self._failed_at.clear()
            self._turn(State.CLOSED)

    def failed(self, now: float) -> None:
        """Note that a dispatch was definitely refused."""
        self._count += 1
        self.returned(now)

    def returned(self, now: float) -> None:
        """Note that the processor gave a dispatch back: what was counted as a success is none."""
        if self.state is State.HALF_OPEN or (self.state is State.CLOSED and self._is_unwell()):
            self._next_trial = now + self._open_seconds
            self._turn(State.OPEN)

    def _is_unwell(self) -> bool:
        """Enter one more failure, and say whether there are too many."""
        failed_at = self._failed_at
        failed_at.append(self._count)
        while failed_at[0] <= self._count - self._size or len(failed_at) > self._size:
            failed_at.popleft()
        return self._count >= self._size and len(failed_at) >= self._threshold

    def _turn(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._on_change(state)


class Breakers:
    """The breakers of all processors. ``on_change`` learns which one has a new state."""

    def __init__(self, on_change: Callable[[str, State], None]) -> None:
        self._on_change = on_change
        self._by_processor: dict[str, Breaker] = {}

    @property
    def states(self) -> dict[str, str]:
        """Each processor's state by name; safe to read from another thread."""
        return {name: breaker.state.value for name, breaker in self._by_processor.copy().items()}

    def of(self, processor: str) -> Breaker:
        """Return the breaker of the processor with this name."""
        breaker = self._by_processor.get(processor)
        return self._make(processor, DEFAULT_HEALTH) if breaker is None else breaker

    def use(self, processors: Iterable[Processor]) -> None:
        """Take the thresholds of other rules; the breaker of a processor that they still name goes on."""
        healths = {processor.name: processor.health or DEFAULT_HEALTH for processor in processors}
        for gone in self._by_processor.keys() - healths.keys():
            del self._by_processor[gone]
        for name, health in healths.items():
            if name in self._by_processor:
                self._by_processor[name].use(health)
            else:
                self._make(name, health)

    def _make(self, processor: str, health: Health) -> Breaker:
        made = Breaker(lambda state: self._on_change(processor, state), health)
        self._by_processor[processor] = made
        return made
