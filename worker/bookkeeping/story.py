"""The whole story of one payment, as the journal has it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, assert_never

from worker.bookkeeping.roundings import Steps, fees_of, kept_steps
from worker.errors import Crashed
from worker.journal.books import Books, Standing
from worker.journal.entries import Entry
from worker.journal.states import State
from worker.journal.times import moment

_NEIGHBOURS: Final = 50


@dataclass(frozen=True, slots=True)
class Story:
    """A payment's row and its history; no row where no delivery of it was ever claimed.

    ``fees`` are those of the dispatch, as JSON has them; ``steps`` is how they were rounded, if known.
    """

    payment_id: str
    standing: Standing | None
    history: Sequence[Entry]
    fees: Sequence[dict[str, Any]]
    steps: Steps = ()


def read_story(books: Books, name: str) -> Story | None:
    """Return the story of a payment, by its own id or that of one of its dispatches."""
    with books.at_one_moment():
        standing = books.find(name)
        payment_id = name if standing is None else standing.payment_id
        history = books.history(payment_id)
    if standing is None:
        return Story(payment_id, None, history, ()) if history else None
    return Story(payment_id, standing, history, fees_of(standing), kept_steps(standing))


def nearest(books: Books, name: str) -> str | None:
    """Return the known payment id that looks most like a name, of those that begin like it."""
    near = get_close_matches(name, books.neighbours(name, _NEIGHBOURS), n=1, cutoff=0.75)
    return near[0] if near else None


def where(standing: Standing, now: int, history: Sequence[Entry] = ()) -> str:
    """Say where a payment is at ``now``, in milliseconds since 1970, by its row and its history."""
    since = moment_text(standing.changed)
    match standing.state:
        case State.DISPATCHED:
            return f"at {standing.processor}: its exchange {standing.exchange} confirmed it {since}"
        case State.DELAYED:
            turn = standing.attempt + 1
            return f"in a delay queue since {since} ({standing.code}); it comes back as attempt {turn}"
        case State.DEAD_LETTERED | State.HELD:
            held = "held for a person " if standing.state is State.HELD else ""
            return (
                f"{held}among the dead letters since {since} ({standing.code});"
                f" payment-worker dead-letters show {standing.payment_id}"
            )
        case State.CLAIMED | State.RETURNED:
            to = "" if standing.processor is None else f", about to go to {standing.processor}"
            if now < standing.lease_until:
                return f"in the hands of worker {standing.owner} since {since}{to}"
            crashed = [one for one in history if not one.claimed and one.code == Crashed.code]
            if crashed and crashed[-1].ended >= standing.changed:
                to = "" if standing.processor is None else f" {standing.processor} may have it;"
                return (
                    f"claimed {since}; its message ended its workers and is among the dead letters since"
                    f" {moment_text(crashed[-1].ended)} (crashed).{to} a redrive goes on from there;"
                    f" payment-worker dead-letters show {standing.payment_id}"
                )
            return (
                f"claimed {since} by worker {standing.owner}{to}; that worker is gone or slow:"
                " the broker delivers the payment again"
            )
        case _:
            assert_never(standing.state)


def moment_text(at: int) -> str:
    """Return milliseconds since 1970 as people read them, in UTC."""
    text = moment(at).isoformat(" ", "milliseconds")
    return f"{text.removesuffix('+00:00')}Z"
