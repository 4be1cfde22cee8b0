"""The retry policy; the only module that imports tenacity. Nothing in it sleeps: a decision is a value.

A policy has two tiers, each a pair of tenacity's own wait and stop strategies. In process a payment whose
attempt failed is tried again, with exponential waits and jitter, for about two seconds. After that it goes
through the broker's delay queues, one delay an attempt, and after the last attempt it is dead-lettered. The
code that an attempt failed with chooses the policy; how often the broker delivered something does not matter.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    stop_never,
    wait_chain,
    wait_fixed,
    wait_random_exponential,
)
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from worker.errors import TransientError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a payment whose attempt failed is tried again: in process, then after ``delays`` in the broker.

    ``in_process_seconds`` bounds the first tier. ``attempts`` bounds the second: the first attempt and one
    after each delay, unless it says otherwise; the last of the ``delays`` (in seconds) is repeated as needed.
    """

    in_process_seconds: float
    delays: tuple[float, ...]
    attempts: int | None = None

    @property
    def max_attempts(self) -> int:
        """How many attempts a payment has."""
        return len(self.delays) + 1 if self.attempts is None else self.attempts

    def wait_in_process(self, tries: int, elapsed_seconds: float) -> float | None:
        """Return the seconds to wait before try ``tries + 1``, or None when this tier is used up.

        ``tries`` is how often it was tried in this delivery, ``elapsed_seconds`` since the first of them.
        """
        wait = wait_random_exponential(multiplier=0.05, max=1.0, min=0.02)
        return _wait_after(tries, elapsed_seconds, wait, stop_before_delay(self.in_process_seconds))

    def delay_after(self, attempt: int) -> float | None:
        """Return the delay in seconds after ``attempt`` (1-based) failed, or None when it was the last."""
        wait = wait_chain(*(wait_fixed(delay) for delay in self.delays or (0.0,)))
        return _wait_after(attempt, 0.0, wait, stop_after_attempt(self.max_attempts))


def _wait_after(tries: int, elapsed_seconds: float, wait: wait_base, stop: stop_base) -> float | None:
    """Return the seconds to wait after try number ``tries`` failed, or None when it was the last."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = tries
    state.start_time, state.outcome_timestamp = 0.0, elapsed_seconds
    state.upcoming_sleep = float(wait(state))
    return None if stop(state) else state.upcoming_sleep


@dataclass(frozen=True, slots=True)
class RetryPolicies:
    """The policy for each error code: its own, or else the one for all."""

    default: RetryPolicy
    by_code: Mapping[str, RetryPolicy] = field(default_factory=dict)

    def of(self, code: str) -> RetryPolicy:
        """Return the policy for attempts that failed with ``code``."""
        return self.by_code.get(code, self.default)


def wait_between_sessions(short: int) -> float:
    """Return the seconds to wait after ``short`` (1-based) sessions in a row that ended soon, at most one.

    One that ends soon may be any restart and is followed at once.
    """
    wait = wait_random_exponential(multiplier=0.05, max=1.0)
    return 0.0 if short < 2 else _wait_after(short, 0.0, wait, stop_never) or 0.0


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
