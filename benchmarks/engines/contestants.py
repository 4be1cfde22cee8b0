"""Rule engines given the same rules, each in the form that its own documents recommend.

- ours: the compiled table.
- rule-engine: one ``Rule`` a rule, ``matches`` in order until one does.
- zen-engine: one JDM decision table with hit policy first, ``create_decision`` once, ``evaluate`` a payment.
- common-expression-language (Rust): every expression compiled once, ``execute`` in order until one is true.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.engines.rule_set import Wanted
from schemas.payment import Payment
from schemas.rules import RuleDocument
from worker.routing import RuleTable, compile_rules

PROCESSORS = ("aurora", "borealis", "cascade", "dusk")


def as_payment(raw: dict[str, Any]) -> Payment:
    return Payment.model_validate(
        {
            "payment_id": raw["payment_id"],
            "type": raw["type"],
            "amount": {"value": f"{raw['amount']}.00", "currency": raw["currency"]},
            "merchant_id": raw["merchant"],
            "country": raw["country"],
            "created_at": "2026-01-07T12:00:00Z",
        }
    )


def ours(rules: Sequence[Wanted]) -> RuleTable:
    document = {
        "version": 1,
        "processors": {name: {} for name in PROCESSORS},
        "rules": [
            {
                "name": rule.name,
                "when": {
                    "type": rule.type,
                    "currency": rule.currency,
                    "country": list(rule.countries),
                    "amount": {"gte": str(rule.low), "lt": str(rule.high)},
                    **({"merchant_id": rule.merchant} if rule.merchant else {}),
                },
                "route": {"to": PROCESSORS[i % len(PROCESSORS)]},
            }
            for i, rule in enumerate(rules)
        ],
        "default": {"reject": {"code": "no_route"}},
    }
    return compile_rules(RuleDocument.model_validate(document), "benchmark")


Engine = Callable[[dict[str, Any]], str | None]


def rule_engine(rules: Sequence[Wanted]) -> Engine:
    import rule_engine as library

    def text(rule: Wanted) -> str:
        countries = ", ".join(f'"{country}"' for country in rule.countries)
        merchant = f' and merchant == "{rule.merchant}"' if rule.merchant else ""
        return (
            f'type == "{rule.type}" and currency == "{rule.currency}" and country in [{countries}]'
            f"{merchant} and amount >= {rule.low} and amount < {rule.high}"
        )

    compiled = [(rule.name, library.Rule(text(rule))) for rule in rules]

    def decide(payment: dict[str, Any]) -> str | None:
        return next((name for name, rule in compiled if rule.matches(payment)), None)

    return decide


def zen_engine(rules: Sequence[Wanted]) -> Engine:
    import zen

    fields = ("type", "currency", "country", "merchant", "amount")
    table = {
        "hitPolicy": "first",
        "inputs": [{"id": field, "name": field, "field": field, "type": "expression"} for field in fields],
        "outputs": [{"id": "rule", "name": "rule", "field": "rule", "type": "expression"}],
        "rules": [
            {
                "_id": rule.name,
                "type": f'"{rule.type}"',
                "currency": f'"{rule.currency}"',
                "country": ", ".join(f'"{country}"' for country in rule.countries),
                "merchant": f'"{rule.merchant}"' if rule.merchant else "",
                "amount": f"[{rule.low}..{rule.high})",
                "rule": f'"{rule.name}"',
            }
            for rule in rules
        ],
    }
    graph = {
        "nodes": [
            {"id": "in", "name": "in", "type": "inputNode"},
            {"id": "table", "name": "table", "type": "decisionTableNode", "content": table},
            {"id": "out", "name": "out", "type": "outputNode"},
        ],
        "edges": [
            {"id": "1", "type": "edge", "sourceId": "in", "targetId": "table"},
            {"id": "2", "type": "edge", "sourceId": "table", "targetId": "out"},
        ],
    }
    decision = zen.ZenEngine().create_decision(json.dumps(graph))

    def decide(payment: dict[str, Any]) -> str | None:
        result: str | None = decision.evaluate(payment)["result"].get("rule")
        return result

    return decide


def cel(rules: Sequence[Wanted]) -> Engine:
    import cel as library

    def text(rule: Wanted) -> str:
        countries = ", ".join(f'"{country}"' for country in rule.countries)
        merchant = f' && merchant == "{rule.merchant}"' if rule.merchant else ""
        return (
            f'kind == "{rule.type}" && currency == "{rule.currency}" && country in [{countries}]'
            f"{merchant} && amount >= {rule.low} && amount < {rule.high}"
        )

    compiled = [(rule.name, library.compile(text(rule))) for rule in rules]

    def decide(payment: dict[str, Any]) -> str | None:
        context = library.Context(variables={**payment, "kind": payment["type"]})
        return next((name for name, program in compiled if program.execute(context)), None)

    return decide
