"""A condition that the rule language does not have."""

from datetime import UTC, datetime

from pydantic import Field

from worker.plugins import Arguments, Payment


class OddHoursArguments(Arguments):
    """From which hour until which a payment is unusual, in UTC."""

    begins: int = Field(default=0, ge=0, le=23)
    ends: int = Field(default=5, ge=1, le=24)


class OddHours:
    """Holds for payments that were created in unusual hours, whenever they are routed."""

    arguments = OddHoursArguments
    deadline_seconds = 0.2

    def __init__(self, arguments: OddHoursArguments) -> None:
        self._hours = range(arguments.begins, arguments.ends)

    def holds(self, payment: Payment, now: datetime) -> bool:  # noqa: ARG002 - this one needs no clock
        """Return whether the hour of creation is one of the unusual ones."""
        return datetime.fromisoformat(payment.created_at).astimezone(UTC).hour in self._hours
