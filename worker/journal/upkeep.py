"""What operators do with a journal, beside the workers that use it: look at it, migrate it, prune it."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, Protocol


class Status(NamedTuple):
    """How a journal is. ``version`` is its tables', 0 where there are none.

    ``bytes_free``, inside it, is None where that is not known. Counts are None where the version is not the
    one that is needed. ``unpublished`` are the entries of the history that no publisher has passed yet, None
    where there never was a publisher.
    """

    version: int
    needed: int
    bytes_used: int
    bytes_free: int | None
    payments: int | None = None
    oldest: datetime | None = None
    unpublished: int | None = None


class Pruned(NamedTuple):
    """What one slice of pruning took away, and how many payments it has looked at."""

    payments: int
    looked_at: int


class Upkeep(Protocol):
    """An operator's way to a journal."""

    def status(self) -> Status:
        """Return how the journal is; a busy journal is not held up."""

    def migrate(self) -> tuple[int, int]:
        """Bring the tables to this program's version; return the version before and after.

        Two that do so at once do not collide: one waits for the other, and then has nothing to do.
        """

    def prune(self, before: datetime, *, dead_letters: bool) -> Iterator[Pruned]:
        """Forget payments that were dispatched before a time, and their history, a slice at a time.

        ``dead_letters``: those that were dead-lettered or held as well. A payment that is in hand or delayed
        stays, as does one of whose events a publisher still has to tell.
        """

    def close(self) -> None:
        """Let go of the journal."""
