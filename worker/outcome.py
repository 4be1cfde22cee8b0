"""What became of a payment in a worker's hands: a closed union, matched with ``assert_never``."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from worker.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Dispatched:
    """One processor's exchange has confirmed it."""

    name: ClassVar[str] = "dispatched"
    processor: str
    dispatch_id: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The journal knows the payment to be where it belongs: ``dispatch_id`` at ``processor``, or neither."""

    name: ClassVar[str] = "duplicate"
    processor: str | None
    dispatch_id: str | None


@dataclass(frozen=True, slots=True)
class Delayed:
    """A delay queue has confirmed it; it comes back after ``seconds``."""

    name: ClassVar[str] = "delayed"
    seconds: float
    code: str


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """The dead-letter queue has confirmed it, with a reason."""

    name: ClassVar[str] = "dead_lettered"
    error: PermanentError


@dataclass(frozen=True, slots=True)
class SetAside:
    """The queue of what may crash the worker has confirmed it, after ``crashes`` sessions ended over it."""

    name: ClassVar[str] = "set_aside"
    crashes: int


@dataclass(frozen=True, slots=True)
class Released:
    """Left unacknowledged, because nobody knows what became of its publish: the broker delivers it again."""

    name: ClassVar[str] = "released"
    reason: str


Outcome: TypeAlias = Dispatched | Duplicate | Delayed | DeadLettered | Released | SetAside
