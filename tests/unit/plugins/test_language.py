"""Plugins in rules: predicates, steps, fee schedules, rates, and what is wrong about them by line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.payment import Payment
from schemas.rules import RuleDocument
from tests.support.payments import NOW, payment
from tests.support.plugins import AnyPlugin, says
from worker.errors import FeeExceedsAmount, InvalidRules, PluginFailed, StepUnavailable
from worker.routing import PluginNeeded, Routed, RuleTable, compile_rules
from worker.routing.answers import Continue, Reject, Retry
from worker.routing.asking import NONE_HOLDS
from worker.routing.explain import explain
from worker.routing.lint import lint
from worker.routing.questions import Kind, Use, answered
from worker.routing.simulate import Simulation, outcome_of
from worker.rules_file import load_rules

DEFAULT = {"reject": {"code": "no_route"}}


def table(*rules: dict[str, Any], **sections: Any) -> RuleTable:
    written = [
        {"name": f"r{i}", "when": rule.pop("when"), "route": {"to": "alpha", **rule}}
        for i, rule in enumerate(rules)
    ]
    document = {"version": 1, "processors": {"alpha": {}}, "rules": written, "default": DEFAULT, **sections}
    return compile_rules(RuleDocument.model_validate(document), "v1", catalogue=AnyPlugin())


def parsed(**changes: Any) -> Payment:
    return Payment.model_validate(payment(**changes))


def rule_of(rules: RuleTable, ask: Callable[..., object], **changes: Any) -> str:
    return answered(lambda answers: rules.route(parsed(**changes), NOW, answers), ask).rule


def never(*_given: object) -> object:
    return pytest.fail("a plugin was asked that has no say")


# --- predicates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "yes", "no"),
    [
        ({"plugin": {"vip": {}}}, "r0", "default"),
        ({"not": {"plugin": {"vip": {}}}}, "default", "r0"),
        ({"type": "card", "plugin": {"vip": {}}}, "r0", "default"),
        ({"any": [{"country": "FR"}, {"plugin": {"vip": {}}}]}, "r0", "default"),
        (
            {"all": [{"plugin": {"vip": {}}}, {"not": {"any": [{"plugin": {"vip": {}}}]}}]},
            "default",
            "default",
        ),
    ],
)
def test_a_predicate_is_a_condition(when: dict[str, Any], yes: str, no: str) -> None:
    """It stands wherever a condition stands."""
    assert rule_of(table({"when": when}), says(vip=True)) == yes
    assert rule_of(table({"when": when}), says(vip=False)) == no


@pytest.mark.parametrize(
    ("when", "rule"),
    [
        ({"plugin": {"vip": {}}, "type": "wallet"}, "default"),
        ({"plugin": {"vip": {}}, "metadata.level": {"gt": 5}}, "default"),
        ({"any": [{"plugin": {"vip": {}}}, {"metadata.level": {"exists": False}}]}, "r0"),
        ({"not": {"all": [{"plugin": {"vip": {}}}, {"metadata.level": {"exists": True}}]}}, "r0"),
    ],
)
def test_a_plugin_is_asked_only_if_need_be(when: dict[str, Any], rule: str) -> None:
    """What the payment itself decides is looked at first, in whatever order it is written."""
    assert rule_of(table({"when": when}), never) == rule


def test_an_earlier_rule_spares_the_plugin() -> None:
    """Rules after the one that decides ask nothing."""
    rules = table({"when": {"type": "card"}}, {"when": {"plugin": {"vip": {}}}})
    assert rule_of(rules, never) == "r0"


def test_equal_uses_are_made_once() -> None:
    """However many rules name a plugin with these arguments, and although it cannot be had."""
    made: list[object] = []

    class Counting(AnyPlugin):
        def use(self, kind: Kind, name: str, arguments: Any) -> Use:
            made.append((name, dict(arguments)))
            return super().use(kind, name, arguments)

    names = ("vip", "unknown", "vip", "unknown")
    rules = [
        {"name": f"r{i}", "when": {"plugin": {name: {}}}, "route": {"to": "alpha"}}
        for i, name in enumerate(names)
    ]
    document = {"version": 1, "processors": {"alpha": {}}, "rules": rules, "default": DEFAULT}
    with pytest.raises(InvalidRules) as caught:
        compile_rules(RuleDocument.model_validate(document), "v1", catalogue=Counting())
    assert made == [("vip", {}), ("unknown", {})]
    assert str(caught.value).count("unknown plugin") == 2


def test_equal_uses_are_asked_once() -> None:
    """Two rules with the same plugin and arguments get one answer, so that they cannot disagree."""
    asked = []

    def vip(*given: object) -> bool:
        asked.append(given)
        return False

    rules = table(
        {"when": {"plugin": {"vip": {"a": 1, "b": 2}}}},
        {"when": {"plugin": {"vip": {"b": 2, "a": 1}}}},
        {"when": {"plugin": {"vip": {"a": 2}}}},
    )
    assert rule_of(rules, says(vip=vip)) == "default"
    assert asked == [(parsed(), NOW)] * 2


def test_several_predicates_in_one_mapping_all_hold() -> None:
    """As with operators."""
    rules = table({"when": {"plugin": {"vip": {}, "old": {}}}})
    assert rule_of(rules, says(vip=True, old=True)) == "r0"
    assert rule_of(rules, says(vip=True, old=False)) == "default"


def test_without_an_answer_the_question_is_raised() -> None:
    """Routing itself calls nothing."""
    with pytest.raises(PluginNeeded) as caught:
        table({"when": {"plugin": {"vip": {}}}}).route(parsed(), NOW)
    assert (caught.value.question.use.name, caught.value.question.given) == ("vip", (parsed(), NOW))


def test_nonsense_names_the_plugin() -> None:
    """A predicate that says something else than yes or no fails its payment."""
    with pytest.raises(PluginFailed, match="predicate vip answered 'maybe'"):
        rule_of(table({"when": {"plugin": {"vip": {}}}}), says(vip="maybe"))


# --- steps --------------------------------------------------------------------------------------------------

STEPS = [
    {"name": "one", "when": {"type": "card"}, "plugin": {"first": {}}},
    {"name": "two", "plugin": {"second": {}}},
]


def passed(ask: Callable[..., object], **changes: Any) -> Any:
    rules = table(steps=STEPS)
    return answered(lambda answers: rules.pass_steps(parsed(**changes), NOW, answers), ask)


def test_steps_add_what_rules_and_later_steps_see() -> None:
    """In their order; a later step gets the payment with what earlier ones added."""

    def second(seen: Payment, _now: object) -> Continue:
        return Continue({"total": int(seen.metadata["one.score"]) + 1})

    result = passed(says(first=Continue({"score": 4}), second=second), metadata={"own": "x"})
    assert result.added == {"one.score": 4, "two.total": 5}
    assert result.payment.metadata == {"own": "x", "one.score": 4, "two.total": 5}
    assert result.asked == ("one", "two")


def test_a_step_looks_only_at_its_payments() -> None:
    """Its `when` spares the others."""
    assert passed(says(first=never, second=Continue()), type="wallet").asked == ("two",)


def test_a_rejection_ends_the_steps() -> None:
    """No later step is asked."""
    result = passed(says(first=Reject("blocked", "on the list"), second=never))
    assert (result.rule, result.code, result.reason) == ("step one", "blocked", "on the list")


def test_a_step_may_ask_for_another_try() -> None:
    """It is a transient failure with the step's reason."""
    with pytest.raises(StepUnavailable, match="step one asks for another try: busy"):
        passed(says(first=Retry("busy"), second=never))


