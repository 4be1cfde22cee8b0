"""What routes do: candidates, splits, least cost, settings, rejections."""

from fractions import Fraction

import pytest

from worker.routing import Held, Rejected, Routed
from worker.routing.actions import split_point

CARDS = {"components": [{"name": "processing", "percent": "2.9", "fixed": {"EUR": "0.25"}}]}


def names(decision) -> list[str]:
    assert isinstance(decision, Routed), decision
    return [processor.name for processor in decision.candidates]


def test_first_match_wins(table_of, pay, now):
    """Of two rules that hold, the earlier decides."""
    table = table_of(
        {"name": "first", "when": {"type": "card"}, "route": {"to": "p"}},
        {"name": "second", "when": {}, "route": {"to": "q"}},
    )
    assert table.route(pay(), now).rule == "first"
    assert table.route(pay(type="wallet"), now).rule == "second"


def test_a_disabled_rule_is_passed_over(table_of, pay, now):
    """``enabled: false`` takes a rule out without deleting it."""
    table = table_of({"name": "off", "enabled": False, "when": {}, "route": {"to": "p"}})
    assert table.route(pay(), now).rule == "default"


def test_exchange_has_a_default(table_of):
    """A processor's exchange is ``processor.<name>`` unless it says otherwise."""
    table = table_of(processors={"p": {}, "q": {"exchange": "legacy.q"}})
    assert table.processors["p"].exchange == "processor.p"
    assert table.processors["q"].exchange == "legacy.q"


@pytest.mark.parametrize(
    "processor, reason",
    [
        ({"enabled": False}, "it is switched off"),
        ({"types": ["wallet"]}, "it takes wallet, not card"),
        ({"currencies": ["USD"]}, "it takes USD, not EUR"),
        ({"countries": ["US"]}, "it takes payments from US, not DE"),
        ({"amount": {"lt": "10"}}, "it takes amounts below 10, not 10 EUR"),
        ({"amount": {"gte": ["5 USD", "10.01 EUR"]}}, "it takes amounts from 10.01 EUR, not 10 EUR"),
    ],
)
def test_a_candidate_that_cannot_take_it_is_skipped(table_of, pay, now, processor, reason):
    """The next candidate has the payment, and the decision says why the first does not."""
    table = table_of(
        {"name": "a", "when": {}, "route": {"to": "p", "fallback": ["q"]}},
        processors={"p": processor, "q": {}},
    )
    decision = table.route(pay(country="DE"), now)
    assert names(decision) == ["q"]
    assert [(skip.processor, skip.reason) for skip in decision.skipped] == [("p", reason)]


def test_limits_of_other_currencies_do_not_apply(table_of, pay, now):
    """A limit that names a currency says nothing about others."""
    table = table_of(
        {"name": "a", "when": {}, "route": {"to": "p"}}, processors={"p": {"amount": {"lt": "1 USD"}}}
    )
    assert names(table.route(pay("10.00 EUR"), now)) == ["p"]


def test_no_candidate_left_is_no_route_and_says_why(table_of, pay, now):
    """When every candidate is skipped, the rejection names each with its reason."""
    table = table_of(
        {"name": "a", "when": {}, "route": {"to": "p", "fallback": ["q"]}},
        processors={"p": {"types": ["wallet"]}, "q": {"currencies": ["USD"]}},
    )
    decision = table.route(pay(), now)
    assert isinstance(decision, Rejected)
    assert decision.code == "no_route"
    assert (
        decision.reason
        == "rule a: no processor accepts it (p: it takes wallet, not card; q: it takes USD, not EUR)"
    )


def test_reject_and_hold(table_of, pay, now):
    """A rejection carries its own code, a hold its reason."""
    table = table_of(
        {"name": "r", "when": {"type": "card"}, "route": {"reject": {"code": "blocked", "reason": "why"}}},
        {"name": "h", "when": {"type": "wallet"}, "route": {"hold": "look"}},
    )
    assert table.route(pay(), now) == Rejected("r", "blocked", "why")
    assert table.route(pay(type="wallet"), now) == Held("h", "look")


def test_split_point_never_changes():
    """The points of these ids, computed with sha256sum, hold for every release and every Python."""
    assert [split_point("migration", f"pay-{i}", 100) for i in range(8)] == [47, 4, 71, 16, 19, 68, 37, 37]
    assert split_point("other", "pay-0", 100) == 35


@pytest.fixture
def split_table(table_of):
    def make(share: str):
        rest = str(100 - Fraction(share)) if "." not in share else f"{100 - float(share):.1f}"
        return table_of(
            {"name": "s", "when": {}, "route": {"split": {"p": share, "q": rest}, "fallback": ["r"]}}
        )

    return make


