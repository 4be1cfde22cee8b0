"""Steps: one that looks into a list, and one that asks a service."""

import asyncio
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from pydantic import Field

from worker.plugins import Arguments, Continue, Payment, Reject, StepResult


class BlockedCustomersArguments(Arguments):
    """Where the list is: one customer a line."""

    file: str


class BlockedCustomers:
    """Rejects payments by customers on a list; the list is read when rules are loaded."""

    arguments = BlockedCustomersArguments

    def __init__(self, arguments: BlockedCustomersArguments) -> None:
        self._blocked = frozenset(Path(arguments.file).read_text(encoding="utf-8").split())

    def check(self, payment: Payment, now: datetime) -> StepResult:  # noqa: ARG002
        """Reject a payment whose customer is on the list."""
        if payment.customer_id in self._blocked:
            return Reject("customer_blocked", "the customer is on the list of blocked customers")
        return Continue()


class RiskScoreArguments(Arguments):
    """How the score is made."""

    salt: str = "1"
    milliseconds: int = Field(default=1, ge=0, le=1000, description="how long the pretended service takes")


class RiskScore:
    """Adds a risk score from 0 to 99, as a service would give it; rules read it as ``metadata.STEP.score``.

    The score depends on nothing but the payment: asked again, after a crash, the answer is the same.
    """

    arguments = RiskScoreArguments
    deadline_seconds = 2.0

    def __init__(self, arguments: RiskScoreArguments) -> None:
        self._arguments = arguments

    async def check(self, payment: Payment, now: datetime) -> StepResult:  # noqa: ARG002
        """Add the score."""
        await asyncio.sleep(self._arguments.milliseconds / 1000)  # a request over the network, in reality
        digest = sha256(f"{self._arguments.salt}/{payment.customer_id}".encode()).digest()
        return Continue({"score": digest[0] % 100})
