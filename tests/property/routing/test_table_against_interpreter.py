"""The compiled table against a plain interpreter that reads the document as it is written, rule by rule.

The interpreter shares nothing with the compiler: it knows fractions and Python's own comparisons only.
"""

import fnmatch
import random
from datetime import datetime, timedelta
from fractions import Fraction
from unittest.mock import patch
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.payment import Payment
from schemas.rules import RuleDocument
from worker.routing import Held, Rejected, Routed, compile_rules, index

TYPES = ["card", "wallet", "bank_transfer"]
CURRENCIES = ["EUR", "USD", "JPY"]
COUNTRIES = ["DE", "FR", "US", "NO"]
MERCHANTS = ["m-1", "m-2", "shop-1"]
AMOUNTS = ["0.5", "1", "1.00", "2.25", "10", "1000"]
BINS = ["411111", "4999", "510000"]
GROUPS = {"euro_area": ["DE", "FR"], "all_known": ["$euro_area", "US", "NO"], "levels": [1, True, "1"]}
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MISSING = object()


# --- the plain interpreter ------------------------------------------------------------------------------


def value_of(payment: dict, field: str):
    if field == "currency":
        return payment["amount"]["currency"]
    if field.startswith("metadata."):
        return payment["metadata"].get(field.removeprefix("metadata."), MISSING)
    if field.startswith("method."):
        return (payment.get("method") or {}).get(field.removeprefix("method."), MISSING)
    return payment.get(field, MISSING)


def same(left, right) -> bool:
    return type(left) is type(right) and left == right


def expand(items) -> list:
    found = []
    for item in items:
        if isinstance(item, str) and item.startswith("$"):
            found += expand(GROUPS[item[1:]])
        else:
            found.append(item)
    return found


def as_list(operand) -> list:
    return expand(operand if isinstance(operand, list) else [operand])


def amount_holds(payment: dict, operator: str, operand) -> bool:
    value = Fraction(payment["amount"]["value"])
    own = payment["amount"]["currency"]

    def compare(text: str, relation: str) -> bool:
        number, _, currency = text.partition(" ")
        if currency and currency != own:
            return False
        other = Fraction(number)
        return {
            "eq": value == other,
            "gt": value > other,
            "gte": value >= other,
            "lt": value < other,
            "lte": value <= other,
        }[relation]

    if operator == "between":
        return compare(operand[0], "gte") and compare(operand[1], "lte")
    texts = operand if isinstance(operand, list) else [operand]
    if operator in ("ne", "not_in"):
        return not any(compare(text, "eq") for text in texts)
    return any(compare(text, "eq" if operator == "in" else operator) for text in texts)


def operator_holds(payment: dict, field: str, operator: str, operand) -> bool:  # noqa: PLR0911, PLR0912, C901
    if field == "amount":
        return amount_holds(payment, operator, operand)
    value = value_of(payment, field)
    if operator == "exists":
        return (value is not MISSING and value is not None) == operand
    if value is MISSING or value is None:
        return False
    match operator:
        case "eq" | "in":
            return any(same(value, item) for item in as_list(operand))
        case "ne" | "not_in":
            return not any(same(value, item) for item in as_list(operand))
        case "gt" | "gte" | "lt" | "lte":
            if type(value) is not int:
                return False
            return {
                "gt": value > operand,
                "gte": value >= operand,
                "lt": value < operand,
                "lte": value <= operand,
            }[operator]
    if not isinstance(value, str):
        return False
    texts = operand if isinstance(operand, list) else [operand]
    match operator:
        case "prefix":
            return any(value.startswith(text) for text in texts)
        case "suffix":
            return any(value.endswith(text) for text in texts)
        case "glob":
            return any(fnmatch.fnmatchcase(value, text) for text in texts)
        case "bin":
            for text in texts:
                low, _, high = text.partition("-")
                lead = value[: len(low)]
                if len(lead) == len(low) and lead.isdigit() and int(low) <= int(lead) <= int(high or low):
                    return True
    return False


def window_holds(window: dict, now: datetime) -> bool:
    local = now.astimezone(ZoneInfo(window.get("zone", "UTC")))
    clock = local.strftime("%H:%M")
    start, end = window.get("from", "00:00"), window.get("to", "24:00")
    day = local
    if start < end:
        inside = start <= clock < end
    else:
        inside = clock >= start or clock < end
        if clock < end:
            day = local - timedelta(days=1)
    return inside and DAYS[day.weekday()] in window.get("days", DAYS)