def test_split_shares_come_out(split_table, pay, now):
    """Of many payments each arm has about its share."""
    table = split_table("30")
    first = [names(table.route(pay(payment_id=f"pay-{i}"), now))[0] for i in range(4_000)]
    assert 1_100 < first.count("p") < 1_300


def test_a_larger_share_keeps_what_a_smaller_one_had(split_table, pay, now):
    """Raising the first arm's weight moves payments to it and none away from it."""
    small, large = split_table("10"), split_table("25")
    payments = [pay(payment_id=f"pay-{i}") for i in range(500)]
    moved = {p.payment_id for p in payments if names(small.route(p, now))[0] == "p"}
    then = {p.payment_id for p in payments if names(large.route(p, now))[0] == "p"}
    assert moved < then


def test_the_other_arm_is_the_fallback(split_table, pay, now):
    """After the chosen arm come the others, then the fallbacks."""
    table = split_table("50")
    orders = {tuple(names(table.route(pay(payment_id=f"pay-{i}"), now))) for i in range(50)}
    assert orders == {("p", "q", "r"), ("q", "p", "r")}


def test_an_arm_without_weight_is_no_candidate(table_of, pay, now):
    """A weight of zero switches an arm off, as a fallback too."""
    table = table_of({"name": "s", "when": {}, "route": {"split": {"p": "0", "q": "100"}}})
    assert {tuple(names(table.route(pay(payment_id=f"pay-{i}"), now))) for i in range(20)} == {("q",)}


COSTS = {
    "p": {"cost": {"components": [{"name": "c", "percent": "0.5", "fixed": {"EUR": "0.20"}}]}},
    "q": {"cost": {"components": [{"name": "c", "percent": "1.9"}]}},
    "r": {"cost": "listed"},
}


@pytest.mark.parametrize(
    "amount, expected",
    [("5.00 EUR", ["q", "p", "r"]), ("100.00 EUR", ["p", "q", "r"]), ("14.21 EUR", ["p", "q", "r"])],
)
def test_least_cost_sorts_by_this_payment(table_of, pay, now, amount, expected):
    """The cheapest for the amount comes first, at a tie the one written first."""
    table = table_of(
        {"name": "l", "when": {}, "route": {"least_cost": ["p", "q", "r"]}},
        processors=COSTS,
        fees={"listed": {"components": [{"name": "c", "percent": "9"}]}},
    )
    assert names(table.route(pay(amount), now)) == expected


def test_least_cost_skips_whom_it_cannot_price(table_of, pay, now):
    """A candidate without a price in the currency is skipped; fallbacks need none."""
    table = table_of(
        {"name": "l", "when": {}, "route": {"least_cost": ["p", "q"], "fallback": ["r"]}},
        processors={**COSTS, "r": {}},
    )
    decision = table.route(pay("10.00 USD"), now)
    assert names(decision) == ["q", "r"]
    assert "no price in USD" in decision.skipped[0].reason


def test_a_cost_may_be_more_than_the_payment(table_of, pay, now):
    """What a processor charges comes on top, so that a small payment can still be sent and compared."""
    dear = {"cost": {"components": [{"name": "c", "fixed": {"EUR": "1.00"}}]}}
    cheap = {"cost": {"components": [{"name": "c", "fixed": {"EUR": "0.90"}}]}}
    table = table_of(
        {"name": "l", "when": {}, "route": {"least_cost": ["p", "q"]}}, processors={"p": dear, "q": cheap}
    )
    assert names(table.route(pay("0.50 EUR"), now)) == ["q", "p"]


def test_a_schedule_for_some_currencies_only(table_of, pay, now):
    """A schedule that names its currencies is unknown in others, although a percentage would do."""
    schedule = {"currencies": ["EUR"], "components": [{"name": "f", "percent": "1"}]}
    table = table_of({"name": "a", "when": {}, "route": {"to": "p", "fees": "f"}}, fees={"f": schedule})
    assert isinstance(table.route(pay("5 EUR"), now), Routed)
    decision = table.route(pay("5 USD"), now)
    assert decision.reason == "rule a: fee schedule f is for EUR, not USD"


