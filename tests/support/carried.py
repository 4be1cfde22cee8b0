"""Intents with fees that are rounded by carry, as the worker makes them."""

from typing import Any

from tests.support.journals import intent
from tests.support.payments import NOW, RULES, body, rule_table
from worker.codec import decode
from worker.journal.protocol import Intent
from worker.planning import Planner


def planner(name: str = "processing", percent: str = "2.75", rounding: str = "carry") -> Planner:
    """A planner whose fees have a minimum, a maximum and remainders."""
    components = [
        {"name": name, "percent": percent, "minimum": {"EUR": "0.01"}, "maximum": {"EUR": "0.20"}},
        {"name": "scheme", "percent": "0.3"},
    ]
    fees = {"standard": {"rounding": rounding, "components": components}}
    return Planner(rule_table({**RULES, "fees": fees}))


def carried(payment_id: str, value: str, plan: Planner, **changes: Any) -> Intent:
    """An intent as the worker makes it, by the rules of a planner."""
    decoded = decode(
        body(payment_id=payment_id, amount={"value": value, "currency": "EUR"}),
        "application/json",
        None,
        10_000,
    )
    planned = plan.plan(decoded, NOW)
    dispatch, charged = planned.dispatch(0), planned.charged
    return intent(
        payment_id, dispatch.processor, text=payment_id, currency="EUR", scale=charged.scale,
        gross=charged.gross, net=charged.net, fees=charged.gross - charged.net, body=dispatch.body,
        carrying=planned.carrying, **changes,
    )  # fmt: skip
