"""Notices a consumer that the broker has lost: messages wait, there is room, and none comes. Pure."""

from dataclasses import dataclass
from typing import Final

WATCH_SECONDS: Final = 5.0
"""Between two looks; two in a row decide."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A look at a queue: what waits, who consumes it, what it has delivered to us, and if we have room."""

    ready: int
    consumers: int
    delivered: int
    room: bool


@dataclass(slots=True)
class Watchdog:
    """Compares each look with the one before. ``standby``: another's consumer may be the only active one."""

    standby: bool
    _before: Sight | None = None

    def look(self, sight: Sight) -> str | None:
        """Return why the consumer must be gone, or None."""
        before, self._before = self._before, sight
        if before is None or not (self._starves(before) and self._starves(sight)):
            return None
        if sight.delivered != before.delivered:
            return None
        return (
            f"{sight.ready} messages wait, and none was delivered for {WATCH_SECONDS:g} s although there is"
            f" room: the broker knows of {sight.consumers} consumers, and ours is not among them"
        )

    def _starves(self, sight: Sight) -> bool:
        return sight.ready > 0 and sight.room and (not self.standby or sight.consumers == 0)
