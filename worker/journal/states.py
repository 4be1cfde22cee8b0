"""The states of a payment in the journal, and which may follow which. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from worker.errors import IllegalTransition


class State(StrEnum):
    """Where a payment is. All but ``claimed`` are where a delivery of it ended."""

    CLAIMED = "claimed"
    DISPATCHED = "dispatched"
    DELAYED = "delayed"
    HELD = "held"
    DEAD_LETTERED = "dead_lettered"
    RETURNED = "returned"


TRANSITIONS: Final[Mapping[State, frozenset[State]]] = MappingProxyType(
    {
        # claimed again: resumed by another worker, or amended to the next candidate
        State.CLAIMED: frozenset(
            {State.CLAIMED, State.DISPATCHED, State.DELAYED, State.HELD, State.DEAD_LETTERED}
        ),
        # dispatched though delayed or dead: the late confirm of a worker whose claim another had taken over
        State.DELAYED: frozenset({State.CLAIMED, State.DISPATCHED}),
        State.HELD: frozenset({State.CLAIMED, State.DISPATCHED}),
        State.DEAD_LETTERED: frozenset({State.CLAIMED, State.DISPATCHED}),
        State.DISPATCHED: frozenset({State.RETURNED}),
        State.RETURNED: frozenset({State.CLAIMED}),
    }
)


def check_transition(payment_id: str, before: State, after: State) -> None:
    """Refuse what may not follow.

    Raises:
        IllegalTransition: a bug of ours.
    """
    if after not in TRANSITIONS[before]:
        allowed = ", ".join(sorted(TRANSITIONS[before]))
        raise IllegalTransition(
            f"payment {payment_id}: {after} may not follow {before}, which only {allowed} may"
        )
