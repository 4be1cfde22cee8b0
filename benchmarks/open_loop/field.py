"""Where contestants run: one at a time on empty queues, between a producer and a consumer."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from subprocess import Popen
from typing import Final

import aiormq
from aiormq.abc import AbstractChannel

from benchmarks.harness import Contestant, Message, started
from benchmarks.open_loop.traffic import Numbered, Traffic, open_traffic
from benchmarks.rule_files import payments

START_SECONDS: Final = 60.0
PAYMENTS: Final = 1000
"""Different ones, which come again under new ids."""


class Field:
    """The broker, the payments, and the number of the next one: no two of a run have the same id."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._messages: dict[Callable[[bytes], Message], Numbered] = {}
        self._next = 1

    @asynccontextmanager
    async def under_way(self, contestant: Contestant) -> AsyncIterator[tuple[Traffic, int]]:
        """Run the contestant for the block, on empty queues, with a producer before and a consumer behind.

        It gets these two, and the contestant's process id.
        """
        wrap = contestant.wrap
        if (messages := self._messages.get(wrap)) is None:
            messages = self._messages[wrap] = Numbered(payments(PAYMENTS), wrap)
        connection = await aiormq.connect(self.url)
        channel = await connection.channel()
        for queue in (contestant.source, *contestant.targets):
            await channel.queue_purge(queue)
        async with started(contestant) as process:
            await _consumes(channel, contestant, process)
            await connection.close()
            targets = contestant.targets
            async with open_traffic(self.url, contestant.source, targets, messages, self._next) as traffic:
                try:
                    yield traffic, process.pid
                finally:
                    self._next += traffic.sent


async def _consumes(channel: AbstractChannel, contestant: Contestant, process: Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (await channel.queue_declare(contestant.source, passive=True)).consumer_count:
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(f"{contestant.name} does not consume {contestant.source}")
        await asyncio.sleep(0.05)
