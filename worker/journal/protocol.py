"""What the pipeline asks of a journal, batch-wise, and what it is told.

``claim`` before anything is sent, ``amend`` when a processor has definitely refused, ``record`` before a
delivery is acknowledged. Each is one transaction, committed to disk when it returns. One dispatch id is one
processor is one body, and an intent that may have been sent is never replaced by another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from worker.errors import PermanentError
from worker.journal.states import State
from worker.money import Carry


class Charged(NamedTuple):
    """What a payment is charged once carry has rounded it: gross and net at ``scale``, fees in minor units.

    ``trail`` is each rounding as the JSON array of ``RoundingStep.as_dict``.
    """

    gross: int
    net: int
    scale: int
    fees: tuple[int, ...]
    trail: str


class Carrying(Protocol):
    """Fees that are rounded with what earlier payments left over, inside the claim's transaction. Pure."""

    @property
    def keys(self) -> tuple[str, ...]:
        """A key for each fee's remainder: account, schedule, fee and currency."""

    def charge(self, carries: Sequence[Carry]) -> tuple[Charged, Sequence[Carry]]:
        """Round with the remainders kept so far, in the order of ``keys``; return those to keep.

        Raises:
            PermanentError: the payment cannot be charged so.
        """

    def body(self, charged: Charged) -> bytes:
        """Return the dispatch's bytes with these amounts."""


class Intent(NamedTuple):
    """What is about to be done for one delivery of a payment.

    Amounts are integers at ``scale``, and ``gross == net + fees``. ``dispatch_id`` and what follows it up to
    ``priority`` are None where nothing is dispatched: the payment is about to be dead-lettered or held. With
    ``carrying``, ``body`` and the amounts are what they would be without remainders: the claim decides.

    ``attempt`` and ``redrives`` count how often we sent the payment back to ourselves, through a delay queue
    and from the dead letters: a delivery that is behind the journal's count is a leftover of a message whose
    replacement was confirmed. ``redelivered`` is the broker's word that whoever had it before is gone.
    ``returned`` is the dispatch id that a processor gave back.
    """

    payment_id: str
    fingerprint: bytes
    attempt: int
    redrives: int
    currency: str
    scale: int
    gross: int
    net: int
    fees: int
    rule: str | None
    rules_version: str
    trace_id: str | None
    candidate: int = 1
    processor: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    dispatch_id: str | None = None
    body: bytes | None = None
    priority: int | None = None
    redelivered: bool = False
    returned: str | None = None
    carrying: Carrying | None = None


class Amendment(NamedTuple):
    """The next candidate's intent, after the dispatch id ``refused`` was definitely refused with ``code``."""

    refused: str
    code: str
    intent: Intent


@dataclass(frozen=True, slots=True)
class New:
    """Nobody has sent it: send this intent. ``charged`` is what carry made of the amounts."""

    charged: Charged | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """An earlier intent may have been sent: these bytes go to this processor, and nothing to another one.

    If the processor refuses, the payment is delayed or dead-lettered: there is no next candidate.
    """

    processor: str
    exchange: str
    routing_key: str
    dispatch_id: str
    body: bytes
    priority: int | None
    candidate: int
    rule: str
    rules_version: str


@dataclass(frozen=True, slots=True)
class Done:
    """Where a payment is. To a claim: a duplicate, it is there already, and can be acknowledged."""

    state: State
    processor: str | None
    dispatch_id: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """A live worker has it, at most for ``seconds`` more: come back later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another payment has this id: dead-letter as ``idempotency_conflict``, naming both fingerprints."""

    known: str
    found: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """It cannot be charged with the remainders kept: dead-letter with this error."""

    error: PermanentError


NEW: Final = New()
Claim: TypeAlias = New | Resume | Done | Held | Conflict | Unfit


Way: TypeAlias = tuple[Any, ...]
"""What journals keep once for all payments that are alike: the members ``WAY`` of an intent."""
WAY: Final = (
    "currency",
    "scale",
    "rule",
    "rules_version",
    "candidate",
    "processor",
    "exchange",
    "routing_key",
    "priority",
)
way_of: Final = itemgetter(*map(Intent._fields.index, WAY))


class Ending(NamedTuple):
    """What a delivery came to, once the broker has confirmed it: the delivery is about to be acknowledged.

    ``claimed`` is False for a dead letter whose delivery holds no claim: an id that is unreadable or in
    conflict. ``dispatch_id`` is the intent's, and for ``dispatched`` what was dispatched; ``code`` is why
    nothing was. ``attempt`` and ``redrives`` are those of the delivery. ``gross``, at ``scale``, is what a
    dead letter without a claim is about, where that could be read: no row of the journal has it.
    """

    state: State
    payment_id: str | None
    dispatch_id: str | None = None
    code: str | None = None
    attempt: int = 1
    trace_id: str | None = None
    claimed: bool = True
    redrives: int = 0
    currency: str | None = None
    scale: int | None = None
    gross: int | None = None

    @property
    def way(self) -> Way | None:
        """The way of an intent that goes nowhere, for a dead letter without a claim; see ``WAY``."""
        if self.currency is None or self.scale is None or self.gross is None:
            return None
        return (self.currency, self.scale, None, "", 1, None, None, None, None)


class Journal(Protocol):
    """The memory of payments, for many batches at once; several processes may share what is behind it."""

    @property
    def fingerprint_key(self) -> bytes:
        """The key that was made with the journal, for fingerprints where the settings name none."""

    async def claim(self, intents: Sequence[Intent], now: datetime) -> Sequence[Claim]:
        """Put intents on disk, and answer for each, in the same order, what is to be done.

        Raises:
            JournalUnavailable: nothing was claimed.
        """

    async def amend(self, amendments: Sequence[Amendment], now: datetime) -> Sequence[Claim]:
        """Replace intents that were definitely refused.

        ``New``: send it. ``Held``: another worker has taken the claim over, or the refused dispatch may have
        been sent before by one that is gone; nothing may be sent to another processor.

        Raises:
            JournalUnavailable: nothing was amended.
        """

    async def record(self, endings: Sequence[Ending], now: datetime) -> None:
        """Put on disk where deliveries ended, before they are acknowledged.

        Raises:
            JournalUnavailable: nothing was recorded, and nothing may be acknowledged.
            IllegalTransition: a bug of ours.
        """

    async def find(self, payment_ids: Sequence[str], now: datetime) -> Sequence[Done | None]:
        """Return where payments are by their ids alone, in the same order; None for one that is not known.

        Raises:
            JournalUnavailable: nobody knows.
        """

    async def close(self) -> None:
        """Finish what was asked and let go; a second time does nothing."""
