"""An event loop whose time passes at once: where nothing is left to do, it jumps to the next timer."""

import asyncio
import selectors
from typing import Any


class _Selector(selectors.SelectSelector):
    """Instead of waiting, it tells how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_seconds = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("the loop has no timer left, and would wait for ever")
        self.waited_seconds += max(0.0, timeout)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """A sleep of an hour takes no time, and everything that is due before it happens."""

    def __init__(self) -> None:
        self._jumps = _Selector()
        super().__init__(self._jumps)

    def time(self) -> float:
        """The seconds that have been slept."""
        return self._jumps.waited_seconds

    def pass_time(self, seconds: float) -> None:
        """Let everything happen that is due within these seconds."""
        self.run_until_complete(asyncio.sleep(seconds))

    def turn(self, times: int) -> None:
        """Let every task that can go on do so until its next await, so many times; no time passes."""
        for _ in range(times):
            self.call_soon(self.stop)
            self.run_forever()
