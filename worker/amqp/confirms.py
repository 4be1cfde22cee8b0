"""Which publishes the broker has answered, and how. Pure.

Publishes on a channel count from 1. The broker confirms or refuses them one by one or many at once, in any
order, and returns what it cannot route before it confirms it. A batch is answered when each of its publishes
is; only then does its owner learn the outcomes.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from worker.amqp.lane import CONFIRMED, Confirmation, Refused, Unknown
from worker.errors import PublishRefused, Unroutable, WireError

NACKED: Final = Refused(PublishRefused.code, "the broker answered with a nack")


class Batch:
    """Publishes with consecutive numbers from ``first`` to ``last``; ``answered`` is called once all are.

    ``outcomes`` stand for what the broker has said only when the batch is done.
    """

    __slots__ = ("_answered", "_low", "_missing", "_seen", "first", "last", "message_ids", "outcomes")

    def __init__(self, first: int, message_ids: Sequence[str], answered: Callable[[], None]) -> None:
        count = len(message_ids)
        self.first: Final = first
        self.last: Final = first + count - 1
        self.message_ids: Final = message_ids
        self.outcomes: Final[list[Confirmation]] = [CONFIRMED] * count
        self._seen: Final = bytearray(count)
        self._low = 0  # every place before it is seen
        self._missing = count
        self._answered = answered

    @property
    def done(self) -> bool:
        """Whether every publish has its answer."""
        return not self._missing

    def has_answer(self, number: int) -> bool:
        """Whether the publish has its answer."""
        return not self._missing or bool(self._seen[number - self.first])

    def refuse(self, number: int, outcome: Refused) -> None:
        """Note why a publish is refused; its answer is still to come."""
        self.outcomes[number - self.first] = outcome

    def answer(self, number: int, outcome: Confirmation | None) -> None:
        """Note the answer to one publish; None leaves what a return has said, or confirmed."""
        place = number - self.first
        if not self._missing or self._seen[place]:
            return
        self._seen[place] = 1
        if outcome is not None and self.outcomes[place] is CONFIRMED:
            self.outcomes[place] = outcome
        self._missing -= 1
        if not self._missing:
            self._answered()

    def answer_up_to(self, number: int, outcome: Confirmation | None) -> None:
        """Note one answer to every publish up to a number that has none yet.

        However the broker parts its answers, no place is looked at twice.
        """
        if not self._missing:
            return
        if number >= self.last and outcome is None:
            self._missing = 0
            self._answered()
            return
        stop = min(number, self.last) + 1
        for one in range(self.first + self._low, stop):
            self.answer(one, outcome)
        self._low = max(self._low, stop - self.first)

    def give_up(self, unknown: Unknown) -> None:
        """Give every publish without an answer an unknown outcome; also one that was returned."""
        if not self._missing:
            return
        for place, seen in enumerate(self._seen):
            if not seen:
                self.outcomes[place] = unknown
        self._missing = 0
        self._answered()


class Confirms:
    """The outstanding publishes of one channel."""

    __slots__ = ("_batches", "_by_message_id", "_next")

    def __init__(self) -> None:
        self._batches: Final[deque[Batch]] = deque()
        self._by_message_id: Final[dict[str, tuple[Batch, int]]] = {}
        self._next = 1

    @property
    def outstanding(self) -> int:
        """How many publishes lie between the oldest without an answer and the newest."""
        return self._next - self._batches[0].first if self._batches else 0

    def any_in_flight(self, message_ids: Iterable[str]) -> bool:
        """Whether a publish with one of these ids is remembered: another could not be told apart from it."""
        return not self._by_message_id.keys().isdisjoint(message_ids)

    def publish(self, message_ids: Sequence[str], answered: Callable[[], None]) -> Batch:
        """Number the next publishes, one at least. Their message ids are unique among those in flight."""
        first = self._next
        batch = Batch(first, message_ids, answered)
        self._next = first + len(message_ids)
        self._batches.append(batch)
        for number, message_id in enumerate(message_ids, start=first):
            self._by_message_id[message_id] = (batch, number)
        return batch

    def confirm(self, number: int, multiple: bool, stored: bool) -> None:
        """Take an ack (``stored``) or a nack for one publish or, ``multiple``, for all up to it.

        Raises:
            WireError: nothing was published under this number.
        """
        if not 0 < number < self._next:
            raise WireError(
                f"the broker confirms publish {number}, but only {self._next - 1} were sent; the session ends"
            )
        outcome = None if stored else NACKED
        batches = self._batches
        for batch in batches:
            if batch.first > number:
                break
            if multiple:
                batch.answer_up_to(number, outcome)
            elif number <= batch.last:
                batch.answer(number, outcome)
                break
        while batches and batches[0].done:
            self._forget(batches.popleft())

    def returned(self, message_id: str | None, reason: str) -> None:
        """Take a return: its publish is refused, whatever confirm follows.

        Raises:
            WireError: no publish in flight has this message id, or it has its answer already.
        """
        found = self._by_message_id.get(message_id or "")
        if found is None or found[0].has_answer(found[1]):
            raise WireError(f"the broker returns {message_id!r}, which is not in flight; the session ends")
        batch, number = found
        batch.refuse(number, Refused(Unroutable.code, f"returned by the broker: {reason}"))

    def fail(self, reason: str, *, again: bool = False) -> None:
        """Give every publish that has no answer an unknown outcome; see ``Unknown`` for ``again``."""
        unknown = Unknown(reason, again)
        while self._batches:
            batch = self._batches.popleft()
            self._forget(batch)
            batch.give_up(unknown)

    def _forget(self, batch: Batch) -> None:
        for message_id in batch.message_ids:
            del self._by_message_id[message_id]
