"""What the linter finds, and that each finding's payment shows it."""

import pytest

from worker.routing import Rejected
from worker.routing.lint import Severity, lint

MALTA, JANUARY = "Europe/Malta", "2026-01-01T00:00Z"


def found(table, code: str):
    return [finding for finding in lint(table) if finding.code == code]


def rule(name: str, when: dict, **route) -> dict:
    return {"name": name, "when": when, "route": route or {"to": "p"}}


@pytest.mark.parametrize(
    "earlier, later",
    [
        ({"type": "card"}, {"type": "card", "country": "DE"}),
        ({"country": ["DE", "FR"]}, {"country": "FR"}),
        ({"amount": {"gte": "10"}}, {"amount": {"between": ["20", "30"]}}),
        ({"amount": {"gt": "10"}}, {"amount": {"gte": "10.000000000001 EUR"}}),
        ({"country": {"ne": "DE"}}, {"country": {"in": ["FR", "US"]}}),
        ({"not": {"country": "DE"}}, {"country": {"exists": False}}),
        ({"metadata.vip": {"exists": True}}, {"metadata.vip": True}),
        ({"merchant_id": {"prefix": "a"}}, {"merchant_id": {"prefix": "a"}, "type": "card"}),
        ({"merchant_id": {"prefix": "a"}}, {"merchant_id": {"prefix": "ab"}}),
        ({"merchant_id": {"glob": "a*"}}, {"merchant_id": ["a1", "ab"]}),
        ({"method.bin": {"bin": "400000-499999"}}, {"method.bin": {"bin": "411111"}}),
        ({"method.bin": {"bin": "4"}}, {"method.bin": {"bin": ["40-41", "420000-499999"]}}),
        ({"method.bin": {"bin": "4"}}, {"method.bin": {"bin": ["40-41", "42000-49999"]}}),
        ({"method.bin": {"bin": ["40-44", "45-49"]}}, {"method.bin": {"bin": "42-47"}}),
        ({"method.bin": {"bin": "4111"}}, {"method.bin": ["411111", "41112222"]}),
        ({"method.bin": {"exists": True}}, {"method.bin": {"bin": "411111"}}),
        ({"not": {"method.bin": {"bin": "5"}}}, {"method.bin": {"bin": "411111"}}),
        ({"time": {"from": "09:00", "to": "17:00"}}, {"time": {"from": "10:00", "to": "11:00"}}),
        ({"time": {"days": ["mon"]}}, {"time": {"days": ["mon"], "from": "09:00", "to": "17:00"}}),
        (
            {"time": {"from": "08:00", "to": "12:00"}},
            {"time": {"from": "10:00", "to": "11:00", "zone": MALTA}},
        ),
        (
            {"time": [{"days": ["mon"], "from": "12:00"}, {"days": ["tue"], "to": "06:00"}]},
            {"time": {"days": ["mon"], "from": "22:00", "to": "06:00"}},
        ),
        (
            {"time": {"after": "2026-01-01T00:00Z"}},
            {"time": {"after": "2026-02-01T00:00Z", "before": "2026-03-01T00:00Z", "from": "09:00"}},
        ),
        (
            {"time": {"from": "10:00", "to": "11:00", "zone": MALTA}},
            {"time": {"from": "09:00", "to": "10:00", "after": JANUARY, "before": "2026-02-01T00:00Z"}},
        ),
        ({"metadata.level": {"gte": 10}}, {"metadata.level": {"gt": 19, "lt": 30}}),
        ({"metadata.level": {"between": [1, 9]}}, {"metadata.level": [3, 7]}),
        ({"metadata.level": {"ne": 5}}, {"metadata.level": {"lt": 5}}),
        ({"any": [{"metadata.x": {"lt": 1}}, {"metadata.x": {"gte": 1}}]}, {"metadata.x": 7}),
        ({"created_at": {"gte": "2026-01-01T00:00Z"}}, {"created_at": {"gte": "2026-02-01T00:00Z"}}),
    ],
)
def test_a_covered_rule_can_never_fire(table_of, earlier, later):
    """A rule that an earlier one covers is reported, with a payment that the earlier one takes."""
    table = table_of(rule("early", earlier), rule("late", later))
    (finding,) = found(table, "covered")
    assert finding.severity is Severity.WARNING
    assert finding.path == ("rules", 1, "name")
    assert "rule late can never fire: rule early takes every payment it describes" in finding.message
    assert table.route(finding.witness.parsed(), finding.witness.now).rule == "early"


