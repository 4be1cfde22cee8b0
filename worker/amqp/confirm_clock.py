"""How long the oldest publish has waited for its confirm, without the time the broker blocks publishers."""

import asyncio
from collections.abc import Callable
from typing import Final

_LONGEST_TICK_SECONDS: Final = 1.0
_TICKS: Final = 8


class ConfirmClock:
    """Calls ``late`` once a send has waited ``seconds`` in which ``is_blocked`` was false.

    A block starts the time afresh: what was sent before it may be confirmed only after it. It looks eight
    times in ``seconds`` and at least once a second, and only while something waits, so that a send costs no
    timer of its own.
    """

    def __init__(self, seconds: float, is_blocked: Callable[[], bool], late: Callable[[], None]) -> None:
        self._seconds, self._is_blocked, self._late = seconds, is_blocked, late
        self._tick = min(_LONGEST_TICK_SECONDS, seconds / _TICKS)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, float] = {}  # the oldest first
        self._next = 0
        self._blocked_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> int:
        """Note that a send waits from now on; give its number, for ``stop``."""
        number = self._next
        self._next = number + 1
        self._waiting[number] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick, self._look)
        return number

    def stop(self, number: int) -> None:
        """Note that a send has its answers, or will get none."""
        self._waiting.pop(number, None)

    def close(self) -> None:
        """Call ``late`` no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        now = self._loop.time()
        if self._is_blocked():
            self._blocked_until = now
        elif now - max(next(iter(self._waiting.values())), self._blocked_until) >= self._seconds:
            self._late()
            return
        self._timer = self._loop.call_later(self._tick, self._look)
