"""Why a payment goes where it goes, in words."""

import pytest

from worker.routing import Held, Rejected, Routed
from worker.routing.describe import describe
from worker.routing.explain import explain

FEES = {
    "cards": {
        "components": [
            {"name": "processing", "percent": "2.9", "fixed": {"EUR": "0.25"}},
            {"name": "vat", "tax": "19", "of": ["processing"]},
        ]
    },
    "floor": {"components": [{"name": "minimum", "percent": "1", "minimum": {"EUR": "5.00"}}]},
}


def test_the_decision_is_the_tables_own(table_of, pay, now):
    """Explaining decides exactly as routing does."""
    table = table_of(
        {"name": "a", "when": {"type": "wallet"}, "route": {"to": "p"}},
        {"name": "b", "when": {"country": "DE"}, "route": {"hold": "look"}},
        {"name": "c", "when": {"currency": "USD"}, "route": {"to": "q"}},
    )
    for payment, kind in (
        (pay(type="wallet"), Routed),
        (pay(country="DE"), Held),
        (pay("1 USD"), Routed),
        (pay(), Rejected),
    ):
        found = explain(table, payment, now)
        assert found.decision == table.route(payment, now)
        assert isinstance(found.decision, kind)


def test_each_rule_tried_has_its_first_failure(table_of, pay, now):
    """Rules after the deciding one are not tried; each before it shows the first condition that failed."""
    table = table_of(
        {
            "name": "a",
            "when": {"type": "card", "country": ["DE", "FR"], "amount": {"gte": "50"}},
            "route": {"to": "p"},
        },
        {"name": "b", "when": {"amount": {"gte": "50"}}, "route": {"to": "p"}},
        {"name": "c", "when": {"type": "card"}, "route": {"to": "q"}},
        {"name": "d", "when": {}, "route": {"to": "r"}},
    )
    found = explain(table, pay(country="US"), now)
    shown = [
        (trial.rule, trial.failure and (trial.failure.condition, trial.failure.actual))
        for trial in found.trials
    ]
    assert shown == [
        ("a", ("country is one of DE, FR", "country is US")),
        ("b", ("amount is at least 50", "amount is 10.00")),
        ("c", None),
    ]
    assert found.conditions == "type is card"


@pytest.mark.parametrize(
    "when, condition, actual",
    [
        ({"country": "DE"}, "country is DE", "country is missing"),
        ({"not": {"type": "card"}}, "not type is card", "type is card"),
        ({"metadata.vip": True}, "metadata.vip is true", "metadata.vip is false"),
        ({"time": {"days": ["mon"]}}, "the time is on mon", "it is Wed 2026-01-07 12:00 in UTC"),
        (
            {"any": [{"type": "wallet"}, {"currency": "USD"}]},
            "type is wallet or currency is USD",
            "type is card; currency is EUR",
        ),
    ],
)
def test_what_failed_and_what_was_there(table_of, pay, now, when, condition, actual):
    """Both sides of a failure are named, missing fields as missing."""
    table = table_of({"name": "a", "when": when, "route": {"to": "p"}})
    (trial, _) = explain(table, pay(metadata={"vip": False}), now).trials
    assert (trial.failure.condition, trial.failure.actual) == (condition, actual)


def test_the_charge_has_its_trail(table_of, pay, now):
    """Fees come with every rounding that made them."""
    table = table_of({"name": "a", "when": {}, "route": {"to": "p", "fees": "cards"}}, fees=FEES)
    charge = explain(table, pay("12.34 EUR"), now).price.charge
    assert [str(step) for step in charge.trail] == [
        "processing: 0.60786 -> 0.61 EUR (half_even, remainder -0.00214)",
        "vat: 0.1159 -> 0.12 EUR (half_even, remainder -0.0041)",
    ]
    assert str(charge.net).startswith("11.61")


def test_a_charge_that_fails_is_told(table_of, pay, now):
    """A fee above the amount is explained, not raised."""
    table = table_of({"name": "a", "when": {}, "route": {"to": "p", "fees": "floor"}}, fees=FEES)
    found = explain(table, pay("1.00 EUR"), now)
    assert found.price.charge is None
    assert "5.00" in found.price.charge_error


def test_candidates_have_their_costs(table_of, pay, now):
    """What each candidate charges is shown, unknown where it does not say."""
    table = table_of(
        {"name": "a", "when": {}, "route": {"to": "p", "fallback": ["q"]}},
        processors={"p": {"cost": {"components": [{"name": "c", "percent": "1"}]}}, "q": {}},
    )
    costs = explain(table, pay("12.34 EUR"), now).price.costs
    assert [(cost.processor, cost.cost) for cost in costs] == [("p", "0.12"), ("q", None)]


@pytest.mark.parametrize(
    "when, text",
    [
        ({}, "anything"),
        ({"country": {"ne": "DE"}}, "country is not DE"),
        ({"country": {"not_in": ["DE", "FR"]}}, "country is none of DE, FR"),
        ({"amount": {"gt": "1.5", "lte": "10"}}, "amount is above 1.5 and amount is at most 10"),
        ({"amount": {"between": ["1", "2"]}}, "amount is at least 1 and at most 2"),
        ({"amount": "5"}, "amount is 5"),
        ({"amount": {"lt": "0.000000000001"}}, "amount is at most 0"),
        ({"metadata.n": {"gte": 3}}, "metadata.n is at least 3"),
        ({"metadata.n": {"gt": 3}}, "metadata.n is at least 4"),
        ({"created_at": {"lt": "2026-01-01T00:00Z"}}, "created_at is below 2026-01-01T00:00:00Z"),
        ({"merchant_id": {"prefix": ["a", "b"]}}, "merchant_id begins with a, b"),
        ({"merchant_id": {"suffix": "z"}}, "merchant_id ends with z"),
        ({"merchant_id": {"glob": "a*"}}, "merchant_id fits a*"),
        ({"method.bin": {"bin": ["0411", "50-59"]}}, "method.bin is in card range 0411, 50-59"),
        ({"country": {"exists": False}}, "not country is there"),
        (
            {"time": {"from": "22:00", "to": "06:00", "zone": "Asia/Tokyo", "after": "2026-01-01T00:00Z"}},
            "the time is from 22:00 to 06:00 in Asia/Tokyo from 2026-01-01T00:00:00Z",
        ),
        ({"time": {"before": "2026-01-01T00:00Z"}}, "the time is before 2026-01-01T00:00:00Z"),
        (
            {"type": "card", "any": [{"country": "DE"}, {"country": "FR", "currency": "EUR"}]},
            "type is card and (country is DE or (country is FR and currency is EUR))",
        ),
    ],
)
def test_conditions_in_words(table_of, when, text):
    """A condition reads like the rule file's own words."""
    table = table_of({"name": "a", "when": when, "route": {"to": "p"}})
    assert describe(table.rules[0].condition) == text
