"""Payments and small rule tables for tests."""

from datetime import UTC, datetime
from typing import Any

import orjson

from schemas.rules import RuleDocument
from worker.routing import RuleTable, compile_rules

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

RULES: dict[str, Any] = {
    "version": 1,
    "processors": {"alpha": {"exchange": "alpha"}, "beta": {"exchange": "beta"}},
    "fees": {
        "standard": {"components": [{"name": "processing", "percent": "2.9", "fixed": {"EUR": "0.25"}}]}
    },
    "rules": [
        {
            "name": "euros",
            "when": {"currency": "EUR"},
            "route": {"to": "alpha", "fallback": ["beta"], "fees": "standard"},
        },
        {"name": "dollars", "when": {"currency": "USD"}, "route": {"to": "beta"}},
        {"name": "pounds", "when": {"currency": "GBP"}, "route": {"hold": "look at it"}},
        {
            "name": "francs",
            "when": {"currency": "CHF"},
            "route": {"reject": {"code": "no_francs", "reason": "not here"}},
        },
    ],
    "default": {"reject": {"code": "no_route", "reason": "no rule covers this payment"}},
}


def rule_table(document: dict[str, Any] | None = None, version: str = "v1") -> RuleTable:
    """Compile a rule document."""
    return compile_rules(RuleDocument.model_validate(document or RULES), version)


def payment(**changes: Any) -> dict[str, Any]:
    """A good payment; ``value`` and ``currency`` change its amount."""
    amount = {"value": changes.pop("value", "10.00"), "currency": changes.pop("currency", "EUR")}
    return {
        "payment_id": "pay-1",
        "type": "card",
        "amount": amount,
        "merchant_id": "studio",
        "created_at": "2026-11-24T12:00:00Z",
        **changes,
    }


def body(**changes: Any) -> bytes:
    """A good payment's bytes."""
    return orjson.dumps(payment(**changes))
