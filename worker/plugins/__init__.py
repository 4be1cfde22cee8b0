"""Plugins: what their authors import, and how the worker finds, binds and calls them."""

from schemas.payment import Payment
from worker.errors import MissingRate, StaleRate
from worker.money import Amount, Currency, Rate
from worker.plugins.api import (
    DEFAULT_DEADLINE_SECONDS,
    DEFAULT_READY_SECONDS,
    MAX_DEADLINE_SECONDS,
    MAX_READY_SECONDS,
    Arguments,
    FeeSchedule,
    Predicate,
    RateProvider,
    Step,
)
from worker.routing.answers import Continue, Reject, Retry, StepResult

__all__ = [
    "DEFAULT_DEADLINE_SECONDS",
    "DEFAULT_READY_SECONDS",
    "MAX_DEADLINE_SECONDS",
    "MAX_READY_SECONDS",
    "Amount",
    "Arguments",
    "Continue",
    "Currency",
    "FeeSchedule",
    "MissingRate",
    "Payment",
    "Predicate",
    "Rate",
    "RateProvider",
    "Reject",
    "Retry",
    "StaleRate",
    "Step",
    "StepResult",
]
