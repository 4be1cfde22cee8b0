"""What a claim, an amendment or an ending means for a payment that the journal knows. Pure.

Times are milliseconds since 1970. A lease only spares repeats: where clocks jump and a live worker's claim is
taken over, the same bytes go to the same processor twice, under the same dispatch id.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, NamedTuple

from worker.errors import JournalCorrupt, SecondDispatch
from worker.journal.protocol import Amendment, Charged, Done, Ending, Held, Intent, Resume
from worker.journal.states import State, check_transition

SHORTEST_HOLD_SECONDS: Final = 0.1


class Known(NamedTuple):
    """What the journal knows of a payment, its body apart.

    ``pinned``: this dispatch may have been sent by a worker that is gone, so no other one ever is.
    ``charged`` is what carry made of the amounts, with the remainders of ``keys``.
    """

    payment_id: str
    fingerprint: bytes
    state: State
    attempt: int
    redrives: int
    pinned: bool
    owner: str
    lease_until: int
    rule: str | None
    rules_version: str
    candidate: int
    processor: str | None
    exchange: str | None
    routing_key: str | None
    dispatch_id: str | None
    priority: int | None
    charged: Charged | None = None
    keys: tuple[str, ...] = ()

    def done(self) -> Done:
        """Return what a repeat is told."""
        return Done(self.state, self.processor, self.dispatch_id)

    def resume(self, body: bytes | None) -> Resume:
        """Return the intent to be sent again, with its bytes.

        Raises:
            JournalCorrupt: there are none.
        """
        processor, exchange, routing_key = self.processor, self.exchange, self.routing_key
        if (
            processor is None
            or exchange is None
            or routing_key is None
            or self.dispatch_id is None
            or not body
        ):
            raise JournalCorrupt(
                f"payment {self.payment_id} has an intent without all that is needed to send it"
            )
        return Resume(
            processor, exchange, routing_key, self.dispatch_id, body, self.priority, self.candidate,
            self.rule or "", self.rules_version,
        )  # fmt: skip


class Change(Enum):
    """What happens to a known payment."""

    NOTHING = auto()
    DUPLICATE = auto()
    CONFLICT = auto()
    RESUME = auto()
    REPLACE = auto()
    END = auto()
    STRAY = auto()


def on_claim(known: Known, intent: Intent, now: int) -> Change | Held:
    """Decide what a delivery of a known payment is, or for how long a live worker holds the payment."""
    if known.fingerprint != intent.fingerprint:
        return Change.CONFLICT
    given_back = intent.returned is not None and intent.returned == known.dispatch_id
    if not given_back and _is_behind(known, intent):
        return Change.DUPLICATE
    if known.state is State.CLAIMED and now < known.lease_until and (given_back or not intent.redelivered):
        return _held(known, now)  # given back: its confirm is about to be recorded by the worker that sent it
    if given_back or known.dispatch_id is None:
        return Change.REPLACE
    return Change.RESUME if known.pinned or known.state is State.CLAIMED else Change.REPLACE


def _is_behind(known: Known, intent: Intent) -> bool:
    """Whether the payment has left the place that this delivery is from: its successor is confirmed."""
    turn, known_turn = (intent.redrives, intent.attempt), (known.redrives, known.attempt)
    if known.state is State.CLAIMED:
        return turn < known_turn
    return known.state is State.DISPATCHED or turn <= known_turn


def on_amend(known: Known, amendment: Amendment, owner: str, now: int) -> Change | Held:
    """Decide whether the next candidate may have a payment: only its owner's, and only if all was refused."""
    mine = known.state is State.CLAIMED and known.owner == owner and known.dispatch_id == amendment.refused
    return Change.REPLACE if mine and not known.pinned else _held(known, now)


def on_record(known: Known, ending: Ending, owner: str, was_intent: Callable[[str, str], bool]) -> Change:
    """Decide what an ending changes: a confirmed dispatch is a fact, everything else is for the owner to say.

    ``was_intent`` tells whether a payment, by its id, once had the intent of a dispatch id.

    Raises:
        SecondDispatch: something was dispatched that was no intent.
        IllegalTransition: the ending may not follow the state.
    """
    if ending.state is State.DISPATCHED:
        if ending.dispatch_id != known.dispatch_id:
            if was_intent(known.payment_id, ending.dispatch_id or ""):
                return Change.STRAY  # its processor has given it back meanwhile
            raise SecondDispatch(
                f"payment {known.payment_id}: dispatch {ending.dispatch_id} was confirmed,"
                f" but its intent is {known.dispatch_id}"
            )
        if known.state is State.DISPATCHED:
            return Change.NOTHING
    elif known.state is not State.CLAIMED or (
        (known.owner, known.redrives, known.attempt, known.dispatch_id)
        != (owner, ending.redrives, ending.attempt, ending.dispatch_id)
    ):
        return Change.STRAY  # in other hands meanwhile, or in the same ones by another delivery
    check_transition(known.payment_id, known.state, ending.state)
    return Change.END


def _held(known: Known, now: int) -> Held:
    return Held(max((known.lease_until - now) / 1000, SHORTEST_HOLD_SECONDS))
