"""Which acknowledgements to send, so that most are one frame for many deliveries. Pure."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.errors import InvariantViolation


@dataclass(slots=True)
class _Runs:
    """Whole numbers, kept as runs that touch neither one another nor anything before them."""

    _firsts: list[int] = field(default_factory=list)
    _lasts: list[int] = field(default_factory=list)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number) - 1
        return place >= 0 and number <= self._lasts[place]

    def __len__(self) -> int:
        return len(self._firsts)

    @property
    def numbers(self) -> int:
        """How many numbers the runs have together."""
        return sum(self._lasts) - sum(self._firsts) + len(self)

    def add(self, number: int) -> None:
        """Add a number that is not in yet; runs that it joins become one."""
        place = bisect_right(self._firsts, number)  # of the run behind it
        joins_before = place > 0 and self._lasts[place - 1] == number - 1
        joins_behind = place < len(self._firsts) and self._firsts[place] == number + 1
        if joins_before and joins_behind:
            self._lasts[place - 1] = self._lasts[place]
            del self._firsts[place], self._lasts[place]
        elif joins_before:
            self._lasts[place - 1] = number
        elif joins_behind:
            self._firsts[place] = number
        else:
            self._firsts.insert(place, number)
            self._lasts.insert(place, number)

    def pop_from(self, first: int) -> int | None:
        """Remove the lowest run if it begins at ``first``, and return its last number."""
        if not self._firsts or self._firsts[0] != first:
            return None
        del self._firsts[0]
        return self._lasts.pop(0)


@dataclass(slots=True)
class Watermark:
    """The settled delivery tags of one channel.

    Tags count from 1 without gaps, up to ``delivered``. Everything up to ``low`` is settled; ``_above`` has
    settled tags beyond a gap. They wait for the gap to close, so that one multiple ack covers them, until
    more than ``patience`` wait: then they are acknowledged one by one, lest one slow payment fill the window.
    Those are remembered as runs, at most one for each delivery in flight, however long a gap stays open.
    """

    patience: int
    low: int = 0
    delivered: int = 0
    _above: set[int] = field(default_factory=set)
    _acked_above: _Runs = field(default_factory=_Runs)

    @property
    def remembered(self) -> int:
        """How many tags, and runs of tags, are kept beyond the gap."""
        return len(self._above) + len(self._acked_above)

    @property
    def waits(self) -> bool:
        """Whether something settled is not acknowledged yet."""
        return bool(self._above)

    @property
    def unacknowledged(self) -> int:
        """How many deliveries the broker waits to hear of."""
        return self.delivered - self.low - self._acked_above.numbers

    def deliver(self, tag: int) -> None:
        """Note that the broker has delivered everything up to ``tag``."""
        self.delivered = max(self.delivered, tag)

    def settle(self, tags: Iterable[int]) -> list[tuple[int, bool]]:
        """Return the acks to send now, as (delivery tag, multiple).

        Raises:
            InvariantViolation: a tag is settled twice, or was never delivered.
        """
        above, acked_above = self._above, self._acked_above
        for tag in tags:
            if tag <= self.low or tag in above or tag in acked_above:
                raise InvariantViolation(
                    f"delivery tag {tag} is settled twice"
                    if tag > 0
                    else f"delivery tag {tag} is settled, but tags count from 1"
                )
            if tag > self.delivered:
                raise InvariantViolation(
                    f"delivery tag {tag} is settled, but the channel has delivered only {self.delivered}"
                )
            above.add(tag)
        acks: list[tuple[int, bool]] = []
        highest = self._advance()
        if highest:
            acks.append((highest, True))
        if len(above) > self.patience:
            acks += self.flush()
        return acks

    def flush(self) -> list[tuple[int, bool]]:
        """Return acks for everything settled that still waits for a gap to close."""
        waiting = sorted(self._above)
        for tag in waiting:
            self._acked_above.add(tag)
        self._above.clear()
        return [(tag, False) for tag in waiting]

    def _advance(self) -> int:
        """Move ``low`` over what is settled; return the highest tag on the way that still needs an ack."""
        highest = 0
        while True:
            tag = self.low + 1
            if tag in self._above:
                self._above.discard(tag)
                self.low = highest = tag
            elif (last := self._acked_above.pop_from(tag)) is not None:
                self.low = last
            else:
                return highest