def holds(payment: dict, when: dict, now: datetime) -> bool:
    for key, value in when.items():
        match key:
            case "all":
                good = all(holds(payment, part, now) for part in value)
            case "any":
                good = any(holds(payment, part, now) for part in value)
            case "not":
                good = not holds(payment, value, now)
            case "time":
                good = any(window_holds(one, now) for one in (value if isinstance(value, list) else [value]))
            case _ if isinstance(value, dict):
                good = all(
                    operator_holds(payment, key, operator, operand) for operator, operand in value.items()
                )
            case _:
                good = operator_holds(payment, key, "in", value)
        if not good:
            return False
    return True


def accepts(payment: dict, processor: dict) -> bool:
    if not processor.get("enabled", True):
        return False
    lists = {"types": "type", "currencies": "currency", "countries": "country"}
    for key, field in lists.items():
        if key in processor and value_of(payment, field) not in as_list(processor[key]):
            return False
    for operator, operand in processor.get("amount", {}).items():
        for text in operand if isinstance(operand, list) else [operand]:
            number, _, currency = text.partition(" ")
            if currency in ("", payment["amount"]["currency"]) and not amount_holds(
                payment, operator, number
            ):
                return False
    return True


def interpret(document: dict, payment: dict, now: datetime) -> tuple[str, str, list[str]]:
    rules = [*document["rules"], {"name": "default", "when": {}, "route": document["default"]}]
    for rule in rules:
        if rule.get("enabled", True) and holds(payment, rule["when"], now):
            route = rule["route"]
            if "hold" in route:
                return rule["name"], "held", []
            if "reject" in route:
                return rule["name"], route["reject"]["code"], []
            names = [route["to"], *route["fallback"]]
            accepted = [name for name in names if accepts(payment, document["processors"][name])]
            return rule["name"], "routed" if accepted else "no_route", accepted
    raise AssertionError("the default always holds")


# --- what is tried --------------------------------------------------------------------------------------

few = {"min_size": 1, "max_size": 3, "unique": True}
open_values = st.sampled_from([True, False, 0, 1, 5, "1", "gold", "true"])


def equality(values):
    return st.one_of(
        values,
        st.lists(values, min_size=1, max_size=3),
        st.fixed_dictionaries({}, optional={"eq": values, "in": st.lists(values, **few)}).filter(bool),
        st.fixed_dictionaries({}, optional={"ne": values, "not_in": st.lists(values, **few)}).filter(bool),
        st.builds(lambda yes: {"exists": yes}, st.booleans()),
    )


def texts(values):
    parts = values.map(lambda text: text[:2])
    return st.one_of(
        equality(values),
        st.builds(lambda text: {"prefix": text}, parts),
        st.builds(lambda text: {"suffix": [text]}, values.map(lambda text: text[-2:])),
        st.builds(lambda text: {"glob": text}, parts.map(lambda text: f"{text[0]}*{text[-1]}?*")),
    )


amount_texts = st.builds(
    lambda number, currency: f"{number} {currency}".strip(),
    st.sampled_from(AMOUNTS),
    st.sampled_from(["", "", *CURRENCIES]),
)
amounts = st.one_of(
    amount_texts,
    st.lists(amount_texts, min_size=1, max_size=3),
    st.builds(
        lambda operator, text: {operator: text},
        st.sampled_from(["gt", "gte", "lt", "lte", "ne"]),
        amount_texts,
    ),
    st.just({"between": ["1", "10"]}),
    st.just({"gte": ["1 EUR", "2.25 USD"], "lt": "1000"}),
    st.just({"gt": "1000", "lt": "1"}),
)
windows = st.builds(
    lambda days, start, end, zone: {"days": days, "from": start, "to": end, "zone": zone},
    st.lists(st.sampled_from(DAYS), **few),
    st.sampled_from(["00:00", "08:30", "22:00"]),
    st.sampled_from(["06:00", "17:00", "24:00"]),
    st.sampled_from(["UTC", "Europe/Malta", "America/New_York"]),
)
fields = {
    "type": texts(st.sampled_from(TYPES)),
    "currency": equality(st.sampled_from(CURRENCIES)),
    "country": st.one_of(
        equality(st.sampled_from(COUNTRIES)), st.just("$euro_area"), st.just({"not_in": "$all_known"})
    ),
    "merchant_id": texts(st.sampled_from(MERCHANTS)),
    "customer_id": equality(st.sampled_from(["c-1", "c-2"])),
    "metadata.level": st.one_of(
        equality(open_values), st.just("$levels"), st.just({"gte": 1}), st.just({"gt": 0, "lt": 5})
    ),
    "method.network": equality(st.sampled_from(["visa", "mc"])),
    "method.bin": st.sampled_from([{"bin": ["400000-449999", "51"]}, {"bin": "4"}, {"prefix": "41"}]),
    "amount": amounts,
    "time": st.one_of(windows, st.lists(windows, min_size=1, max_size=2)),
}
one_field = st.sampled_from(sorted(fields)).flatmap(lambda name: st.tuples(st.just(name), fields[name]))
flat = st.lists(one_field, max_size=2).map(dict)
conditions = st.recursive(
    flat,
    lambda inner: st.builds(
        lambda base, extra: {**base, **extra},
        flat,
        st.fixed_dictionaries(
            {},
            optional={
                "any": st.lists(inner, min_size=1, max_size=3),
                "all": st.lists(inner, min_size=1, max_size=2),
                "not": inner,
            },
        ),
    ),
    max_leaves=5,
)
routes = st.one_of(
    st.sampled_from(["p", "q", "r"]).flatmap(
        lambda first: st.builds(
            lambda rest: {"to": first, "fallback": [name for name in rest if name != first]},
            st.lists(st.sampled_from(["p", "q", "r"]), max_size=2, unique=True),
        )
    ),
    st.just({"hold": "look at it"}),
    st.just({"reject": {"code": "refused"}}),
)
processors = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "types": st.lists(st.sampled_from(TYPES), **few),
        "currencies": st.lists(st.sampled_from(CURRENCIES), **few),
        "countries": st.just(["$euro_area"]),
        "amount": st.sampled_from([{"gte": "1"}, {"lt": ["10 EUR", "2.25 USD"]}, {"gt": "1", "lte": "10"}]),
    },
)
documents = st.builds(
    lambda rules, three, default: {
        "version": 1,
        "groups": GROUPS,
        "processors": dict(zip("pqr", three, strict=True)),
        "rules": [
            {"name": f"r{i}", "enabled": on, "when": when, "route": route} for i, (on, when, route) in rules
        ],
        "default": default,
    },
    st.lists(st.tuples(st.sampled_from([True, True, True, False]), conditions, routes), max_size=6).map(
        lambda rules: list(enumerate(rules))
    ),
    st.tuples(processors, processors, processors),
    routes,
)


