"""The journal's part in a batch: intents are on disk before they are sent, endings before acks.

What the journal answers decides over what the rules or the breakers said: an intent that an earlier worker
left behind is sent as it was written, and a payment that is where it belongs is not sent again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, Protocol, TypeAlias, assert_never

from worker.envelope import rfc3339
from worker.errors import (
    ClaimedElsewhere,
    Crashed,
    HeldForReview,
    IdempotencyConflict,
    InvariantViolation,
    JournalUnavailable,
    PermanentError,
)
from worker.journal.fingerprint import Fingerprints
from worker.journal.protocol import (
    Amendment,
    Claim,
    Conflict,
    Done,
    Ending,
    Held,
    Intent,
    Journal,
    New,
    Resume,
    Unfit,
)
from worker.journal.states import State
from worker.next_step import NextSteps
from worker.outcome import DeadLettered, Delayed, Dispatched, Duplicate, Outcome, Released, SetAside
from worker.planning import Dispatch
from worker.work import ToDead, ToProcessor, Work

_Where: TypeAlias = tuple[
    int, str | None, str | None, str | None, str | None, bytes | None, int | None
]  # candidate, processor, exchange, routing key, dispatch id, body, priority


class Secured(NamedTuple):
    """What of a batch may be sent now, and what is where it belongs already."""

    ready: Sequence[Work]
    finished: list[tuple[Work, Outcome]]


class Claims(Protocol):
    """What the pipeline asks before it sends and before it acknowledges."""

    @property
    def remembers(self) -> bool:
        """Whether it knows of a redelivered payment what was sent for it before."""

    async def secure(self, works: Sequence[Work], now: datetime) -> Secured:
        """Claim what the payments' next steps need; a step may be another one afterwards.

        Raises:
            JournalUnavailable: nothing may be sent.
        """

    async def record(self, finished: Sequence[tuple[Work, Outcome]], now: datetime) -> bool:
        """Note what payments came to; True when that is done.

        Raises:
            JournalUnavailable: nothing may be acknowledged.
        """


class NoClaims:
    """No journal: nothing is remembered."""

    remembers = False

    async def secure(self, works: Sequence[Work], now: datetime) -> Secured:  # noqa: ARG002 - as Claims has it
        """See ``Claims``."""
        return Secured(works, [])

    async def record(self, finished: Sequence[tuple[Work, Outcome]], now: datetime) -> bool:  # noqa: ARG002
        """See ``Claims``."""
        return True


@dataclass(slots=True)
class _Asked:
    """What goes to the journal for a batch, and whose it is."""

    claiming: list[Work] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    amending: list[Work] = field(default_factory=list)
    amendments: list[Amendment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class JournalClaims:
    """Claims in a journal."""

    journal: Journal
    fingerprints: Fingerprints
    steps: NextSteps

    @property
    def remembers(self) -> bool:
        """See ``Claims``."""
        return True

    async def secure(self, works: Sequence[Work], now: datetime) -> Secured:
        """See ``Claims``."""
        await self._ask_of_unread(works, now)
        asked = _Asked()
        for work in works:
            self._ask(work, asked)
        finished: list[tuple[Work, Outcome]] = []
        if asked.intents:
            claims = await self.journal.claim(asked.intents, now)
            early = False
            for work, intent, claim in zip(asked.claiming, asked.intents, claims, strict=True):
                if isinstance(claim, Held) and work.returned is not None:
                    early = True
                elif (outcome := self._apply(work, intent, claim)) is not None:
                    finished.append((work, outcome))
            if early:
                raise JournalUnavailable("a dispatch was given back before the journal knew that it was sent")
        if asked.amendments:
            claims = await self.journal.amend(asked.amendments, now)
            for work, amendment, claim in zip(asked.amending, asked.amendments, claims, strict=True):
                self._apply_amended(work, amendment, claim)
        if not finished:
            return Secured(works, finished)
        known = {id(work) for work, _ in finished}
        return Secured([work for work in works if id(work) not in known], finished)

    async def _ask_of_unread(self, works: Sequence[Work], now: datetime) -> None:
        """Have read what was to die unread, if its id is known: the payment may not die of a worker's end.

        Where it may not be read any more, its dead letter says what the journal knows of it.
        """
        crashed = [
            (work, work.step, work.payment_id)
            for work in works
            if work.decoded is None and isinstance(work.step, ToDead) and isinstance(work.step.error, Crashed)
        ]
        if not crashed:
            return
        found = await self.journal.find([payment_id or "" for _, _, payment_id in crashed], now)
        for (work, step, payment_id), known in zip(crashed, found, strict=True):
            if known is not None and work.unread is not None:
                work.unread()
            elif known is not None:
                sent = known.dispatch_id and f", with dispatch {known.dispatch_id} for {known.processor}"
                error = Crashed(f"; the journal knows {payment_id} as {known.state}{sent or ''}")
                work.step = replace(step, error=error)

    def _ask(self, work: Work, asked: _Asked) -> None:
        """Add what the payment's next step needs: a claim at first, an amendment for another processor."""
        step = work.step
        dispatch = work.prepare(step.candidate) if isinstance(step, ToProcessor) else None
        if not work.claimed:
            intent = self._intent(work, dispatch)
            if intent is not None:
                asked.claiming.append(work)
                asked.intents.append(intent)
        elif dispatch is not None and work.intended != dispatch.dispatch_id:
            intent = self._intent(work, dispatch)
            if intent is None or work.intended is None or work.failure is None:
                raise InvariantViolation("a payment goes on to another processor without a refusal")
            asked.amending.append(work)
            asked.amendments.append(Amendment(work.intended, work.failure.code, intent))

    def _intent(self, work: Work, dispatch: Dispatch | None) -> Intent | None:
        """Return what is about to be done, or None where no payment could be read."""
        decoded, charged = work.decoded, work.charged
        if decoded is None or charged is None:
            return None
        plan, arrival = work.plan, work.arrival
        return Intent(
            decoded.payment.payment_id,
            self.fingerprints.of(decoded.canonical),
            arrival.attempt,
            arrival.redrives,
            charged.currency,
            charged.scale,
            charged.gross,
            charged.net,
            charged.gross - charged.net,
            None if plan is None else plan.rule,
            "" if plan is None else plan.rules_version,
            work.trace.trace_id,
            *_where(work, dispatch),
            work.orphaned,
            work.returned,
            carrying=None if dispatch is None else work.carrying(),
        )

    def _apply(self, work: Work, intent: Intent, claim: Claim) -> Outcome | None:
        """Take the journal's answer; returns what the payment came to where nothing is to be sent."""
        match claim:
            case New():
                work.claimed, work.intended = True, intent.dispatch_id
                if claim.charged is not None:
                    work.recharge(claim.charged)
            case Resume():
                work.claimed, work.intended = True, claim.dispatch_id
                work.resume(
                    Dispatch(
                        claim.dispatch_id, claim.processor, claim.exchange, claim.routing_key, claim.body,
                        claim.rule, claim.rules_version, claim.priority,
                    )
                )  # fmt: skip
            case Done():
                return Duplicate(claim.processor, claim.dispatch_id)
            case Held():
                error = ClaimedElsewhere(f"another worker has it, at most {claim.seconds:g} s more")
                self._delay(work, error.code)
            case Conflict():
                self._die(
                    work,
                    IdempotencyConflict(
                        f"payment id {intent.payment_id} is taken by another payment: the journal has it with"
                        f" fingerprint {claim.known}, this one has {claim.found}; a repeat must be the same"
                        " payment in every member, and another payment needs an id of its own"
                    ),
                )
            case Unfit():
                self._die(work, claim.error)
            case _:
                assert_never(claim)
        return None

    def _apply_amended(self, work: Work, amendment: Amendment, claim: Claim) -> None:
        match claim:
            case New():
                work.intended = amendment.intent.dispatch_id
            case Held():  # its first processor may have it after all: nobody else may get it now
                self._delay(work, amendment.code)
            case Unfit():
                self._die(work, claim.error)
            case _:
                raise InvariantViolation(f"the journal answered an amendment with {type(claim).__name__}")

    def _delay(self, work: Work, code: str) -> None:
        work.failure = work.attempt(rfc3339(self.steps.now()), code)
        work.step = self.steps.after_last_try(work)

    def _die(self, work: Work, error: PermanentError) -> None:
        failure = work.attempt(rfc3339(self.steps.now()), error.code)
        work.step = ToDead(error, (*work.arrival.attempts, failure))

    async def record(self, finished: Sequence[tuple[Work, Outcome]], now: datetime) -> bool:
        """See ``Claims``."""
        endings = [
            _ending(work, outcome)
            for work, outcome in finished
            if not isinstance(outcome, Duplicate | SetAside)  # nothing has changed about these
        ]
        if endings:
            await self.journal.record(endings, now)
        return True


