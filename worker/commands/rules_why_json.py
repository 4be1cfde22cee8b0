"""An explanation as plain data: what ``rules explain --json`` says."""

from typing import Any

from worker.routing import Held, Rejected, Routed
from worker.routing.explain import Explanation
from worker.routing.price import Price
from worker.routing.simulate import destination_of


def as_dict(found: Explanation) -> dict[str, Any]:
    """Return the explanation as plain data."""
    decision = found.decision
    destination = destination_of(decision)
    result: dict[str, Any] = {
        "rules_version": found.rules_version,
        "now": found.now.isoformat(),
        "steps": list(found.steps),
        "enrichment": dict(found.added),
        "rule": decision.rule,
        "conditions": found.conditions,
        "outcome": destination.kind,
        "trials": [
            {
                "rule": trial.rule,
                "failed": trial.failure
                and {"condition": trial.failure.condition, "actual": trial.failure.actual},
            }
            for trial in found.trials
        ],
    }
    match decision:
        case Routed():
            costs = found.price.costs
            result["processor"] = destination.name
            result["candidates"] = [{"processor": one.processor, "cost": one.cost} for one in costs]
            result |= _settings(decision, found)
        case Rejected():
            result |= {"code": decision.code, "reason": decision.reason}
        case Held():
            result["reason"] = decision.reason
    if (refusal := found.refusal) is not None:
        outcome = "retried" if refusal.retried else "refused"
        result |= {"outcome": outcome, "processor": None, "code": refusal.code, "reason": refusal.reason}
    if not isinstance(decision, Held):
        result["skipped"] = [{"processor": one.processor, "reason": one.reason} for one in decision.skipped]
    return result | _price(found.price)


def _settings(decision: Routed, found: Explanation) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if (choice := found.choice) is not None:
        result["split"] = {
            "point": choice.percent(choice.point),
            "arm": choice.names[0],
            "weight": choice.percent(choice.weight),
        }
    if found.price.accounts:
        result["accounts"] = [
            {"account": share.account, "percent": share.percent or "rest", "amount": amount}
            for share, amount in found.price.accounts
        ]
    if decision.settings.priority is not None:
        result["priority"] = decision.settings.priority
    if found.price.expires_at is not None:
        result["expires_at"] = found.price.expires_at.isoformat()
    return result


def _price(price: Price) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if (charge := price.charge) is not None:
        result["gross"] = str(charge.gross)
        result["fees"] = [{"name": fee.name, "amount": str(fee.money)} for fee in charge.fees]
        result["net"] = str(charge.net)
        result["rounding"] = [step.as_dict() for step in charge.trail]
    if price.charge_error is not None:
        result["charge_error"] = price.charge_error
    if (exchange := price.exchange) is not None:
        result["settlement"] = {
            "amount": f"{exchange.result} {exchange.result.currency.code}",
            "rate": str(exchange.rate),
            "source": exchange.rate.source,
            "remainder": exchange.remainder,
        }
    if price.processor_converts_to is not None:
        result["settlement"] = {"currency": price.processor_converts_to}
    if price.exchange_error is not None:
        result["settlement_error"] = price.exchange_error
    return result
