"""What routes promise beside the processor reaches the dispatch: accounts, settlement, expiry, priority."""

from datetime import timedelta
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dispatch import Dispatch
from schemas.rules import RuleDocument
from tests.support.payments import NOW, body
from tests.support.plugins import AnyPlugin, says
from worker.codec import decode
from worker.errors import InvalidPayment, PaymentExpired, PluginFailed, RejectedByRule, StaleRate
from worker.money import ISO_4217, Rate
from worker.planning import Plan, Planner
from worker.routing import compile_rules
from worker.routing.answers import Continue, Reject
from worker.routing.questions import answered

TABLES: dict[str, Planner] = {}


def planner(route: dict[str, Any], **sections: Any) -> Planner:
    document = {"version": 1, "processors": {"alpha": {}}, "default": {"to": "alpha", **route}, **sections}
    return Planner(compile_rules(RuleDocument.model_validate(document), "v1", catalogue=AnyPlugin()))


def plan(made: Planner, ask: Any = None, **changes: Any) -> Plan:
    decoded = decode(body(**changes), None, None, 1 << 20)
    return answered(lambda answers: made.plan(decoded, NOW, answers), ask)


def dispatched(made: Planner, ask: Any = None, **changes: Any) -> Dispatch:
    return Dispatch.model_validate_json(plan(made, ask, **changes).dispatch(0).body)


SHARES = [
    {"account": "seller", "rest": True},
    {"account": "platform", "percent": "5"},
    {"account": 'odd"\\name/1', "percent": "33.333333333333"},
]
SPLIT = planner(
    {"accounts": SHARES, "fees": "f"}, fees={"f": {"components": [{"name": "p", "percent": "2.9"}]}}
)


@given(st.integers(1, 10**12), st.integers(0, 12))
def test_accounts_sum_to_the_net(units: int, scale: int) -> None:
    """Whatever the amount and its scale, the parts make the whole, each within one unit of its share."""
    digits = str(units).zfill(scale + 1)
    value = f"{digits[: len(digits) - scale]}.{digits[len(digits) - scale :]}" if scale else digits
    sent = dispatched(SPLIT, value=value)
    parts = {share.account: Fraction(share.amount.value) for share in sent.accounts or ()}
    net = Fraction(sent.net.value)
    unit = Fraction(1, 10 ** len(sent.net.value.partition(".")[2]))
    assert sum(parts.values()) == net
    assert list(parts) == [share["account"] for share in SHARES]
    assert abs(parts["platform"] - net * Fraction(5, 100)) < unit
    assert all(part >= 0 for part in parts.values())


def test_a_route_that_says_nothing_adds_nothing() -> None:
    """Its dispatches have no such members, and no priority."""
    made = plan(planner({}))
    assert made.priority is None
    assert (
        not {"accounts", "settlement", "expires_at", "enrichment"}
        & orjson.loads(made.dispatch(0).body).keys()
    )


def test_priority_travels_with_the_dispatch() -> None:
    """Zero is one too."""
    assert plan(planner({"priority": 0})).dispatch(0).priority == 0
    assert plan(planner({}, route_defaults={"priority": 7})).dispatch(0).priority == 7


# --- expiry -------------------------------------------------------------------------------------------------


def test_a_dispatch_says_until_when() -> None:
    """The time counts from when the payment was created, so that a repeat says the same."""
    assert dispatched(planner({"expires_after_seconds": 90})).expires_at == "2026-11-24T12:01:30Z"
    odd = dispatched(planner({"expires_after_seconds": 90}), created_at="2026-11-24T13:59:00.250+02:00")
    assert odd.expires_at == "2026-11-24T12:00:30.250000Z"


@pytest.mark.parametrize(("seconds", "expired"), [(59, False), (60, True), (3600, True)])
def test_a_payment_that_is_too_old_goes_nowhere(seconds: int, expired: bool) -> None:
    """The end itself is too late."""
    created = (NOW - timedelta(seconds=seconds)).isoformat()
    made = planner({"expires_after_seconds": 60})
    if expired:
        with pytest.raises(PaymentExpired, match="its route gives it 60 s: it expired at"):
            plan(made, created_at=created)
    else:
        assert plan(made, created_at=created)


def test_a_payment_from_the_end_of_time() -> None:
    """It is refused by name, not by an accident."""
    with pytest.raises(InvalidPayment, match="after the year 9999"):
        plan(planner({"expires_after_seconds": 86400}), created_at="9999-12-31T23:59:59Z")


# --- settlement ---------------------------------------------------------------------------------------------

EUR, USD = ISO_4217.lookup("EUR"), ISO_4217.lookup("USD")
RATES = {"plugin": {"r": {}}, "max_age_seconds": 600}
FEES = {"f": {"components": [{"name": "p", "fixed": {"EUR": "0.25"}}]}}


def rate(text: str = "1.0812", age: int = 60) -> Rate:
    return Rate.parse(text, EUR, USD, source='the "treasury"', as_of=int(NOW.timestamp()) - age)


