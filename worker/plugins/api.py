"""What a plugin is: a class with typed arguments and one method, named by an entry point.

The worker makes one object for each distinct use in the rules and calls it for many payments, a method
without ``async`` from several threads at once. Every method may be ``async``. A class may set ``arguments``,
a pydantic model, ``deadline_seconds`` for each call and ``ready_seconds`` for ``__init__``.
"""

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict

from schemas.payment import Payment
from worker.money import Amount, Currency, Rate
from worker.routing.answers import StepResult

DEFAULT_DEADLINE_SECONDS: Final = 1.0
"""How long one call may take where the class does not say."""
MAX_DEADLINE_SECONDS: Final = 30.0
"""How long one call may take at most: a payment in a worker's hands cannot wait for ever."""

DEFAULT_READY_SECONDS: Final = 5.0
"""How long ``__init__`` may take where the class does not say."""
MAX_READY_SECONDS: Final = 60.0
"""How long it may take at most: the start and a change of the rules wait for it."""


class Arguments(BaseModel):
    """Base of a plugin's arguments: immutable, no conversions, unknown names refused.

    Used as it is, it means that there are no arguments.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Predicate(Protocol):
    """A condition in code: ``when: {plugin: {name: {argument: value}}}``."""

    def holds(self, payment: Payment, now: datetime) -> bool | Awaitable[bool]:
        """Return whether the condition holds for the payment; ``now`` is the time of routing."""


class Step(Protocol):
    """Looks at a payment before the rules do."""

    def check(self, payment: Payment, now: datetime) -> StepResult | Awaitable[StepResult]:
        """Return ``Continue(add)``, ``Reject(code, reason)`` or ``Retry(reason)``."""


class FeeSchedule(Protocol):
    """Knows what a payment is charged."""

    def fees(self, payment: Payment, amount: Amount) -> Mapping[str, int] | Awaitable[Mapping[str, int]]:
        """Return a dict of fees by name in minor units of the amount's currency, integers of zero or more."""


class RateProvider(Protocol):
    """Knows exchange rates."""

    def rate(self, base: Currency, quote: Currency, now: datetime) -> Rate | Awaitable[Rate]:
        """Return how many ``quote`` one ``base`` is worth, exactly; raise ``MissingRate`` if unknown."""
