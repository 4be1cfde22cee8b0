"""Amounts of any scale made comparable. Pure."""

from worker.money import MAX_SCALE
from worker.money.text import POWERS


def worth(units: int, scale: int) -> int:
    """Return an amount in units of 10^-12."""
    return units * POWERS[MAX_SCALE - scale]
