"""Short ways to a rule table and a payment."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from schemas.payment import Payment
from schemas.rules import RuleDocument
from worker.routing import RuleTable, compile_rules

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    """A Wednesday noon."""
    return NOW


@pytest.fixture
def pay() -> Callable[..., Payment]:
    """Make a payment; ``amount`` is text such as '10.00 EUR'."""

    def make(amount: str = "10.00 EUR", **fields: Any) -> Payment:
        value, _, currency = amount.partition(" ")
        base = {
            "payment_id": "pay-1",
            "type": "card",
            "amount": {"value": value, "currency": currency},
            "merchant_id": "merchant-1",
            "created_at": "2026-01-07T12:00:00Z",
        }
        return Payment.model_validate({**base, **fields})

    return make


@pytest.fixture
def table_of() -> Callable[..., RuleTable]:
    """Compile a table of rules as the document holds them; the processors are p, q and r unless given."""

    def make(*rules: dict[str, Any], **document: Any) -> RuleTable:
        base: dict[str, Any] = {
            "version": 1,
            "processors": {"p": {}, "q": {}, "r": {}},
            "rules": list(rules),
            "default": {"reject": {"code": "none_matched"}},
        }
        return compile_rules(RuleDocument.model_validate({**base, **document}), "test")

    return make


@pytest.fixture
def decides(table_of, now) -> Callable[[dict[str, Any], Payment], bool]:
    """Tell whether a condition holds for a payment, asked of a compiled table."""

    def ask(when: dict[str, Any], payment: Payment, at: datetime = now, **document: Any) -> bool:
        table = table_of({"name": "asked", "when": when, "route": {"to": "p"}}, **document)
        return table.route(payment, at).rule == "asked"

    return ask


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Write a rule file and return its path."""

    def make(text: str, name: str = "rules.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return make