def test_every_word_of_a_schedule_is_heard(table_of, pay, now):
    """Tiers, items, bases, taxes, rounding, mode and clamping reach the money engine."""
    schedule = {
        "mode": "exclusive",
        "rounding": "up",
        "components": [
            {"name": "tiers", "graduated": [{"up_to": {"EUR": "10"}, "percent": "10"}, {"percent": "1"}]},
            {"name": "volume", "volume": [{"up_to": {"EUR": "10"}, "percent": "9"}, {"percent": "2"}]},
            {"name": "items", "per_item": {"EUR": "0.05"}},
            {"name": "left", "percent": "10", "base": "remaining"},
            {"name": "vat", "tax": "19", "of": ["items"]},
        ],
    }
    table = table_of({"name": "a", "when": {}, "route": {"to": "p", "fees": "f"}}, fees={"f": schedule})
    gross, net, scale, fees = table.route(pay("20.01 EUR"), now).fees.charge_units(2001, 2)
    # 1.00 + 0.1001 up; 2 % of 20.01 up; one item; 10 % of what is left of 20.01; 19 % of 0.05 up
    assert fees == (111, 41, 5, 185, 1)
    assert (gross, net, scale) == (2001 + sum(fees), 2001, 2)


def test_fees_are_compiled_for_the_currency(table_of, pay, now):
    """The decision carries the schedule as arithmetic in the payment's currency."""
    table = table_of({"name": "a", "when": {}, "route": {"to": "p", "fees": "cards"}}, fees={"cards": CARDS})
    decision = table.route(pay(), now)
    assert decision.fees.charge_units(1234, 2) == (1234, 1173, 2, (61,))
    assert decision.fees is table.route(pay("20 EUR"), now).fees


def test_unknown_fees_reject(table_of, pay, now):
    """A payment whose fees the schedule does not say is not sent for free."""
    table = table_of({"name": "a", "when": {}, "route": {"to": "p", "fees": "cards"}}, fees={"cards": CARDS})
    decision = table.route(pay("10.00 USD"), now)
    assert isinstance(decision, Rejected)
    assert decision.code == "no_fee_schedule"
    assert "no price in USD" in decision.reason


def test_route_defaults_fill_what_a_route_leaves_open(table_of, pay, now):
    """Defaults hold where a route is silent; ``fees: none`` switches the default's fees off."""
    defaults = {"fees": "cards", "priority": 3, "accounts": [{"account": "all", "rest": True}]}
    table = table_of(
        {"name": "a", "when": {"type": "card"}, "route": {"to": "p", "priority": 0}},
        {"name": "b", "when": {}, "route": {"to": "p", "fees": "none"}},
        fees={"cards": CARDS},
        route_defaults=defaults,
    )
    one, other = table.route(pay(), now), table.route(pay(type="wallet"), now)
    assert (one.settings.priority, other.settings.priority) == (0, 3)
    assert one.fees is not None
    assert other.fees is None
    assert [share.account for share in other.settings.accounts] == ["all"]


def test_every_setting_has_a_default_and_can_be_said(table_of, pay, now):
    """Settlement currency, priority and expiry come from the route, else from the defaults, zero included."""
    defaults = {"settlement_currency": "EUR", "priority": 3, "expires_after_seconds": 60}
    own = {"settlement_currency": "USD", "priority": 0, "expires_after_seconds": 5}
    table = table_of(
        {"name": "a", "when": {"type": "card"}, "route": {"to": "p", **own}},
        {"name": "b", "when": {}, "route": {"to": "p"}},
        route_defaults=defaults,
    )
    for payment, expected in ((pay(), own), (pay(type="wallet"), defaults)):
        settings = table.route(payment, now).settings
        assert {key: getattr(settings, key) for key in expected} == expected


def test_units_of_ones_own(table_of, pay, now):
    """A unit that the document defines is a currency like any other."""
    table = table_of(
        {"name": "gems", "when": {"currency": "GEM"}, "route": {"to": "p"}}, units={"GEM": {"exponent": 0}}
    )
    assert table.route(pay("5 GEM"), now).rule == "gems"
    assert table.currencies.lookup("GEM").exponent == 0


def test_the_memory_of_kinds_is_bounded(table_of, pay, now):
    """However many kinds of payment producers invent, a route remembers a bounded number."""
    table = table_of({"name": "a", "when": {}, "route": {"to": "p"}})
    for i in range(5_000):
        table.route(pay(type=f"t{i}"), now)
    assert len(table.rules[0].action._memo) <= 4_096


@pytest.mark.parametrize(
    ("value", "takers"), [("1200", "ab"), ("1200.00", "ab"), ("1200.50", "b"), ("0.5", "b")]
)
def test_a_processor_that_would_lose_digits_is_skipped(table_of, pay, now, value, takers):
    """Who counts forints without decimals takes whole forints only, whatever came before."""
    table = table_of(
        {"name": "r", "when": {"currency": "HUF"}, "route": {"to": "a", "fallback": ["b"]}},
        processors={"a": {"exponents": {"HUF": 0}}, "b": {}},
    )
    for _ in range(2):
        decision = table.route(pay(f"{value} HUF"), now)
        assert "".join(names(decision)) == takers
        if takers == "b":
            assert "would lose some" in decision.skipped[0].reason
