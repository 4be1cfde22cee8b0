"""Rules with plugins against a reading from top to bottom: the same rule decides, and no more is asked."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.payment import Payment
from schemas.rules import RuleDocument
from tests.support.payments import NOW, payment
from tests.support.plugins import AnyPlugin
from worker.routing import Question, RuleTable, compile_rules
from worker.routing.questions import answered

NAMES = ("a", "b", "c")
PLAIN = st.sampled_from(
    [{"currency": "EUR"}, {"country": "DE"}, {"type": {"prefix": "ca"}}, {"amount": {"gt": "5"}}]
)
ASKING = st.sets(st.sampled_from(NAMES), min_size=1).map(
    lambda names: {"plugin": {name: {} for name in sorted(names)}}
)


def nested(leaves: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Conditions made of these, with `any`, `all` and `not` in any depth."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
            inner.map(lambda part: {"not": part}),
            st.tuples(inner, inner).map(lambda two: {"all": [two[0]], "not": two[1]}),
        ),
        max_leaves=6,
    )


CONDITIONS = nested(st.one_of(PLAIN, ASKING))
PLAIN_CONDITIONS = nested(PLAIN)
PAYMENTS = st.builds(
    payment,
    currency=st.sampled_from(["EUR", "USD"]),
    country=st.sampled_from(["DE", "FR", None]),
    type=st.sampled_from(["card", "wallet"]),
    value=st.sampled_from(["1.00", "9.00"]),
)


def holds(when: dict[str, Any], one: Payment, yes: frozenset[str]) -> bool:
    """Read a condition as a person does."""

    def part(key: str, value: Any) -> bool:  # noqa: PLR0911 - one return for each kind
        match key:
            case "any":
                return any(holds(inner, one, yes) for inner in value)
            case "all":
                return all(holds(inner, one, yes) for inner in value)
            case "not":
                return not holds(value, one, yes)
            case "plugin":
                return yes.issuperset(value)
            case "type":
                return one.type.startswith("ca")
            case "amount":
                return one.amount.value == "9.00"
            case "currency":
                return one.amount.currency == value
            case _:
                return one.country == value

    return all(part(key, value) for key, value in when.items())


def compiled(conditions: list[dict[str, Any]]) -> RuleTable:
    rules = [{"name": f"r{i}", "when": when, "route": {"to": "p"}} for i, when in enumerate(conditions)]
    document = {"version": 1, "processors": {"p": {}}, "rules": rules, "default": {"to": "p"}}
    return compile_rules(RuleDocument.model_validate(document), "v1", catalogue=AnyPlugin())


@given(
    st.lists(CONDITIONS, max_size=5),
    st.lists(st.tuples(PAYMENTS, st.frozensets(st.sampled_from(NAMES))), min_size=1, max_size=4),
)
def test_the_same_rule_decides(
    conditions: list[dict[str, Any]], payments: list[tuple[dict[str, Any], frozenset[str]]]
) -> None:
    """Whatever plugins say, each asked at most once, and none when no rule has one."""
    table = compiled(conditions)
    for written, yes in payments:
        one = Payment.model_validate(written)
        asked: list[str] = []

        def ask(question: Question, yes: frozenset[str] = yes, asked: list[str] = asked) -> bool:
            asked.append(question.use.name)
            return question.use.name in yes

        found = answered(lambda answers, one=one: table.route(one, NOW, answers), ask).rule
        expected = next((f"r{i}" for i, when in enumerate(conditions) if holds(when, one, yes)), "default")
        assert found == expected
        assert len(asked) == len(set(asked))


@given(PLAIN_CONDITIONS, PAYMENTS)
def test_a_plugin_is_asked_if_and_only_if_the_rest_holds(
    when: dict[str, Any], written: dict[str, Any]
) -> None:
    """Beside conditions that the payment itself decides, its answer matters only where all of those hold."""
    one = Payment.model_validate(written)
    asked: list[str] = []

    def ask(question: Question) -> bool:
        asked.append(question.use.name)
        return True

    table = compiled([{"plugin": {"a": {}}, "all": [when]}])
    answered(lambda answers: table.route(one, NOW, answers), ask)
    assert asked == (["a"] if holds(when, one, frozenset()) else [])
