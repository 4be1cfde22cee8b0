"""Whether a payment's history is one that the table of transitions allows. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from worker.journal.entries import Entry, Happening
from worker.journal.states import TRANSITIONS, State

_AFTER: Final = {
    Happening.DISPATCHED: State.DISPATCHED,
    Happening.DELAYED: State.DELAYED,
    Happening.HELD: State.HELD,
    Happening.DEAD_LETTERED: State.DEAD_LETTERED,
    Happening.RETURNED: State.RETURNED,
    Happening.REFUSED: State.CLAIMED,
    Happening.ABANDONED: State.CLAIMED,
}
"""The state after an entry; a duplicate changes none."""


def wrong_steps(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield what may not follow in a history, oldest first."""
    state = State.CLAIMED
    for entry in entries:
        after = _AFTER.get(entry.happening)
        if after is None:
            continue
        if not _may_follow(state, after):
            yield f"{entry.happening} follows {state} in its history (entry {entry.number})"
        state = after


def last_entry(entries: Sequence[Entry]) -> Entry | None:
    """Return the entry that ended the newest claim that has ended, None where none has."""
    return next((entry for entry in reversed(entries) if entry.happening in _AFTER), None)


def leads_to(last: Entry | None, state: State) -> bool:
    """Whether a payment whose history ends so may be in a state."""
    if last is None:
        return state is State.CLAIMED
    after = _AFTER[last.happening]
    return state is after or (state is State.CLAIMED and State.CLAIMED in TRANSITIONS[after])


def _may_follow(before: State, after: State) -> bool:
    """Whether an entry may follow: claims between two entries have none of their own."""
    allowed = TRANSITIONS[before]
    return after in allowed or (State.CLAIMED in allowed and after in TRANSITIONS[State.CLAIMED])