def test_several_rules_together_cover_one(table_of):
    """Coverage is by all earlier rules together, exact to the last unit of the amount."""
    bands = [rule("low", {"amount": {"lt": "10"}}), rule("high", {"amount": {"gte": "10"}})]
    (finding,) = found(table_of(*bands, rule("late", {"type": "card"})), "covered")
    assert "rules low, high take every payment" in finding.message
    gap = [rule("low", {"amount": {"lt": "10"}}), rule("high", {"amount": {"gt": "10"}})]
    assert not found(table_of(*gap, rule("late", {"type": "card"})), "covered")


def test_all_countries_cover_country(table_of):
    """Sets of values are compared with all the values there are."""
    from schemas.iso3166 import COUNTRY_CODES

    everywhere = rule("everywhere", {"country": sorted(COUNTRY_CODES)})
    assert found(table_of(everywhere, rule("late", {"country": {"exists": True}})), "covered")
    assert not found(table_of(everywhere, rule("late", {"type": "card"})), "covered")


@pytest.mark.parametrize(
    "when",
    [
        {"amount": {"gt": "10", "lt": "5"}},
        {"all": [{"country": "DE"}, {"country": "FR"}]},
        {"country": "DE", "not": {"country": ["DE", "FR"]}},
        {"country": {"exists": False, "prefix": "D", "eq": "DE"}},
        {"amount": {"gte": "10 EUR"}, "currency": "USD"},
        {"merchant_id": {"exists": False}},
        {"metadata.level": {"gt": 5, "lt": 6}},
        {"method.bin": {"bin": "4", "prefix": "5"}},
        {"method.bin": "511111", "all": [{"method.bin": {"bin": "4"}}]},
        {"time": {"days": ["mon"]}, "not": {"time": {"days": ["sun", "mon"]}}},
        {"all": [{"time": {"from": "09:00", "to": "10:00"}}, {"time": {"to": "07:00", "zone": MALTA}}]},
        {"metadata.level": {"gte": 5, "in": ["5", True, 4]}},
    ],
)
def test_contradictions(table_of, when):
    """Conditions that exclude one another are reported."""
    (finding,) = found(table_of(rule("never", when)), "contradiction")
    assert finding.message.startswith("rule never can never hold: ")
    assert finding.path == ("rules", 0, "when")


def test_a_contradiction_names_both_sides(table_of):
    """The message shows the two conditions that cannot hold together."""
    (finding,) = found(
        table_of(rule("never", {"currency": "USD", "amount": {"gte": "10 EUR"}})), "contradiction"
    )
    assert "(currency is USD) excludes (amount is at least 10 EUR)" in finding.message


def test_overlap_where_order_decides(table_of):
    """Two rules that share some payments and treat them differently are noted with a shared payment."""
    table = table_of(rule("a", {"type": "card"}, to="p"), rule("b", {"country": "DE"}, to="q"))
    (finding,) = found(table, "overlap")
    assert finding.severity is Severity.NOTE
    assert finding.witness.payment["type"] == "card"
    assert finding.witness.payment["country"] == "DE"


def test_special_before_general_is_no_overlap(table_of):
    """An exception before its rule is how rules are written."""
    assert not found(
        table_of(rule("a", {"type": "card", "country": "DE"}), rule("b", {"type": "card"}, to="q")), "overlap"
    )


def test_overlap_with_the_same_route_does_not_matter(table_of):
    """Where both rules do the same, order decides nothing."""
    assert not found(table_of(rule("a", {"type": "card"}), rule("b", {"country": "DE"})), "overlap")


