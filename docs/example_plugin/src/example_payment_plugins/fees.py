"""Fees that depend on more than the amount."""

from pydantic import Field

from worker.plugins import Amount, Arguments, Payment


class LoyaltyArguments(Arguments):
    """What a payment costs in basis points (hundredths of a percent) by the customer's level."""

    basis_points: int = Field(ge=0, le=10_000)
    discount_by_level: int = Field(default=0, ge=0, le=10_000, description="basis points off for each level")


class Loyalty:
    """Charges customers of a higher level less. Integers only: half a minor unit or more counts as one."""

    arguments = LoyaltyArguments

    def __init__(self, arguments: LoyaltyArguments) -> None:
        self._arguments = arguments

    def fees(self, payment: Payment, amount: Amount) -> dict[str, int]:
        """Return the one fee in minor units; ``amount`` may have more decimals than its currency."""
        level = payment.metadata.get("level", 0)
        points = self._arguments.basis_points
        if isinstance(level, int) and level > 0:
            points = max(0, points - level * self._arguments.discount_by_level)
        whole = 10_000 * 10 ** (amount.scale - amount.currency.exponent)
        return {"service": (amount.units * points * 2 + whole) // (2 * whole)}
