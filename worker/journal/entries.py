"""The journal's history: what happened to a payment, one entry for each time it was in a worker's hands."""

from enum import StrEnum
from typing import NamedTuple


class Happening(StrEnum):
    """How a claim ended, or what came of a delivery that got none."""

    DISPATCHED = "dispatched"
    DELAYED = "delayed"
    HELD = "held"
    DEAD_LETTERED = "dead_lettered"
    RETURNED = "returned"
    REFUSED = "refused"
    """A processor definitely refused it: the next candidate's claim follows."""
    ABANDONED = "abandoned"
    """Its worker is gone: another has taken it over."""
    DUPLICATE = "duplicate"
    """A repeat of a payment that is where it belongs already."""


class Entry(NamedTuple):
    """One entry of the history; amounts are integers at ``scale``, times milliseconds since 1970.

    ``began`` is when the claim was made that ended at ``ended``. ``claimed`` is False where the delivery held
    no claim: neither what it came to nor its amounts are those of the payment of that id. ``body`` is the
    intent's.
    """

    number: int
    happening: Happening
    payment_id: str | None
    claimed: bool
    attempt: int
    code: str | None
    trace_id: str | None
    owner: str
    began: int
    ended: int
    currency: str | None = None
    scale: int | None = None
    gross: int | None = None
    net: int | None = None
    fees: int | None = None
    rule: str | None = None
    rules_version: str | None = None
    candidate: int | None = None
    processor: str | None = None
    dispatch_id: str | None = None
    body: bytes | None = None
