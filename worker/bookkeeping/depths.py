"""The journal's counts against the depths of the broker's queues.

Both move while workers run. So depths are read before and after the audit, and the two may differ by as much
as happened meanwhile and is in workers' hands; when nothing moves, not at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiormq.abc import AbstractConnection

from worker.amqp.declaring import look_at
from worker.amqp.topology import Names
from worker.bookkeeping.audit import Audit, Place
from worker.journal.entries import Happening


@dataclass(frozen=True, slots=True)
class Depths:
    """How many messages wait in the worker's queues, and how many consume from the queues of work."""

    incoming: int
    consumers: int
    crashed: int
    delayed: int
    dead: int


async def read_depths(connection: AbstractConnection, names: Names, delays: Sequence[float]) -> Depths:
    """Read the depths of the worker's queues.

    Raises:
        TopologyMismatch: one is missing.
        AccessRefused: the user may not look at them.
    """
    work = [await look_at(connection, queue) for queue in names.work]
    others = [(await look_at(connection, name))[0] for name in (names.crashed, names.dead)]
    delayed = [(await look_at(connection, names.delay(step)))[0] for step in delays]
    waiting, consumers = (sum(counts) for counts in zip(*work, strict=True))
    return Depths(waiting, consumers, others[0], sum(delayed), others[1])


class Comparison(NamedTuple):
    """What should be in a place by the journal, and what is there; ``problem`` is None where they agree."""

    place: Place
    journal: int
    broker: int
    problem: str | None = None


def compare(
    audit: Audit, before: Depths, after: Depths, moved: int, a_message: int = 1
) -> Iterator[Comparison]:
    """Compare counts of an audit with depths from before and after it.

    ``moved`` is how many entries were added to the history meanwhile, ``a_message`` how many payments one
    message in the queue of work may carry.
    """
    at_hand = audit.count(Place.IN_FLIGHT)
    slack = moved + at_hand
    back = max(before.incoming, after.incoming) + max(before.crashed, after.crashed)
    delayed = audit.count(Place.DELAYED)
    least, most = sorted((before.delayed, after.delayed))
    problem = None
    if least > delayed + audit.late[Happening.DELAYED] + slack:
        problem = "the delay queues have payments that the journal does not know to be delayed"
    elif delayed > most + back + slack:
        problem = "payments that are delayed are in no delay queue, nor back in the queue of work"
    yield Comparison(Place.DELAYED, delayed, after.delayed, problem)

    dead = audit.count(Place.DEAD_LETTERED) + audit.count(Place.HELD)
    unclaimed = audit.unread + audit.count(Place.UNCLAIMED)
    others = unclaimed + audit.late[Happening.DEAD_LETTERED] + audit.late[Happening.HELD]
    least, most = sorted((before.dead, after.dead))
    problem = None
    if least > dead + others + slack:
        problem = "the dead-letter queue has letters that the journal does not know"
    elif dead > most + back + slack:
        problem = MISSING_LETTERS
    yield Comparison(Place.DEAD_LETTERED, dead + unclaimed, after.dead, problem)

    if before.consumers == after.consumers == 0:
        lost = at_hand - len(audit.crashed) > back * a_message + moved
        problem = "payments that no worker holds any more are not in the queue of work" if lost else None
        yield Comparison(Place.IN_FLIGHT, at_hand, back, problem)


MISSING_LETTERS = "dead letters are in the dead-letter queue no longer, nor back in the queue of work"