def test_uncovered_payments(table_of):
    """Payments that reach the default are shown by one that does."""
    table = table_of(rule("a", {"type": "card"}))
    (finding,) = found(table, "uncovered")
    assert table.route(finding.witness.parsed(), finding.witness.now).rule == "default"


def test_full_coverage_leaves_the_default_unused(table_of):
    """Rules that cover everything make the default idle, which is worth a note."""
    table = table_of(rule("a", {"type": "card"}), rule("b", {"type": {"ne": "card"}}))
    assert found(table, "default_unused")
    assert not found(table, "uncovered")


def test_a_processor_without_a_rule(table_of):
    """A processor that no route names is reported."""
    messages = [finding.message for finding in found(table_of(rule("a", {})), "unreached")]
    assert messages == ["no rule names processor q", "no rule names processor r"]


def test_a_processor_behind_a_dead_rule(table_of):
    """Being named by a rule that never fires is not being reached."""
    table = table_of(rule("a", {}), rule("b", {"type": "card"}, to="q"), processors={"p": {}, "q": {}})
    (finding,) = found(table, "unreached")
    assert finding.message.startswith("no payment can reach processor q")


def test_a_processor_switched_off(table_of):
    """A switched-off processor is a note, not a warning."""
    table = table_of(rule("a", {}), processors={"p": {}, "q": {"enabled": False}})
    (finding,) = found(table, "switched_off")
    assert finding.severity is Severity.NOTE


def test_a_fallback_that_can_never_accept(table_of):
    """A candidate that takes nothing the rule describes is reported with a payment that it refuses."""
    table = table_of(
        rule("a", {"type": "card", "currency": "EUR"}, to="p", fallback=["q"]),
        processors={"p": {}, "q": {"currencies": ["USD"]}},
    )
    (finding,) = found(table, "never_accepts")
    assert finding.message == "rule a can never send to q; for this payment it takes USD, not EUR"
    assert finding.path == ("rules", 0, "route", "fallback", 0)
    decision = table.route(finding.witness.parsed(), finding.witness.now)
    assert [skip.processor for skip in decision.skipped] == ["q"]


@pytest.mark.parametrize(
    "route, path",
    [
        ({"to": "q", "fallback": ["p"]}, ("rules", 0, "route", "to")),
        ({"split": {"p": "50", "q": "50"}}, ("rules", 0, "route")),
        ({"least_cost": ["p", "q"]}, ("rules", 0, "route")),
    ],
)
def test_the_candidate_is_shown_where_it_is_written(table_of, route, path):
    """The place is the candidate's own where the route's kind tells it, else the route's."""
    cost = {"components": [{"name": "c", "percent": "1"}]}
    table = table_of(
        {"name": "a", "when": {"type": "card", "currency": "EUR"}, "route": route},
        processors={"p": {"cost": cost}, "q": {"currencies": ["USD"], "cost": cost}},
    )
    (finding,) = found(table, "never_accepts")
    assert finding.path == path


def test_held_and_rejected_payments_need_no_processor(table_of):
    """Rules that dead-letter have no candidates to look at, and differ from each other by code only."""
    table = table_of(
        rule("a", {"type": "card"}, reject={"code": "x"}),
        rule("b", {"country": "DE"}, reject={"code": "x"}),
        rule("c", {"currency": "EUR"}, hold="look"),
        rule("d", {"merchant_id": "m"}, hold="look again"),
    )
    overlaps = [finding.message for finding in found(table, "overlap")]
    assert len(overlaps) == 2
    assert "rule c and the earlier a, b" in overlaps[0]
    assert "rule d and the earlier a, b:" in overlaps[1]


def test_limits_that_exclude_every_amount(table_of):
    """A candidate whose amount limits and the rule's amounts never meet is reported."""
    table = table_of(
        rule("a", {"amount": {"lt": "5"}}, to="p", fallback=["q"]),
        processors={"p": {}, "q": {"amount": {"gte": "5"}}},
    )
    (finding,) = found(table, "never_accepts")
    assert "its limits exclude every amount that gets here" in finding.message


