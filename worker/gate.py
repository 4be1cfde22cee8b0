"""A gate that is shut while something is under way."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Shut while any block under ``shut`` is being run; ``passed`` waits until it is open."""

    def __init__(self) -> None:
        self._shut = 0
        self._open = asyncio.Event()
        self._open.set()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Keep the gate shut for the block."""
        self._shut += 1
        self._open.clear()
        try:
            yield
        finally:
            self._shut -= 1
            if not self._shut:
                self._open.set()

    async def passed(self) -> None:
        """Return once the gate is open."""
        await self._open.wait()
