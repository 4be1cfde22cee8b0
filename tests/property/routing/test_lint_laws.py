"""The linter's claims on random tables, against every payment of a small world."""

from datetime import UTC, datetime
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.payment import Payment
from schemas.rules import RuleDocument
from worker.routing import DEFAULT_RULE, compile_rules
from worker.routing.checks import compile_check
from worker.routing.fields import amount_units
from worker.routing.lint import lint
from worker.routing.region import Space
from worker.routing.sides import Span, Values

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)
TYPES, CURRENCIES, COUNTRIES, LEVELS = ["card", "wallet"], ["EUR", "USD"], ["DE", "FR"], [1, True, "x"]
AMOUNTS = ["1", "5", "10"]


def payment(kind: str, currency: str, country: str | None, level, value: str) -> Payment:
    return Payment.model_validate(
        {
            "payment_id": "p",
            "type": kind,
            "amount": {"value": value, "currency": currency},
            "merchant_id": "m",
            "created_at": "2026-01-07T12:00:00Z",
            "country": country,
            "metadata": {} if level is None else {"level": level},
        }
    )


WORLD = [
    payment(*values)
    for values in product(
        [*TYPES, "other"],
        [*CURRENCIES, "JPY"],
        [*COUNTRIES, "US", None],
        [*LEVELS, 0, 2, 3, None],
        ["0.999999999999", "1", "4", "5", "9.999999999999", "10", "11"],
    )
]


def values(pool):
    picked = st.lists(st.sampled_from(pool), min_size=1, max_size=2, unique=True)
    return st.one_of(
        picked, picked.map(lambda some: {"not_in": some}), st.booleans().map(lambda yes: {"exists": yes})
    )


amounts = st.one_of(
    st.builds(
        lambda op, text: {op: text},
        st.sampled_from(["gt", "gte", "lt", "lte", "eq", "ne"]),
        st.sampled_from(AMOUNTS),
    ),
    st.builds(lambda text: {"gte": f"{text} EUR"}, st.sampled_from(AMOUNTS)),
    st.just({"gte": "1", "lt": "10"}),
)
fields = {
    "type": values(TYPES),
    "currency": values(CURRENCIES),
    "country": values(COUNTRIES),
    "metadata.level": st.one_of(
        values(LEVELS),
        st.sampled_from([{"gte": 1}, {"lt": 2}, {"gt": 1, "lte": 2}, {"ne": 2}, {"between": [1, 2]}]),
    ),
    "amount": amounts,
}
one_field = st.sampled_from(sorted(fields)).flatmap(lambda name: st.tuples(st.just(name), fields[name]))
flat = st.lists(one_field, max_size=2).map(dict)
conditions = st.recursive(
    flat,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
        st.builds(lambda base, part: {**base, "all": [part]}, flat, inner),
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(conditions, min_size=1, max_size=5))
def test_claims_hold_for_every_payment(whens):
    """What is called dead never fires, and everything else has a witness."""
    rules = [{"name": f"r{i}", "when": when, "route": {"to": "p"}} for i, when in enumerate(whens)]
    document = {"version": 1, "processors": {"p": {}}, "rules": rules, "default": {"hold": "rest"}}
    table = compile_rules(RuleDocument.model_validate(document), "v")
    fired = {table.route(one, NOW).rule for one in WORLD}
    findings = lint(table)
    dead = {f"r{one.path[1]}" for one in findings if one.code in ("covered", "contradiction")}
    codes = {one.code for one in findings}
    assert not dead & fired
    assert "undecided" not in codes
    assert {f"r{i}" for i in range(len(whens))} - dead >= fired - {DEFAULT_RULE}
    if "default_unused" in codes:
        assert DEFAULT_RULE not in fired
    else:
        assert "uncovered" in codes


def in_span(span: Span, number: int) -> bool:
    return (span.low is None or number >= span.low) and (span.high is None or number < span.high)


def inside(box, one: Payment) -> bool:
    world = {
        "type": one.type,
        "currency": one.amount.currency,
        "country": one.country,
        "metadata.level": one.metadata.get("level"),
    }
    for dimension, side in box.items():
        if isinstance(side, Span):
            good = in_span(side, amount_units(one.amount.value))
        elif isinstance(side, Values):
            value = world[dimension]
            if value is None:
                good = side.missing
            elif type(value) is int:
                good = any(in_span(span, value) for span in side.numbers)
            else:
                text = str(value).lower() if isinstance(value, bool) else value
                good = (text in {str(named) for named in side.values}) is not side.complement
        else:
            good = None  # an undecided dimension: none of these conditions makes one
            assert isinstance(side, Span | Values)
        if not good:
            return False
    return True


@settings(max_examples=80, deadline=None)
@given(conditions, conditions)
def test_boxes_hold_exactly_the_payments(one, other):
    """A payment is in a condition's boxes when it holds, and in a difference when it holds alone."""
    space = Space.of(["EUR", "USD", "JPY"])
    rules = [{"name": f"r{i}", "when": when, "route": {"hold": "x"}} for i, when in enumerate((one, other))]
    document = RuleDocument.model_validate({"version": 1, "rules": rules, "default": {"hold": "x"}})
    first, second, _ = (rule.condition for rule in compile_rules(document, "v").rules)
    boxes, others = space.boxes(first), space.boxes(second)
    left = space.left(boxes, others, 10_000)
    for payment_ in WORLD[::7]:
        amount = amount_units(payment_.amount.value)
        holds, also = (compile_check(part)(payment_, amount, NOW) for part in (first, second))
        assert any(inside(box, payment_) for box in boxes) is holds
        assert any(inside(box, payment_) for box in left) is (holds and not also)
