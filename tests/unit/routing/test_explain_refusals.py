"""What explain, simulate and rules tests say of payments that the worker would refuse after routing."""

from datetime import datetime
from typing import Any

import pytest

from schemas.payment import Payment
from schemas.rule_tests import Expectation
from worker.codec import Decoded
from worker.errors import FeeExceedsAmount
from worker.planning import Planner
from worker.routing import Answers, RuleTable
from worker.routing.assertions import mismatches
from worker.routing.explain import explain
from worker.routing.simulate import Destination, outcome_of

FLOOR = {"floor": {"components": [{"name": "minimum", "percent": "1", "minimum": {"EUR": "5.00"}}]}}


def planned(table: RuleTable, payment: Payment, now: datetime, answers: Answers) -> object:
    return Planner(table).plan(Decoded(payment, b""), now, answers)


@pytest.fixture
def brief(table_of) -> RuleTable:
    """A table whose only route lasts a minute."""
    route: dict[str, Any] = {"to": "p", "expires_after_seconds": 60, "priority": 3}
    return table_of({"name": "a", "when": {}, "route": route})


def test_an_expired_payment_is_refused(brief, pay, now):
    """Explain and simulate say what planning does with a payment whose time is over."""
    late = pay(created_at="2026-01-07T11:00:00Z")
    found = explain(brief, late, now, plan=planned)
    assert (found.refusal.code, found.refusal.retried) == ("expired", False)
    assert found.price.expires_at.isoformat() == "2026-01-07T11:01:00+00:00"
    assert outcome_of(brief, late, now, plan=planned).destination == Destination("refused", "expired")


def test_a_payment_in_time_is_sent(brief, pay, now):
    """The same route sends a payment whose time is not over."""
    assert explain(brief, pay(), now, plan=planned).refusal is None
    assert outcome_of(brief, pay(), now, plan=planned).destination == Destination("processor", "p")


def test_refused_payments_keep_their_amount_and_rule(table_of, pay, now):
    """What a rule took and fees refuse is counted under that rule with its amount."""
    table = table_of({"name": "a", "when": {}, "route": {"to": "p", "fees": "floor"}}, fees=FLOOR)
    outcome = outcome_of(table, pay("1.00 EUR"), now)
    assert outcome.destination == Destination("refused", FeeExceedsAmount.code)
    assert (outcome.rule, outcome.amount) == ("a", 10**12)


def test_fees_that_cannot_be_charged_refuse(table_of, pay, now):
    """A fee above the amount is a refusal also when nobody plans."""
    table = table_of({"name": "a", "when": {}, "route": {"to": "p", "fees": "floor"}}, fees=FLOOR)
    assert explain(table, pay("1.00 EUR"), now).refusal.code == FeeExceedsAmount.code


def test_units_of_account_are_refused(table_of, pay, now):
    """Simulate refuses what planning does not settle."""
    table = table_of({"name": "a", "when": {}, "route": {"to": "p"}})
    assert outcome_of(table, pay("1 XAU"), now).destination == Destination("refused", "not_settleable")


def test_rules_tests_see_the_refusal(brief, pay, now):
    """An expectation of a processor fails for an expired payment; one of the code passes."""
    late = pay(created_at="2026-01-07T11:00:00Z")
    assert mismatches(brief, late, now, Expectation(rejected="expired"), plan=planned) == []
    assert mismatches(brief, late, now, Expectation(processor="p"), plan=planned) == [
        "processor: expected p, got nothing"
    ]


@pytest.mark.parametrize(
    "value, metadata, condition, actual",
    [
        (5, "5", "metadata.n is the number 5", 'metadata.n is the text "5"'),
        ("5", 5, 'metadata.n is the text "5"', "metadata.n is the number 5"),
        (True, "true", "metadata.n is true", 'metadata.n is the text "true"'),
        ({"gte": 5}, "7", "metadata.n is at least 5, as a number", 'metadata.n is the text "7"'),
        ("a", "b", 'metadata.n is "a"', 'metadata.n is "b"'),
        (5, 6, "metadata.n is 5", "metadata.n is 6"),
    ],
)
def test_values_of_another_type_are_told_apart(table_of, pay, now, value, metadata, condition, actual):
    """Text is in quotes, and where the types differ both sides name theirs."""
    table = table_of({"name": "a", "when": {"metadata.n": value}, "route": {"to": "p"}})
    failure = explain(table, pay(metadata={"n": metadata}), now).trials[0].failure
    assert (failure.condition, failure.actual) == (condition, actual)


def test_a_split_tells_its_point_and_arm(table_of, pay, now):
    """The arm that explain names is the one that routing takes, and its weight is the rule's."""
    table = table_of({"name": "a", "when": {}, "route": {"split": {"p": "12.5", "q": "87.5"}}})
    for i in range(20):
        payment = pay(payment_id=f"pay-{i}")
        found = explain(table, payment, now)
        first = table.route(payment, now).candidates[0].name
        assert found.choice.names[0] == first
        assert found.choice.percent(found.choice.weight) == {"p": "12.5", "q": "87.5"}[first]
        assert (float(found.choice.percent(found.choice.point)) < 12.5) == (first == "p")


def test_accounts_have_their_amounts(table_of, pay, now):
    """Each account's share is shown with its part of the net."""
    shares = [{"account": "a", "percent": "33.3"}, {"account": "b", "rest": True}]
    table = table_of({"name": "a", "when": {}, "route": {"to": "p", "accounts": shares}})
    found = explain(table, pay("10 EUR"), now).price.accounts
    assert [(share.account, amount) for share, amount in found] == [("a", "3.33 EUR"), ("b", "6.67 EUR")]
