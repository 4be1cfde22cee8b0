"""The retry policy; the only module that imports tenacity. Nothing in it sleeps: a decision is a value.

Two tiers share it. In process a payment whose publish was refused is tried again, with exponential waits and
jitter, for about two seconds. After that it goes through the broker's delay queues, one step an attempt, and
after the last step it is dead-lettered.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    stop_never,
    wait_random_exponential,
)

from worker.errors import TransientError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a transient failure is tried again.

    ``in_process_seconds`` bounds the first tier; ``delay_steps`` are the second tier's delays in seconds, one
    for each attempt that failed.
    """

    in_process_seconds: float
    delay_steps: tuple[float, ...]

    def wait_in_process(self, tries: int, elapsed_seconds: float) -> float | None:
        """Return the seconds to wait before try ``tries + 1``, or None when this tier is used up.

        ``tries`` is how often it was tried in this delivery, ``elapsed_seconds`` since the first of them.
        """
        wait = wait_random_exponential(multiplier=0.05, max=1.0, min=0.02)
        state = RetryCallState(Retrying(), None, (), {})
        state.attempt_number = tries
        state.start_time, state.outcome_timestamp = 0.0, elapsed_seconds
        seconds = float(wait(state))
        state.outcome_timestamp = elapsed_seconds + seconds
        return None if stop_after_delay(self.in_process_seconds)(state) else seconds

    def delay_after(self, attempt: int) -> float | None:
        """Return the delay in seconds after ``attempt`` (1-based) failed, or None when it was the last."""
        return self.delay_steps[attempt - 1] if attempt <= len(self.delay_steps) else None

    @property
    def max_attempts(self) -> int:
        """How many attempts a payment has: the first and one after each delay."""
        return len(self.delay_steps) + 1


async def retry_connecting(
    connect: Callable[[], Awaitable[T]], on_failure: Callable[[BaseException, float], None]
) -> T:
    """Call ``connect`` until it does not raise a TransientError, with waits of up to 15 s between.

    ``on_failure`` learns each error and the seconds until the next try.
    """

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None:
            on_failure(error, state.upcoming_sleep)

    retrying = AsyncRetrying(
        wait=wait_random_exponential(multiplier=0.25, max=15.0, min=0.1),
        stop=stop_never,
        retry=retry_if_exception_type(TransientError),
        before_sleep=before_sleep,
        reraise=True,
    )
    return await retrying(connect)
