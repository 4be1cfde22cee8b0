"""Asking a journal that may be unavailable, for as long as there is a reason to."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from worker.errors import JournalUnavailable
from worker.next_step import held_back_seconds
from worker.telemetry.logs import Log

T = TypeVar("T")


async def persist(ask: Callable[[], Awaitable[T]], over: asyncio.Event, log: Log) -> T | None:
    """Ask the journal until it does what it is asked; None where the session is ``over`` before.

    Meanwhile nothing is acknowledged, so the broker soon delivers no more.
    """
    for tries in itertools.count(1):
        try:
            return await ask()
        except JournalUnavailable as error:
            wait = held_back_seconds(tries)
            log.warning("held back", code=error.code, reason=str(error), retry_in_seconds=wait)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await over.wait()
                break
    return None