def test_without_rates_the_processor_converts() -> None:
    """The dispatch names the currency and no amount that nobody has worked out."""
    sent = orjson.loads(plan(planner({"settlement_currency": "USD"})).dispatch(0).body)
    assert sent["settlement"] == {"currency": "USD"}


def test_the_own_currency_needs_no_rate() -> None:
    """Nobody is asked."""
    made = planner({"settlement_currency": "EUR"}, rates=RATES)
    assert orjson.loads(plan(made).dispatch(0).body)["settlement"] == {"currency": "EUR"}


def test_the_net_is_converted_with_the_whole_record() -> None:
    """Rate, source, time, rounding and remainder are there, and the net is converted, not the gross."""
    made = planner({"settlement_currency": "USD", "fees": "f"}, rates=RATES, fees=FEES)
    sent = orjson.loads(plan(made, says(r=rate()), value="10.005").dispatch(0).body)
    assert sent["net"]["value"] == "9.755"
    assert sent["settlement"] == {
        "currency": "USD",
        "amount": {"value": "10.55", "currency": "USD"},
        "rate": "1.0812",
        "source": 'the "treasury"',
        "as_of": "2026-11-24T11:59:00Z",
        "rounding": "half_even",
        "remainder": "-0.002894",
    }


@given(
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.integers(0, 9999),
    st.sampled_from(["up", "floor", "half_even"]),
)
def test_net_times_rate_is_amount_plus_remainder(cents: int, rated: int, markup: int, rounding: str) -> None:
    """Exactly, whatever the rate, the markup and the rounding."""
    key = f"{markup}/{rounding}"
    if key not in TABLES:
        rates = {**RATES, "markup_basis_points": markup, "rounding": rounding}
        TABLES[key] = planner({"settlement_currency": "USD"}, rates=rates)
    quoted = rate(f"{rated // 10**6}.{rated % 10**6:06}")
    sent = dispatched(TABLES[key], says(r=quoted), value=f"{cents // 100}.{cents % 100:02}")
    found = sent.settlement
    assert found is not None
    assert found.amount is not None
    used = Fraction(str(found.rate))
    assert used == Fraction(quoted.numerator, quoted.denominator) * Fraction(10_000 - markup, 10_000)
    assert Fraction(sent.net.value) * used == Fraction(found.amount.value) + Fraction(str(found.remainder))


@pytest.mark.parametrize("age", [601, -1])
def test_an_old_rate_is_a_transient_failure(age: int) -> None:
    """A newer one may come; one from the future is as wrong."""
    with pytest.raises(StaleRate):
        plan(planner({"settlement_currency": "USD"}, rates=RATES), says(r=rate(age=age)))


def test_a_rate_that_is_none() -> None:
    """It names the plugin."""
    with pytest.raises(PluginFailed, match=r"rate provider r answered 1\.08; expected a Rate of EUR/USD"):
        plan(planner({"settlement_currency": "USD"}, rates=RATES), says(r=1.08))


# --- steps --------------------------------------------------------------------------------------------------

STEP = [{"name": "risk", "plugin": {"score": {}}}]


def test_what_steps_add_reaches_the_processor() -> None:
    """Beside the payment, whose own bytes stay as they were."""
    made = planner({}, steps=STEP)
    answer = Continue({"score": 12, "hit": False, "list": 'a "b" \\ é'})
    sent = dispatched(made, says(score=answer), metadata={"risk.score": 1})
    assert sent.enrichment == {"risk.score": 12, "risk.hit": False, "risk.list": 'a "b" \\ é'}
    assert sent.metadata == {"risk.score": 1}


def test_a_steps_rejection_has_its_code() -> None:
    """As a rule's has."""
    with pytest.raises(RejectedByRule, match="step risk: too much") as caught:
        plan(planner({}, steps=STEP), says(score=Reject("too_risky", "too much")))
    assert caught.value.code == "too_risky"


def test_all_together_is_what_the_schema_says() -> None:
    """One dispatch with everything that a route and plugins can add is valid, with each amount exact."""
    route = {
        "fees": "tax",
        "priority": 3,
        "expires_after_seconds": 60,
        "settlement_currency": "USD",
        "accounts": SHARES,
    }
    made = planner(route, rates=RATES, steps=STEP, fees={"tax": {"plugin": {"t": {}}, "mode": "exclusive"}})
    ask = says(score=Continue({"x": 1}), t={"vat": 190, "fee": 0}, r=rate())
    sent = dispatched(made, ask)
    assert (sent.gross.value, sent.net.value) == ("11.90", "10.00")
    assert [(fee.name, fee.amount.value) for fee in sent.fees] == [("vat", "1.90"), ("fee", "0.00")]
    assert sent.settlement is not None
    assert sent.expires_at is not None
    assert sum(Fraction(share.amount.value) for share in sent.accounts or ()) == 10