@pytest.mark.parametrize("kind", ["card", "wallet"])
def test_what_looks_added_but_is_the_producers_counts_for_nothing(kind: str) -> None:
    """Nobody can forge a step's word, not even for payments that the step does not look at."""
    forged = {"one.score": 0, "two.ok": True, "one": "own", "onescore": "own"}
    result = passed(says(first=Continue({"score": 9}), second=Continue()), type=kind, metadata=forged)
    kept = {"one": "own", "onescore": "own"}
    assert result.payment.metadata == ({**kept, "one.score": 9} if kind == "card" else kept)


def test_a_step_that_is_switched_off_is_not_asked() -> None:
    """It still has to be sound."""
    rules = table(steps=[{**STEPS[1], "enabled": False}])
    assert rules.steps == ()


# --- fees ---------------------------------------------------------------------------------------------------


def charged(answer: object, value: str = "10.00", **spec: Any) -> Any:
    fees = {"mine": {"plugin": {"tax": {}}, **spec}}
    return explain(table({"when": {}, "fees": "mine"}, fees=fees), parsed(value=value), NOW, says(tax=answer))


@pytest.mark.parametrize(
    ("mode", "gross", "net"), [("inclusive", "10.005", "9.935"), ("exclusive", "10.075", "10.005")]
)
def test_a_plugins_fees_are_taken_out_or_added(mode: str, gross: str, net: str) -> None:
    """Gross is net plus fees at the payment's own scale."""
    charge = charged({"tax": 7, "none": 0}, "10.005", mode=mode).price.charge
    assert (str(charge.gross), str(charge.net)) == (gross, net)
    assert [(fee.name, str(fee.money)) for fee in charge.fees] == [("tax", "0.07"), ("none", "0.00")]


