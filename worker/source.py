"""The queues that a worker takes payments from, and what a message's place says about it."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from worker.amqp.lane import Delivery
from worker.amqp.topology import Names
from worker.settings import Settings

SUSPECT_AFTER: Final = 2
"""So many sessions that ended with a message in hand make it one that may have ended them."""
UNREAD_AFTER: Final = 5
"""After so many with a message alone in hand it is not read any more, whatever is known of its payment."""
FORGIVEN: Final = 10
REMEMBERED: Final = 1000
_COUNT: Final = "x-delivery-count"  # quorum queues write how often a message has come back


@dataclass(frozen=True, slots=True)
class Source:
    """One queue. Only what comes through the exchange ``returns`` has a past.

    ``exchange`` is where producers publish. ``return_to`` is the queue that delayed payments come back to.
    Messages under the routing key ``given_back`` are dispatches that a processor gave back, to the queue
    ``returned``. ``aside`` is the key under which suspects are set aside; None where they are already, and
    each has to be taken alone. ``ordered_by`` is the member of payments whose value keeps an order; where the
    queue is one that does, it is ``in_order``.
    """

    queue: str
    exchange: str
    returns: str
    return_to: str
    returned: str
    aside: str | None = None
    given_back: str | None = None
    ordered_by: str | None = None
    in_order: bool = False


def names_of(settings: Settings) -> Names:
    """Return the names of the worker's objects; for an order, one shard is a queue of its own too."""
    ordered = settings.ordered_by is not None
    shards = settings.shards if settings.shards > 1 or ordered else 0
    return Names(settings.prefix, shards, settings.retired_shards, ordered)


def sources_of(names: Names, ordered_by: str | None = None) -> tuple[list[Source], Source, Source]:
    """Return the queues of work, the one of dispatches given back, and the one of what was set aside.

    A shard's delayed payments come back to it; those of the queue beside the shards come to the shards.
    """
    incoming, returned, crashed = names.incoming, names.returned, names.crashed
    common = (names.exchange, names.returns)
    work = [
        Source(
            queue, *common, names.back if queue == incoming else queue, returned, names.aside(queue),
            ordered_by=ordered_by, in_order=ordered_by is not None and queue != incoming,
        )
        for queue in names.work
    ]  # fmt: skip
    given_back = names.aside(returned)
    return (
        work,
        Source(returned, *common, names.back, returned, given_back, returned, ordered_by),
        Source(crashed, *common, crashed, returned, None, given_back, ordered_by),
    )


def times_in_hand(delivery: Delivery, headers: Mapping[str, Any]) -> int:
    """Return how many sessions have ended with the message in hand: 0 for most, 1 at least for a redelivery.

    A producer's header of that name says nothing: the broker writes its own over it when it delivers again.
    """
    if not delivery.redelivered:
        return 0
    count = headers.get(_COUNT)
    return count if type(count) is int and count > 0 else 1


@dataclass(slots=True)
class Survivals:
    """How often this process has taken a message alone and lived on: then it was not what ended the session.

    A message is forgiven so many sessions and no more, since it may end them without killing the process.
    """

    _times: OrderedDict[tuple[str | None, int], int] = field(default_factory=OrderedDict)

    def take(self, delivery: Delivery, message_id: str | None) -> int:
        """Note that a message is taken, and return how often it was before, at most ``FORGIVEN``."""
        key = (message_id, hash(delivery.body))
        times = self._times.pop(key, 0)
        self._times[key] = times + 1
        if len(self._times) > REMEMBERED:
            self._times.popitem(last=False)
        return min(times, FORGIVEN)
