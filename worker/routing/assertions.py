"""Rules tests: what a payment should become, compared with what the table makes of it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from schemas.payment import Payment
from schemas.rule_tests import Expectation, RuleTests
from worker.errors import WorkerError
from worker.routing.decision import Decision, Held, Rejected, Routed
from worker.routing.explain import explain
from worker.routing.price import Price
from worker.routing.problems import Problem, listing, nearest
from worker.routing.questions import Ask
from worker.routing.refusals import PlanIt
from worker.routing.table import RuleTable

PLAIN: Mapping[str, Any] = {
    "payment_id": "test-1",
    "type": "card",
    "amount": "10.00 EUR",
    "merchant_id": "merchant-1",
    "created_at": "2026-01-07T12:00:00Z",
}
"""What a test's payment has unless it says otherwise."""


def payment_of(written: Mapping[str, Any]) -> Payment:
    """Return the payment that a test describes; raises pydantic's ``ValidationError`` when it is none."""
    raw = {**PLAIN, **written}
    if isinstance(raw["amount"], str):
        value, _, currency = raw["amount"].partition(" ")
        raw["amount"] = {"value": value, "currency": currency}
    return Payment.model_validate(raw)


def check_tests(tests: RuleTests) -> Iterator[Problem]:
    """Yield what makes a test other than it reads: misspelt fields, names used twice, nothing expected."""
    seen: dict[str, int] = {}
    for i, test in enumerate(tests.tests):
        for name in test.payment:
            if name not in Payment.model_fields:
                hint = nearest(name, Payment.model_fields)
                fields = f"fields are {listing(Payment.model_fields)}"
                message = f"a payment has no field {name!r}{hint} ({fields})"
                yield Problem(("tests", i, "payment", name), message, on_key=True)
        if test.name in seen:
            message = f"a test named {test.name!r} is already there, as test {seen[test.name] + 1}"
            yield Problem(("tests", i, "name"), message)
        seen.setdefault(test.name, i)
        if not test.expect.model_fields_set:
            message = f"nothing is expected; write at least one of {listing(Expectation.model_fields)}"
            yield Problem(("tests", i, "expect"), message)


def mismatches(  # noqa: PLR0913 - whom to ask and how to plan may be left out
    table: RuleTable,
    payment: Payment,
    now: datetime,
    expect: Expectation,
    ask: Ask | None = None,
    plan: PlanIt | None = None,
) -> list[str]:
    """Return what differs from the expectation, each as one sentence; empty when the test passes."""
    try:
        found = explain(table, payment, now, ask, plan)
    except WorkerError as error:
        return [f"the payment is refused before routing: {error.code}: {error}"]
    wanted = expect.model_dump(exclude_none=True)
    if expect.accounts is not None or expect.fees is not None:
        wanted |= {
            key: getattr(expect, key) for key in ("accounts", "fees") if getattr(expect, key) is not None
        }
    actual = {**_of_decision(found.decision), **_of_charge(found.price)}
    if found.refusal is not None:
        actual |= {"processor": None, "fallback": None, "rejected": found.refusal.code}
    return [
        f"{key}: expected {_text(value)}, got {_text(actual.get(key))}"
        for key, value in wanted.items()
        if actual.get(key) != value
    ]


def _text(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items()) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _of_decision(decision: Decision) -> dict[str, object]:
    result: dict[str, object] = {"rule": decision.rule, "held": isinstance(decision, Held)}
    match decision:
        case Routed():
            names = [processor.name for processor in decision.candidates]
            settings = decision.settings
            result |= {"processor": names[0], "fallback": names[1:], "priority": settings.priority}
            result["accounts"] = {share.account: share.percent or "rest" for share in settings.accounts}
            result["skipped"] = [skip.processor for skip in decision.skipped]
        case Rejected():
            result["rejected"] = decision.code
            result["skipped"] = [skip.processor for skip in decision.skipped]
        case Held():
            pass
    return result


def _of_charge(price: Price) -> dict[str, object]:
    charge = price.charge
    if charge is None:
        return {"fees": {}} if price.charge_error is None else {"fees": {"error": price.charge_error}}
    fees: dict[str, object] = {fee.name: str(fee.money).partition(" ")[0] for fee in charge.fees}
    return {"fees": fees, "net": str(charge.net).partition(" ")[0]}
