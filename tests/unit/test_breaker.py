"""The circuit breaker: when it opens, whom it lets through, and how it closes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rules import Health
from tests.support.payments import rule_table
from worker.breaker import Breaker, Breakers, State

HEALTH = Health(failure_percent="50", minimum_payments=4, open_seconds=30)


def opened(at: float = 0.0) -> tuple[Breaker, list[State]]:
    """A breaker that four failures have opened, and its changes from then on."""
    changes: list[State] = []
    breaker = Breaker(changes.append, HEALTH)
    for _ in range(4):
        breaker.failed(at)
    assert changes == [State.OPEN]
    changes.clear()
    return breaker, changes


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 10), st.integers(1, 100))
def test_it_opens_exactly_when_the_last_payments_failed_too_often(
    fates: list[bool], minimum: int, percent: int
) -> None:
    """Against a plain list: open after the first dispatch whose window is full and has failed too much."""
    health = Health(failure_percent=str(percent), minimum_payments=minimum, open_seconds=1)
    breaker = Breaker(lambda _: None, health)
    for number, failed in enumerate(fates, start=1):
        breaker.failed(0.0) if failed else breaker.succeeded()
        window = fates[max(0, number - minimum) : number]
        too_often = number >= minimum and failed and sum(window) * 100 >= percent * minimum
        assert (breaker.state is State.OPEN) == too_often
        if too_often:
            return


def test_an_open_breaker_lets_nobody_through_until_its_time_is_over() -> None:
    """Then one payment goes through as a trial, and no other before the trial has an answer."""
    breaker, changes = opened(at=100.0)
    assert not breaker.allows(129.9)
    assert breaker.allows(130.0)
    assert not breaker.allows(130.0)
    assert changes == [State.HALF_OPEN]


def test_a_trial_that_succeeds_closes_it() -> None:
    """The past is forgotten: it takes as many failures as before to open it again."""
    breaker, changes = opened()
    breaker.allows(30.0)
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(31.0)
    assert changes == [State.HALF_OPEN, State.CLOSED]
    breaker.failed(31.0)
    assert changes[2:] == [State.OPEN]


@pytest.mark.parametrize("answer", ["failed", "returned"])
def test_a_trial_that_fails_opens_it_for_as_long_again(answer: str) -> None:
    """Whether the publish was refused or the processor gave the payment back."""
    breaker, changes = opened()
    breaker.allows(30.0)
    getattr(breaker, answer)(40.0)
    assert changes == [State.HALF_OPEN, State.OPEN]
    assert not breaker.allows(69.9)
    assert breaker.allows(70.0)


def test_a_trial_without_an_answer_does_not_close_the_door_for_ever() -> None:
    """Its session ended, say: the next trial goes through after the same time."""
    breaker, changes = opened()
    assert breaker.allows(30.0)
    assert not breaker.allows(59.9)
    assert breaker.allows(60.0)
    assert changes == [State.HALF_OPEN]


def test_answers_from_before_it_opened_change_nothing() -> None:
    """A confirm that comes late does not close an open breaker, and a late refusal does not prolong it."""
    breaker, changes = opened()
    breaker.succeeded()
    breaker.failed(29.0)
    assert changes == []
    assert breaker.allows(30.0)


def test_payments_given_back_count_as_failures() -> None:
    """A processor whose exchange takes everything and whose connector rejects everything is unwell."""
    changes: list[State] = []
    breaker = Breaker(changes.append, HEALTH)
    for _ in range(4):
        breaker.succeeded()
    breaker.returned(0.0)
    assert changes == []
    breaker.returned(0.0)
    assert changes == [State.OPEN]


@given(st.lists(st.tuples(st.sampled_from(["allows", "failed", "returned", "succeeded"]), st.floats(0, 20))))
def test_every_change_is_told_once_and_is_one_that_may_follow(steps: list[tuple[str, float]]) -> None:
    """Closed opens, open tries, a trial closes or opens; no other change, and none is told twice."""
    told = [State.CLOSED]
    breaker = Breaker(told.append, HEALTH)
    now = 0.0
    for name, seconds in steps:
        now += seconds
        breaker.succeeded() if name == "succeeded" else getattr(breaker, name)(now)
        assert told[-1] is breaker.state
    follows = {
        State.CLOSED: {State.OPEN},
        State.OPEN: {State.HALF_OPEN},
        State.HALF_OPEN: {State.OPEN, State.CLOSED},
    }
    assert all(after in follows[before] for before, after in pairwise(told))


def test_other_rules_keep_the_breakers_of_processors_they_still_name() -> None:
    """A reload changes thresholds and does not forget that a processor is unwell."""
    changes: list[tuple[str, State]] = []
    breakers = Breakers(lambda name, state: changes.append((name, state)))
    breakers.use(rule_table().processors.values())
    for _ in range(20):
        breakers.of("alpha").failed(0.0)
    document = {
        "version": 1,
        "processors": {"alpha": {"health": {"open_seconds": 5}}, "gamma": {}},
        "default": {"to": "alpha"},
    }
    breakers.use(rule_table(document).processors.values())
    assert breakers.states == {"alpha": "open", "gamma": "closed"}
    assert changes == [("alpha", State.OPEN)]
    breakers.of("alpha").allows(30.0)
    assert not breakers.of("alpha").allows(34.9)
    assert breakers.of("alpha").allows(35.0)
