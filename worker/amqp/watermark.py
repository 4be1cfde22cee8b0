"""Which acknowledgements to send, so that most are one frame for many deliveries. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.errors import InvariantViolation


@dataclass(slots=True)
class Watermark:
    """The settled delivery tags of one channel.

    Tags count from 1 without gaps. Everything up to ``low`` is settled; ``_above`` has settled tags beyond a
    gap. They wait for the gap to close, so that one multiple ack covers them, until more than ``patience``
    wait: then they are acknowledged one by one, lest one slow payment fill the window.
    """

    patience: int
    low: int = 0
    _above: set[int] = field(default_factory=set)
    _acked_above: set[int] = field(default_factory=set)

    def settle(self, tags: Iterable[int]) -> list[tuple[int, bool]]:
        """Return the acks to send now, as (delivery tag, multiple).

        Raises:
            InvariantViolation: a tag is settled twice.
        """
        for tag in tags:
            if tag <= self.low or tag in self._above or tag in self._acked_above:
                raise InvariantViolation(f"delivery tag {tag} is settled twice")
            self._above.add(tag)
        acks: list[tuple[int, bool]] = []
        highest = self._advance()
        if highest:
            acks.append((highest, True))
        if len(self._above) > self.patience:
            acks += self.flush()
        return acks

    def flush(self) -> list[tuple[int, bool]]:
        """Return acks for everything settled that still waits for a gap to close."""
        acks = [(tag, False) for tag in sorted(self._above)]
        self._acked_above |= self._above
        self._above.clear()
        return acks

    def _advance(self) -> int:
        """Move ``low`` over what is settled; return the highest tag on the way that still needs an ack."""
        highest = 0
        while True:
            tag = self.low + 1
            if tag in self._above:
                self._above.discard(tag)
                highest = tag
            elif tag in self._acked_above:
                self._acked_above.discard(tag)
            else:
                return highest
            self.low = tag
