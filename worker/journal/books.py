"""What can be read in a journal, beside the workers that write it."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple, Protocol

from worker.journal.changes import Carried
from worker.journal.entries import Entry, Happening
from worker.journal.protocol import Charged
from worker.journal.states import State
from worker.money import Carry

DISPATCH_ID: Final = re.compile(r"[0-9a-f]{32}")
"""What a dispatch's id looks like."""


class Standing(NamedTuple):
    """Where one payment stands; amounts are integers at ``scale``, times milliseconds since 1970."""

    payment_id: str
    fingerprint: str
    state: State
    attempt: int
    redrives: int
    pinned: bool
    owner: str
    lease_until: int
    currency: str
    scale: int
    gross: int
    net: int
    fees: int
    rule: str | None
    rules_version: str
    candidate: int
    processor: str | None
    exchange: str | None
    routing_key: str | None
    dispatch_id: str | None
    priority: int | None
    body: bytes | None
    code: str | None
    trace_id: str | None
    trail: str | None
    created: int
    changed: int
    duplicates: int


class Page(NamedTuple):
    """Everything that the books have about one payment, for auditors.

    ``charged`` is what carry made of the amounts when it was charged with ``keys``, and ``carried`` how that
    changed remainders. Bodies are None unless they were asked for.
    """

    standing: Standing
    entries: Sequence[Entry]
    charged: Charged | None
    keys: Sequence[str]
    carried: Sequence[Carried]


class Kept(NamedTuple):
    """The remainder kept for a key, and how much of it is of payments that were pruned since."""

    remainder: Carry
    pruned: Fraction


class Dimension(StrEnum):
    """What the history can be counted by; an hour is counted since 1970."""

    PROCESSOR = "processor"
    RULE = "rule"
    CURRENCY = "currency"
    CODE = "code"
    HOUR = "hour"


class Total(NamedTuple):
    """Entries that are alike: a value for each dimension, and their amounts together at ``scale``.

    Without amounts, ``scale`` is None.
    """

    values: tuple[str | int | None, ...]
    happening: Happening
    scale: int | None
    entries: int
    gross: int
    net: int
    fees: int


class Books(Protocol):
    """The read side. Every answer is of one moment; workers go on writing meanwhile.

    Raises JournalUnavailable and JournalCorrupt where it cannot be read.
    """

    def at_one_moment(self) -> AbstractContextManager[None]:
        """Let all answers within the block be of the same moment."""

    def find(self, name: str) -> Standing | None:
        """Return the payment of this id, or else the one with a dispatch of this id.

        Payments are found by an index. Dispatches have none, which would double what a claim writes: all
        payments are looked through, for what can be a dispatch's id.
        """

    def neighbours(self, name: str, count: int) -> Sequence[str]:
        """Return at most so many payment ids before and after a name, by their characters' code points."""

    def states(self, payment_ids: Collection[str]) -> Mapping[str, State]:
        """Return the state of each of these payments that the journal knows."""

    def standings(self, payment_ids: Collection[str]) -> Mapping[str, Standing]:
        """Return where each of these payments that the journal knows stands, without its body."""

    def dispatched_to(
        self, processor: str, since: int | None = None, until: int | None = None
    ) -> Iterator[Standing]:
        """Yield what is dispatched to a processor, confirmed since and before these times; as ``pages``."""

    def processors(self) -> Collection[str]:
        """Return the processors that anything was ever about to go to."""

    def history(self, payment_id: str) -> Sequence[Entry]:
        """Return a payment's entries, oldest first."""

    def pages(self, *, bodies: bool = False) -> Iterator[Page]:
        """Yield every payment's page, in memory only a few of them at a time.

        All of them are of one moment only ``at_one_moment``.
        """

    def size(self) -> int:
        """Return the number of payments, readable or not: ``pages`` leaves out rows that lead nowhere."""

    def strays(self) -> Iterator[Entry]:
        """Yield the entries of deliveries that held no claim, oldest first; as ``pages`` does."""

    def last_number(self) -> int:
        """Return the number of the newest entry, 0 where there is none."""

    def totals(
        self, by: Sequence[Dimension], since: int | None = None, until: int | None = None
    ) -> Iterator[Total]:
        """Add up the entries that ended since and before these times; those of strays, too."""

    def remainders(self) -> Mapping[str, Kept]:
        """Return the remainder of every key."""

    def close(self) -> None:
        """Let go; a second time does nothing."""