def test_payments_that_no_candidate_takes(table_of):
    """A rule wider than its processors is noted with a payment that ends without a route."""
    table = table_of(rule("a", {}), processors={"p": {"currencies": ["EUR"]}})
    (finding,) = found(table, "no_candidate")
    decision = table.route(finding.witness.parsed(), finding.witness.now)
    assert isinstance(decision, Rejected)
    assert decision.code == "no_route"


def test_fees_that_are_unknown(table_of):
    """A rule that takes a currency its fee schedule does not price is reported with such a payment."""
    schedule = {"components": [{"name": "f", "fixed": {"EUR": "0.10"}}]}
    table = table_of(rule("a", {"currency": ["EUR", "USD"]}, to="p", fees="f"), fees={"f": schedule})
    (finding,) = found(table, "no_fee")
    assert finding.severity is Severity.WARNING
    assert table.route(finding.witness.parsed(), finding.witness.now).code == "no_fee_schedule"


@pytest.mark.parametrize(
    "earlier, later",
    [
        ({"method.bin": {"bin": "400000-499998"}}, {"method.bin": {"bin": "4"}}),
        ({"method.bin": {"bin": "411111-411119"}}, {"method.bin": {"bin": "4111"}}),
        ({"method.bin": {"bin": ["40-42", "44-49"]}}, {"method.bin": {"bin": "400000-499999"}}),
        ({"method.bin": {"bin": "4"}}, {"method.bin": {"exists": True}}),
        ({"merchant_id": {"prefix": ["ab", "ac"]}}, {"merchant_id": {"prefix": "a"}}),
        (
            {"time": {"from": "10:00", "to": "11:01", "zone": MALTA}},
            {"time": {"from": "09:00", "to": "10:00"}},
        ),
        (
            {"time": {"days": ["mon"], "from": "22:00", "to": "06:00"}},
            {"time": {"days": ["tue"], "to": "06:01"}},
        ),
        ({"time": {"before": "2031-01-01T00:00Z"}}, {"time": {"days": ["sun"], "from": "23:59"}}),
    ],
)
def test_what_is_left_of_ranges_and_windows_has_a_witness(table_of, earlier, later):
    """Where an earlier rule leaves a little, the later one is called neither dead nor undecided."""
    table = table_of(rule("early", earlier), rule("late", later, to="q"))
    assert not found(table, "covered")
    assert not found(table, "undecided")


def test_the_one_rule_that_covers_is_named(table_of):
    """Where one rule alone takes everything, those that take some of it before are not blamed."""
    bins, monday = {"method.bin": {"bin": "4"}}, {"time": {"days": ["mon"]}}
    table = table_of(
        rule("a", bins), rule("b", monday), rule("c", {"time": {"days": ["mon"], "to": "09:00"}})
    )
    (finding,) = found(table, "covered")
    assert "rule b takes every payment" in finding.message


def test_what_globs_hide_is_not_claimed(table_of):
    """That one glob implies another is beyond the linter: it says nothing rather than something wrong."""
    table = table_of(
        rule("a", {"merchant_id": {"glob": "*b*"}}), rule("b", {"merchant_id": {"glob": "*bc*"}})
    )
    assert not found(table, "covered")
    (finding,) = found(table, "undecided")
    assert "no payment was found that reaches it" in finding.message


