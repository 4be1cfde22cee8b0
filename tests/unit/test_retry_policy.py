"""The retry policy: decisions as values."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import AccessRefused, BrokerUnavailable
from worker.retry import RetryPolicies, RetryPolicy, retry_connecting, wait_between_sessions
from worker.session import policies_of
from worker.settings import Settings

POLICY = RetryPolicy(2.0, (1.0, 5.0, 30.0))


@given(st.integers(1, 50), st.floats(0, 1.9))
def test_waits_in_process_are_short(tries: int, elapsed: float) -> None:
    """A wait is positive, at most a second, and never reaches beyond the in-process time."""
    wait = POLICY.wait_in_process(tries, elapsed)
    assert wait is None or (0 < wait <= 1.05 and elapsed + wait < 2.0)


@given(st.integers(1, 50), st.floats(2.0, 1000))
def test_the_in_process_time_ends(tries: int, elapsed: float) -> None:
    """After two seconds the delay queues take over."""
    assert POLICY.wait_in_process(tries, elapsed) is None


def test_no_in_process_time_means_no_try() -> None:
    """With zero seconds a refused payment is delayed at once."""
    assert RetryPolicy(0.0, ()).wait_in_process(1, 0.0) is None


def test_each_attempt_has_its_delay() -> None:
    """One step an attempt, in order; the last attempt has none."""
    assert [POLICY.delay_after(n) for n in (1, 2, 3, 4, 5)] == [1.0, 5.0, 30.0, None, None]
    assert POLICY.max_attempts == 4


@given(st.lists(st.floats(0.05, 1e5), min_size=1, max_size=8), st.integers(1, 100), st.integers(1, 200))
def test_attempts_bound_the_delays(delays: list[float], attempts: int, attempt: int) -> None:
    """With its own number of attempts a policy repeats its last delay or leaves delays out, and then ends."""
    policy = RetryPolicy(0.0, tuple(delays), attempts)
    expected = delays[min(attempt, len(delays)) - 1] if attempt < attempts else None
    assert policy.delay_after(attempt) == expected


def test_a_code_without_a_policy_has_the_common_one() -> None:
    """What a code's policy leaves out is as for all codes, too."""
    own = {"unroutable": {"attempts": 2}, "publish_refused": {"in_process": "1s", "delays": ["7s"]}}
    policies = policies_of(Settings(retry_in_process=3, delay_steps=(1, 5), retry_policies=own))
    assert policies == RetryPolicies(
        RetryPolicy(3, (1, 5)),
        {"unroutable": RetryPolicy(3, (1, 5), 2), "publish_refused": RetryPolicy(1, (7,))},
    )
    assert policies.of("stale_rate") is policies.default


@given(st.integers(0, 1000))
def test_sessions_that_end_soon_follow_one_another_slowly(short: int) -> None:
    """The first may be any restart; then the waits grow, up to a second."""
    wait = wait_between_sessions(short)
    assert 0 <= wait <= min(1.0, 0.05 * 2.0 ** min(short, 20))
    assert wait == 0 or short > 1


async def test_connecting_is_retried_until_it_works() -> None:
    """Transient errors are told and waited out."""
    told: list[str] = []
    outcomes = iter([BrokerUnavailable("one"), BrokerUnavailable("two"), None])

    async def connect() -> str:
        error = next(outcomes)
        if error is not None:
            raise error
        return "lane"

    async with asyncio.timeout(10):
        assert (
            await retry_connecting(connect, lambda error, wait: told.append(f"{error} {wait > 0}")) == "lane"
        )
    assert told == ["one True", "two True"]


async def test_what_waiting_cannot_mend_is_raised_at_once() -> None:
    """A refused password is no reason to wait."""

    async def connect() -> None:
        raise AccessRefused("no")

    with pytest.raises(AccessRefused):
        await retry_connecting(connect, lambda *_: pytest.fail("must not wait"))
