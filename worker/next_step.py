"""What comes next for a payment: which candidate, another try, a delay, or the dead letters. Decides only."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.dead_letter import Attempt
from worker.amqp.lane import Refused
from worker.breaker import Breakers, State
from worker.envelope import Arrival, rfc3339
from worker.errors import (
    ChannelLost,
    CircuitOpen,
    ClaimedElsewhere,
    OutcomeUnknown,
    RetriesExhausted,
    Returned,
    TransientError,
)
from worker.outcome import Dispatched, Outcome
from worker.retry import RetryPolicies
from worker.work import FIRST_CANDIDATE, Step, ToAside, ToDead, ToDelay, ToProcessor, Work

HELD_BACK_SECONDS: Final = (0.5, 15.0)
"""Shortest and longest wait before a delay or dead-letter queue that refused is tried again."""


def held_back_seconds(tries: int) -> float:
    """Return how long to hold back after so many tries at what has to be done before anything else can be."""
    shortest, longest = HELD_BACK_SECONDS
    return min(longest, shortest * 2.0 ** min(tries, 10))


@dataclass(frozen=True, slots=True)
class NextSteps:
    """Decides by retry policies and circuit breakers. ``clock`` gives monotonic seconds."""

    policies: RetryPolicies
    breakers: Breakers
    now: Callable[[], datetime]
    clock: Callable[[], float]

    def begin(self, works: Iterable[Work]) -> None:
        """Choose the first step of each payment that is planned.

        An open breaker makes a candidate be passed over. A payment that an earlier publish may have brought
        somewhere goes there again, whatever the breakers say; where the rules no longer lead there, a person
        has to look at it.
        """
        for work in works:
            if work.step is FIRST_CANDIDATE and not self._is_plain(work):
                work.step = self._candidate_behind(-1, work) or self._without_candidate(work)

    def _is_plain(self, work: Work) -> bool:
        """Whether nothing stands against the first candidate: most payments have no past."""
        arrival = work.arrival
        if arrival.pinned or arrival.passed or work.behind or work.resumed:
            return False
        return self.breakers.of(work.planned().candidates[0].name).state is State.CLOSED

    def _without_candidate(self, work: Work) -> Step:
        work.tries = 0
        pinned_to = work.arrival.pinned_to
        if pinned_to is not None:
            error = OutcomeUnknown(
                f"an earlier publish to {pinned_to} may have arrived there, and the rules now in force do not"
                f" name it; ask {pinned_to} for this payment before it is sent anywhere"
            )
            return ToDead(error, (*work.arrival.attempts, self._attempt(work, error.code, pinned_to)))
        candidates, passed = work.planned().candidates, work.arrival.passed
        if all(candidate.name in passed for candidate in candidates):
            names = ", ".join(sorted(passed))
            returned = Returned(f"it was given back, and the route has no processor behind {names}")
            return ToDead(returned, work.arrival.attempts)
        first = candidates[0].name
        work.failure = work.failure or self._attempt(work, CircuitOpen.code, first)
        return self.after_last_try(work)

    def after_confirm(self, outcome: Outcome) -> None:
        """Count a dispatch as its processor's success."""
        if isinstance(outcome, Dispatched):
            self.breakers.of(outcome.processor).succeeded()

    def after_refusal(self, work: Work, refusal: Refused) -> bool:
        """Choose the step after a definite refusal; True when it can be sent at once."""
        step = work.step
        if not isinstance(step, ToProcessor):
            return False
        self._fail(work, step, refusal.code)
        next_one = self._candidate_behind(step.candidate, work)
        work.step = next_one or FIRST_CANDIDATE
        return next_one is not None

    def after_loss(self, work: Work) -> None:
        """Keep a payment with its processor when nobody knows whether the dispatch has arrived there."""
        step = work.step
        if isinstance(step, ToProcessor):
            processor = self._fail(work, step, ChannelLost.code)
            work.arrival = work.arrival._replace(pinned=True, pinned_to=processor)
            work.step = FIRST_CANDIDATE

    def after_return(self, processor: str) -> None:
        """Count a dispatch that the processor gave back as its failure."""
        self.breakers.of(processor).returned(self.clock())

    def wait(self, work: Work) -> float:
        """Return how many seconds to wait for this payment's next step, choosing that step."""
        if isinstance(work.step, ToDelay | ToDead | ToAside):
            # A delay or dead-letter queue refuses: hold back until it takes the payment or the session ends.
            work.tries += 1
            return held_back_seconds(work.tries)
        now = self.clock()
        if work.refused_since is None:
            work.refused_since = now
        policy = self.policies.of(self._failure(work).code)
        wait = policy.wait_in_process(work.tries, now - work.refused_since)
        work.tries += 1
        if wait is not None:
            return wait
        work.step = self.after_last_try(work)
        return 0.0

    def after_last_try(self, work: Work) -> Step:
        """Return the delay after a failed attempt, or the dead letter after the last one.

        What another worker holds is never dead-lettered for that: it may be dispatched by then, and the claim
        ends with its lease.
        """
        work.tries = 0  # those of the next step are counted anew, and the first of them is reported
        failure = self._failure(work)
        policy = self.policies.of(failure.code)
        tried = work.arrival.attempt
        if elsewhere := failure.code == ClaimedElsewhere.code:  # no attempt, yet each wait is longer
            tried += sum(one.code == ClaimedElsewhere.code for one in work.arrival.attempts)
        delay = policy.delay_after(tried)
        if delay is None and elsewhere and policy.delays:
            delay = policy.delays[-1]
        if delay is not None:
            return ToDelay(delay, failure)
        attempts = (*work.arrival.attempts, failure)
        failed = [one.code for one in attempts if one.code != ClaimedElsewhere.code] or [failure.code]
        codes = ", ".join(failed[-work.arrival.attempt :])
        return ToDead(RetriesExhausted(f"all {work.arrival.attempt} attempts failed: {codes}"), attempts)

    def _candidate_behind(self, index: int, work: Work) -> ToProcessor | None:
        """Return the dispatch to the next candidate that may have the payment, None where there is none."""
        if work.resumed:
            return FIRST_CANDIDATE if index < 0 else None
        candidates = work.planned().candidates
        arrival = work.arrival = _settle_past(work, [candidate.name for candidate in candidates])
        for place in range(index + 1, len(candidates)):
            name = candidates[place].name
            if name in arrival.passed:
                continue
            if name == arrival.pinned_to if arrival.pinned else self.breakers.of(name).allows(self.clock()):
                return FIRST_CANDIDATE if place == 0 else ToProcessor(place)
        return None

    def _fail(self, work: Work, step: ToProcessor, code: str) -> str:
        """Note that a dispatch failed, and return its processor's name."""
        processor = work.prepare(step.candidate).processor
        self.breakers.of(processor).failed(self.clock())
        work.failure = self._attempt(work, code, processor)
        return processor

    def _failure(self, work: Work) -> Attempt:
        """Return how the current attempt failed last."""
        return work.failure or self._attempt(work, TransientError.code)

    def _attempt(self, work: Work, code: str, processor: str | None = None) -> Attempt:
        return work.attempt(rfc3339(self.now()), code, processor)


def _settle_past(work: Work, candidates: Sequence[str]) -> Arrival:
    """Return the payment's past in terms of processors, now that the route is known."""
    arrival = work.arrival
    if work.behind:
        arrival = arrival._replace(passed=arrival.passed.union(candidates[: work.behind]))
        work.behind = 0
    if arrival.pinned and arrival.pinned_to is None:
        left = (name for name in candidates if name not in arrival.passed)
        arrival = arrival._replace(pinned_to=next(left, None))
    return arrival