def _where(work: Work, dispatch: Dispatch | None) -> _Where:
    """Return an intent's members from ``candidate`` to ``priority``."""
    if dispatch is None or not isinstance(work.step, ToProcessor):
        return (1, None, None, None, None, None, None)
    return (
        work.step.candidate + 1, dispatch.processor, dispatch.exchange, dispatch.routing_key,
        dispatch.dispatch_id, dispatch.body, dispatch.priority,
    )  # fmt: skip


def _ending(work: Work, outcome: Outcome) -> Ending:
    state, dispatch_id, code = State.DISPATCHED, work.intended, None
    match outcome:
        case Dispatched():
            dispatch_id = outcome.dispatch_id
        case Delayed():
            state, code = State.DELAYED, outcome.code
        case DeadLettered():
            code = outcome.error.code
            state = State.HELD if code == HeldForReview.code else State.DEAD_LETTERED
        case Duplicate() | SetAside() | Released():
            raise InvariantViolation(f"a payment that is {outcome.name} has no ending to record")
        case _:
            assert_never(outcome)
    arrival, trace_id = work.arrival, work.trace.trace_id
    ending = Ending(
        state, work.payment_id, dispatch_id, code, arrival.attempt, trace_id, work.claimed, arrival.redrives
    )
    if work.claimed or (charged := work.charged) is None:
        return ending
    return ending._replace(currency=charged.currency, scale=charged.scale, gross=charged.gross)