def test_fees_beyond_the_amount() -> None:
    """They are an error that names both, or are cut from the last where the schedule says so."""
    found = charged({"a": 900, "b": 200})
    assert found.price.charge is None
    assert "11.00 EUR of an amount of 10.00" in found.price.charge_error
    clamped = charged({"a": 900, "b": 200}, when_fee_exceeds="clamp").price.charge
    assert [str(fee.money) for fee in clamped.fees] == ["9.00", "1.00"]
    assert str(clamped.net) == "0.00"


def test_an_amount_below_one_minor_unit_has_room_for_no_fee() -> None:
    """Fees are whole minor units."""
    assert "0.01 EUR of an amount of 0.009" in charged({"a": 1}, "0.009").price.charge_error
    assert str(charged({"a": 1}, "0.009", when_fee_exceeds="clamp").price.charge.net) == "0.009"
    assert FeeExceedsAmount.code == "fee_exceeds_amount"


def test_a_plugins_schedule_in_another_currency() -> None:
    """A restriction to currencies holds for it too."""
    rules = table({"when": {}, "fees": "mine"}, fees={"mine": {"plugin": {"tax": {}}, "currencies": ["USD"]}})
    decision = rules.route(parsed(), NOW)
    assert getattr(decision, "code", None) == "no_fee_schedule"
    assert isinstance(rules.route(parsed(currency="USD"), NOW), Routed)


# --- tools --------------------------------------------------------------------------------------------------


def test_explain_says_what_plugins_said() -> None:
    """Steps with what they added, predicates with their answers."""
    rules = table(
        {"when": {"plugin": {"vip": {"limit": 3}}}}, {"when": {"metadata.two.a": 1}}, steps=STEPS[1:]
    )
    found = explain(rules, parsed(), NOW, says(second=Continue({"a": 1}), vip=False))
    assert (found.steps, found.added, found.decision.rule) == (("two",), {"two.a": 1}, "r1")
    assert found.trials[0].failure is not None
    assert found.trials[0].failure.condition == 'plugin vip {"limit": 3} says yes'
    assert found.trials[0].failure.actual == "plugin vip says no"


def test_simulate_says_what_it_cannot_decide() -> None:
    """With nobody to ask, or with no answer, the payment is counted as undecided."""
    rules = table({"when": {"plugin": {"vip": {}}}})

    def unavailable(_question: object) -> object:
        raise StepUnavailable("down")

    assert str(outcome_of(rules, parsed(), NOW).destination) == "undecided: plugin vip"
    assert str(outcome_of(rules, parsed(), NOW, unavailable).destination) == "undecided: step_unavailable"
    assert str(outcome_of(rules, parsed(), NOW, says(vip=True)).destination) == "alpha"
    assert str(outcome_of(rules, parsed(), NOW, says(vip=3)).destination) == "refused: plugin_failed"


def test_simulate_counts_steps_and_plugin_fees() -> None:
    """A step's rejection has the step's name, a plugin's fees are summed."""
    fees = {"mine": {"plugin": {"tax": {}}}}
    rules = table({"when": {}, "fees": "mine"}, fees=fees, steps=STEPS[1:])

    def second(seen: Payment, _now: object) -> object:
        return Reject("blocked", "why") if seen.payment_id == "bad" else Continue()

    simulation = Simulation(rules, NOW, says(tax={"tax": 3}, second=second))
    simulation.add_all([parsed(), parsed(payment_id="bad")])
    found = {rule: (str(to), sums.fees) for (rule, to, _), sums in simulation.cells.items()}
    assert found == {"r0": ("alpha", 3), "step two": ("rejected: blocked", 0)}


def test_the_linter_calls_nothing_dead_that_a_plugin_decides() -> None:
    """A rule behind a plugin's is not covered by it; one behind a plain rule is, and is said to be."""
    rules = table({"when": {"plugin": {"vip": {}}}}, {"when": {"type": "card"}}, {"when": {"type": "card"}})
    found = {(one.code, one.path[1]) for one in lint(rules.assuming(NONE_HOLDS)) if len(one.path) > 1}
    assert ("covered", 2) in found
    assert ("covered", 1) not in found
    assert ("undecided", 0) in found


# --- errors -------------------------------------------------------------------------------------------------


RULES = """\
version: 1
processors: {alpha: {}}
PART
default: {to: alpha}
"""


