"""Bodies as producers write them, and the rule file that routes them on a real broker."""

import json
from pathlib import Path
from typing import Any

RULES = """\
version: 1
processors:
  alpha: {{exchange: "{prefix}.proc.alpha", health: {{minimum_payments: 1000}}}}
  beta: {{exchange: "{prefix}.proc.beta", health: {{minimum_payments: 1000}}}}
fees:
  standard:
    components:
      - {{name: processing, percent: "2.9", fixed: {{EUR: "0.30", JPY: "30", KWD: "0.100"}}}}
    when_fee_exceeds: clamp
  micro:
    components:
      - {{name: processing, percent: "5"}}
rules:
  - name: cards
    when: {{type: card}}
    route: {{to: alpha, fees: standard}}
  - name: wallets
    when: {{type: wallet}}
    route: {{to: alpha, fallback: [beta], fees: micro}}
  - name: vouchers
    when: {{type: voucher}}
    route: {{to: alpha}}
default:
  reject: {{code: no_route, reason: no rule covers this payment}}
"""
"""Cards go to alpha alone, wallets to alpha or else beta, vouchers to alpha without fees; others nowhere.

Breakers open only after many failures, so that tests meet them where they mean to.
"""


def write_rules(path: Path, prefix: str, text: str = RULES) -> Path:
    """Write the rule file with exchanges that no other test has."""
    path.write_text(text.format(prefix=prefix))
    return path


def payment_fields(payment_id: str = "pay-1", value: Any = "12.34", currency: Any = "EUR") -> dict[str, Any]:
    """The members of a good card payment."""
    return {
        "payment_id": payment_id,
        "type": "card",
        "amount": {"value": value, "currency": currency},
        "merchant_id": "studio-aurora",
        "created_at": "2026-11-24T12:00:00Z",
    }


def payment(payment_id: str = "pay-1", value: Any = "12.34", currency: Any = "EUR", **more: Any) -> bytes:
    """A good card payment as JSON, with members added or replaced."""
    return json.dumps({**payment_fields(payment_id, value, currency), **more}).encode()
