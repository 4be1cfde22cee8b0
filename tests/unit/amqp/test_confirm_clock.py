"""When a confirm counts as late."""

import asyncio
import time

from worker.amqp.confirm_clock import ConfirmClock

LATE_SECONDS = 0.08


class Setting:
    """A clock, whether the broker blocks, and when a confirm was called late."""

    def __init__(self) -> None:
        self.blocked = False
        self.started = time.monotonic()
        self.late = asyncio.Event()
        self.times_late = 0
        self.clock = ConfirmClock(LATE_SECONDS, lambda: self.blocked, self._late)

    def _late(self) -> None:
        self.times_late += 1
        self.late.set()

    async def seconds_until_late(self) -> float:
        async with asyncio.timeout(5):
            await self.late.wait()
        return time.monotonic() - self.started


async def test_a_confirm_is_late_after_its_time() -> None:
    """Not before, and soon after."""
    setting = Setting()
    setting.clock.start()
    assert LATE_SECONDS <= await setting.seconds_until_late() < 2
    assert setting.times_late == 1


async def test_what_has_its_answer_is_never_late() -> None:
    """A send that stopped waiting does not count, and the clock looks no more."""
    setting = Setting()
    setting.clock.stop(setting.clock.start())
    await asyncio.sleep(2 * LATE_SECONDS)
    assert not setting.late.is_set()
    assert setting.clock._timer is None


async def test_the_oldest_decides() -> None:
    """Young sends and answered ones do not hide one that waits."""
    setting = Setting()
    setting.clock.start()
    for _ in range(20):
        setting.clock.stop(setting.clock.start())
        setting.clock.start()
        await asyncio.sleep(LATE_SECONDS / 10)
    assert setting.late.is_set()


async def test_time_while_the_broker_blocks_does_not_count() -> None:
    """A block as long as you like makes nothing late, and afterwards the time starts afresh."""
    setting = Setting()
    setting.clock.start()
    setting.blocked = True
    await asyncio.sleep(3 * LATE_SECONDS)
    assert not setting.late.is_set()
    setting.blocked = False
    setting.started = time.monotonic()
    assert await setting.seconds_until_late() >= LATE_SECONDS / 2


async def test_a_closed_clock_is_silent() -> None:
    """After the lane's end nothing is late any more; stopping what waited is harmless."""
    setting = Setting()
    waiting = setting.clock.start()
    setting.clock.close()
    await asyncio.sleep(2 * LATE_SECONDS)
    setting.clock.stop(waiting)
    assert not setting.late.is_set()