@pytest.mark.parametrize(
    ("part", "place", "words"),
    [
        ("rules: [{name: a, when: {plugin: {unknown: {}}}, route: {to: alpha}}]", "3:35", "unknown plugin"),
        (
            "rules: [{name: a, when: {plugin: {x: {wrong: 1}}}, route: {to: alpha}}]",
            "3:46",
            "a wrong argument",
        ),
        (
            "rules: [{name: a, when: {plugin: {x: 3}}, route: {to: alpha}}]",
            "3:38",
            "arguments of x are a mapping",
        ),
        (
            "rules: [{name: a, when: {plugin: x}, route: {to: alpha}}]",
            "3:34",
            "`plugin` is a mapping of names",
        ),
        (
            "rules: [{name: a, when: {plugin: {}}, route: {to: alpha}}]",
            "3:34",
            "`plugin` is a mapping of names",
        ),
        ("steps: [{name: s, plugin: {unknown: {}}}]", "3:28", "unknown plugin"),
        ("steps: [{name: s, plugin: {x: {wrong: 1}}}]", "3:39", "a wrong argument"),
        (
            "steps: [{name: s, when: {plugin: {x: {}}}, plugin: {z: {}}}]",
            "3:25",
            "a step's `when` has no plugins",
        ),
        ("steps: [{name: s, when: {tipe: card}, plugin: {z: {}}}]", "3:26", "did you mean time?"),
        (
            "steps: [{name: s, plugin: {x: {}}}, {name: s, plugin: {x: {}}}]",
            "3:44",
            "step named s is already",
        ),
        ("steps: [{name: s, plugin: {x: {}, z: {}}}]", "3:27", "names one plugin with"),
        ("steps: [{name: s, plugin: {}}]", "3:27", "names one plugin with"),
        ("steps: [{name: S, plugin: {x: {}}}]", "3:16", "'S' is not"),
        ("steps: [{name: s}]", "3:9", "`plugin` is missing"),
        ("steps: [{name: s, plugin: {x: {}}, wen: {}}]", "3:36", "did you mean when?"),
        ("fees: {f: {plugin: {unknown: {}}}}", "3:21", "unknown plugin"),
        ("fees: {f: {plugin: {x: {wrong: 1}}}}", "3:32", "a wrong argument"),
        ("fees: {f: {}}", "3:11", "`components` is missing, or a `plugin`"),
        ("fees: {f: {plugin: {x: {}}, rounding: up}}", "3:29", "nothing is rounded"),
        ("fees: {f: {plugin: {x: {}}, components: [{name: a, percent: '1'}]}}", "3:12", "not both"),
        ("rates: {plugin: {unknown: {}}}", "3:18", "unknown plugin"),
        ("rates: {plugin: {x: {}}, max_age_seconds: 0}", "3:43", "expected at least 1, found 0"),
    ],
)
def test_what_is_wrong_has_a_place(tmp_path: Path, part: str, place: str, words: str) -> None:
    """Every mistake about plugins is shown by file, line and column."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.replace("PART", part))
    with pytest.raises(InvalidRules) as caught:
        load_rules([path], catalogue=AnyPlugin())
    (line,) = [one for one in str(caught.value).splitlines() if one.startswith(str(path))]
    assert f":{place}: " in line
    assert words in line


@pytest.mark.parametrize("cost", ["f", "{plugin: {x: {}}}"])
def test_a_processors_cost_is_no_plugins(tmp_path: Path, cost: str) -> None:
    """What routes are compared by has to be known before anybody is asked."""
    path = tmp_path / "rules.yaml"
    part = "fees: {f: {plugin: {x: {}}}}\ndefault: {to: beta}"
    text = RULES.replace("PART", part).replace("default: {to: alpha}\n", "")
    path.write_text(text.replace("{alpha: {}}", f"{{beta: {{cost: {cost}}}}}"))
    with pytest.raises(InvalidRules, match="a processor charges"):
        load_rules([path], catalogue=AnyPlugin())


def test_without_a_catalogue_no_plugin_is_known(tmp_path: Path) -> None:
    """Who loads rules without naming what is allowed gets no plugins."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.replace("PART", "steps: [{name: s, plugin: {x: {}}}]"))
    with pytest.raises(InvalidRules, match="unknown step plugin 'x'"):
        load_rules([path])


def test_steps_of_several_files_follow_one_another(tmp_path: Path) -> None:
    """As rules do; rates stand in one file only."""
    one, two = tmp_path / "1.yaml", tmp_path / "2.yaml"
    one.write_text(RULES.replace("PART", "steps: [{name: a, plugin: {x: {}}}]\nrates: {plugin: {r: {}}}"))
    two.write_text("version: 1\nsteps: [{name: b, plugin: {x: {}}}]\n")
    rules = load_rules([one, two], catalogue=AnyPlugin())
    assert [step.name for step in rules.steps] == ["a", "b"]
    two.write_text("version: 1\nrates: {plugin: {r: {}}}\n")
    with pytest.raises(InvalidRules, match="`rates` is already set"):
        load_rules([one, two], catalogue=AnyPlugin())