def some_payment(pick: random.Random) -> dict:
    """A payment near the edges that the conditions above have."""
    payment = {
        "payment_id": "pay-1",
        "type": pick.choice(TYPES),
        "amount": {
            "value": pick.choice([*AMOUNTS, "0.999999999999", "10.01"]),
            "currency": pick.choice(CURRENCIES),
        },
        "merchant_id": pick.choice(MERCHANTS),
        "created_at": "2026-01-01T00:00:00Z",
        "country": pick.choice([*COUNTRIES, "JP", None]),
        "customer_id": pick.choice(["c-1", "c-2", "c-3", None]),
        "metadata": {"level": pick.choice([True, False, 0, 1, 5, "1", "gold", "true"])},
        "method": {
            "network": pick.choice(["visa", "mc", None, ["visa"], {"visa": 1}, 0.5]),
            "bin": pick.choice(BINS),
        },
    }
    for field in ("country", "customer_id", "method"):
        if pick.random() < 0.2:
            del payment[field]
    if pick.random() < 0.3:
        payment["metadata"] = {}
    return payment


SOME = random.Random(2026)  # noqa: S311 - the same payments in every run
PAYMENTS = [some_payment(SOME) for _ in range(600)]
moments = st.builds(
    lambda day, clock, zone: datetime.fromisoformat(f"2026-0{day}-1{day}T{clock}").replace(
        tzinfo=ZoneInfo(zone)
    ),
    st.integers(1, 7),
    st.sampled_from(["00:00", "05:59:59", "06:00", "08:29", "08:30", "16:59:59", "17:00", "21:59", "22:00"]),
    st.sampled_from(["UTC", "Europe/Malta", "America/New_York"]),
)


def seen(decision) -> tuple[str, str, list[str]]:
    match decision:
        case Routed():
            return decision.rule, "routed", [processor.name for processor in decision.candidates]
        case Rejected():
            return decision.rule, decision.code, []
        case Held():
            return decision.rule, "held", []


@settings(max_examples=400, deadline=None)
@given(
    documents,
    st.integers(0, len(PAYMENTS) - 40),
    st.lists(moments, min_size=4, max_size=4),
    st.sampled_from([1, 32]),
    st.sampled_from([0, 1, 8]),
)
def test_table_decides_as_the_interpreter_does(document, first, times, wide, few):
    """Every document decides every payment as a reader of its text would, however the index divides."""
    with patch.multiple(index, WIDE_VALUES=wide, FEW=few):
        compare(document, first, times)


def compare(document, first, times) -> None:
    table = compile_rules(RuleDocument.model_validate(document), "v")
    for i, payment in enumerate(PAYMENTS[first : first + 40]):
        now = times[i % len(times)]
        assert seen(table.route(Payment.model_validate(payment), now)) == interpret(document, payment, now)
