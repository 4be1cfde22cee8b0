"""A message of the dead-letter queue, as far as it can be read: another program may have put it there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas import dead_letter as names
from schemas.dead_letter import Attempt
from worker.amqp.lane import Properties
from worker.amqp.wire import Delivery
from worker.codec import amount_hint
from worker.envelope import Arrival, read_past
from worker.errors import MalformedProperties

NO_CODE: Final = "(none)"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter. ``amount`` is a currency and units of 10^-12, where the body has one.

    ``problem`` says why its properties cannot be read; they count as absent then.
    """

    delivery: Delivery
    properties: Properties
    arrival: Arrival
    payment_id: str | None
    code: str
    message: str
    dead_at: datetime | None
    amount: tuple[str, int] | None
    problem: str | None = None

    @property
    def letter_id(self) -> str:
        """What this letter alone is known by: the message id that its publish had."""
        return self.properties.message_id or ""

    @property
    def name(self) -> str:
        """What people call it by: the payment's id, or the letter's own where that could not be read."""
        return self.payment_id or self.letter_id or "(no id)"

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts that failed, oldest first."""
        return self.arrival.attempts

    @property
    def processors(self) -> frozenset[str]:
        """The processors that an attempt failed at."""
        return frozenset(attempt.processor for attempt in self.attempts if attempt.processor)


def read_letter(delivery: Delivery) -> DeadLetter:
    """Read a dead letter; raises nothing, since whoever looks for trouble needs to see all of it."""
    problem, properties = None, Properties()
    headers: dict[str, Any] = {}
    try:
        properties = delivery.properties
        headers = dict(properties.headers)
    except MalformedProperties as error:
        problem, properties = str(error), Properties()
    return DeadLetter(
        delivery,
        properties,
        read_past(headers),
        _text(headers.get(names.PAYMENT_ID)),
        _text(headers.get(names.ERROR_CODE)) or NO_CODE,
        _text(headers.get(names.ERROR_MESSAGE)) or "",
        read_moment(headers.get(names.DEAD_AT)),
        amount_hint(delivery.body),
        problem,
    )


def read_moment(value: object) -> datetime | None:
    """Return an RFC 3339 header's moment; None for anything else."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