@pytest.mark.parametrize(
    "when",
    [
        {"method.bin": {"bin": ["411111-411119"]}},
        {"merchant_id": {"glob": "studio-?*"}},
        {"metadata.level": {"gte": 30}},
        {"metadata.a.b": False, "method.card.brand": "visa"},
        {"time": {"days": ["sun"], "from": "23:00", "to": "01:00", "zone": "Asia/Tokyo"}},
        {"time": {"after": "2030-01-01T00:00Z"}},
        {"created_at": {"lt": "2020-01-01T00:00Z"}},
        {"amount": {"lt": "0.000000000002"}},
        {"amount": {"gte": "9000000"}},
        {
            "any": [{"merchant_id": {"suffix": "x"}}, {"country": "NO"}],
            "type": {"not_in": ["card", "wallet"]},
        },
    ],
)
def test_a_witness_is_found_for_what_can_fire(table_of, when):
    """For conditions of every kind the linter finds a payment, and so reports nothing undecided."""
    table = table_of(
        rule("a", {"merchant_id": {"prefix": "zz"}}, to="q"), rule("b", when, to="r"), rule("c", {})
    )
    assert not found(table, "undecided")
    assert not [finding for finding in lint(table) if finding.severity is Severity.WARNING]


def test_a_sound_table_has_no_warnings(table_of):
    """Warnings are for mistakes only."""
    table = table_of(rule("a", {"type": "card"}, to="p", fallback=["q"]), rule("b", {}, to="r"))
    assert not [finding for finding in lint(table) if finding.severity is Severity.WARNING]


@pytest.mark.parametrize(
    "route, path",
    [
        ({"to": "off"}, ("rules", 0, "route", "to")),
        ({"to": "p", "fallback": ["off"]}, ("rules", 0, "route", "fallback", 0)),
        ({"split": {"p": "50", "off": "50"}}, ("rules", 0, "route")),
    ],
)
def test_a_route_to_what_is_switched_off(table_of, route, path):
    """A target or fallback that is switched off never accepts, which is a warning."""
    table = table_of(rule("a", {"type": "card"}, **route), processors={"p": {}, "off": {"enabled": False}})
    (finding,) = found(table, "never_accepts")
    assert finding.severity is Severity.WARNING
    assert finding.path == path
    assert finding.message.startswith("rule a can never send to off: it is switched off")


def test_a_switched_off_competitor_is_only_noted(table_of):
    """Switching one of several that compete by cost off is what the switch is for."""
    cost = {"components": [{"name": "c", "percent": "1"}]}
    table = table_of(
        rule("a", {"type": "card"}, least_cost=["p", "off"]),
        processors={"p": {"cost": cost}, "off": {"enabled": False, "cost": cost}},
    )
    assert found(table, "never_accepts") == []
    assert len(found(table, "switched_off")) == 1


def test_the_default_may_name_what_is_switched_off(table_of):
    """The default's target is looked at like any rule's."""
    table = table_of(
        rule("a", {"type": "card"}),
        processors={"p": {}, "off": {"enabled": False}},
        default={"to": "off"},
    )
    (finding,) = found(table, "never_accepts")
    assert finding.path == ("default", "to")


def test_a_rule_that_sends_nothing_says_so(table_of):
    """Where no processor accepts anything, the note speaks of everything rather than of one payment."""
    table = table_of(
        rule("a", {"currency": "EUR"}, to="p", fallback=["q"]),
        processors={"p": {"currencies": ["USD"]}, "q": {"enabled": False}},
    )
    (finding,) = found(table, "no_candidate")
    assert finding.message == "rule a sends nothing: none of its processors accepts what gets here"


@pytest.mark.parametrize(
    "when, words",
    [
        (
            {"currency": "EUR", "amount": {"gt": "5 USD"}},
            "(currency is EUR) excludes (amount is above 5 USD)",
        ),
        (
            {"amount": {"gt": "9 EUR", "lt": "5 EUR"}},
            "(amount is above 9 EUR) excludes (amount is below 5 EUR)",
        ),
        (
            {"amount": {"gt": "5 USD", "lt": "9 EUR"}},
            "(amount is above 5 USD) excludes (amount is below 9 EUR)",
        ),
    ],
)
def test_a_contradiction_of_amounts_names_the_currency(table_of, when, words):
    """Amounts that name a currency are quoted with it, as the file has them."""
    (finding,) = found(table_of(rule("a", when)), "contradiction")
    assert finding.message == f"rule a can never hold: {words}"
