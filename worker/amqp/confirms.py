"""Which publishes the broker has answered, and how. Pure.

Publishes on a channel count from 1. The broker confirms or refuses them one by one or many at once, in any
order, and returns what it cannot route before it confirms it. A batch is answered when each of its publishes
is; only then does its owner learn the outcomes.
"""

from collections import deque
from collections.abc import Callable, Sequence

from worker.amqp.lane import CONFIRMED, Confirmation, Refused, Unknown
from worker.errors import PublishRefused, Unroutable, WireError

NACKED = Refused(PublishRefused.code, "the broker answered with a nack")


class Batch:
    """Publishes with consecutive numbers from ``first`` on. ``answered`` is called once, when all are."""

    __slots__ = ("_answered", "_missing", "first", "last", "message_ids", "outcomes", "seen")

    def __init__(self, first: int, message_ids: Sequence[str], answered: Callable[[], None]) -> None:
        self.first = first
        self.last = first + len(message_ids) - 1
        self.message_ids = message_ids
        self.outcomes: list[Confirmation] = [CONFIRMED] * len(message_ids)
        self.seen = bytearray(len(message_ids))
        self._missing = len(message_ids)
        self._answered = answered

    @property
    def done(self) -> bool:
        """Whether every publish has its answer."""
        return not self._missing

    def answer(self, number: int, outcome: Confirmation | None) -> None:
        """Note the answer to one publish; None leaves what a return has said, or confirmed."""
        place = number - self.first
        if self.seen[place]:
            return
        self.seen[place] = 1
        if outcome is not None and self.outcomes[place] is CONFIRMED:
            self.outcomes[place] = outcome
        self._missing -= 1
        if not self._missing:
            self._answered()

    def answer_up_to(self, number: int, outcome: Confirmation | None) -> None:
        """Note one answer to every publish up to a number that has none yet."""
        if number >= self.last and outcome is None and self._missing:
            self._missing = 0
            self._answered()
            return
        for one in range(self.first, min(number, self.last) + 1):
            self.answer(one, outcome)


class Confirms:
    """The outstanding publishes of one channel."""

    __slots__ = ("_batches", "_by_message_id", "_next")

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._by_message_id: dict[str, tuple[Batch, int]] = {}
        self._next = 1

    @property
    def outstanding(self) -> int:
        """How many publishes lie between the oldest without an answer and the newest."""
        return self._next - self._batches[0].first if self._batches else 0

    def in_flight(self, message_id: str) -> bool:
        """Whether a publish with this message id has no answer: another could not be told apart from it."""
        return message_id in self._by_message_id

    def publish(self, message_ids: Sequence[str], answered: Callable[[], None]) -> Batch:
        """Number the next publishes. Their message ids are unique among those in flight."""
        batch = Batch(self._next, message_ids, answered)
        self._next += len(message_ids)
        self._batches.append(batch)
        for number, message_id in enumerate(message_ids, start=batch.first):
            self._by_message_id[message_id] = (batch, number)
        return batch

    def confirm(self, number: int, multiple: bool, stored: bool) -> None:
        """Take an ack (``stored``) or a nack for one publish or, ``multiple``, for all up to it.

        Raises:
            WireError: nothing was published under this number.
        """
        if number >= self._next:
            raise WireError(
                f"the broker confirms publish {number}, but only {self._next - 1} were sent; the session ends"
            )
        outcome = None if stored else NACKED
        for batch in self._batches:
            if batch.first > number:
                break
            if multiple:
                batch.answer_up_to(number, outcome)
            elif number <= batch.last:
                batch.answer(number, outcome)
                break
        self._forget_answered()

    def returned(self, message_id: str | None, reason: str) -> None:
        """Take a return: its publish is refused, whatever confirm follows.

        Raises:
            WireError: no publish in flight has this message id.
        """
        found = self._by_message_id.get(message_id or "")
        if found is None:
            raise WireError(f"the broker returns {message_id!r}, which is not in flight; the session ends")
        batch, number = found
        batch.outcomes[number - batch.first] = Refused(Unroutable.code, f"returned by the broker: {reason}")

    def fail(self, reason: str) -> None:
        """Give every publish that has no answer an unknown outcome; also one that was returned."""
        for batch in self._batches:
            for place, seen in enumerate(batch.seen):
                if not seen and not batch.done:
                    batch.outcomes[place] = Unknown(reason)
            batch.answer_up_to(batch.last, None)
        self._forget_answered()

    def _forget_answered(self) -> None:
        while self._batches and self._batches[0].done:
            for message_id in self._batches.popleft().message_ids:
                del self._by_message_id[message_id]
