"""Planning: the dispatch's bytes, and the same bytes for the same payment."""

from typing import Any

import orjson
import pytest

from schemas.dispatch import Dispatch
from tests.support.payments import NOW, body, payment, rule_table
from worker.codec import decode
from worker.errors import AmountNotPositive, PermanentError
from worker.planning import Plan, Planner, make_dispatch_id


def plan(message: bytes, version: str = "v1") -> Plan:
    return Planner(rule_table(version=version)).plan(decode(message, None, None, 1 << 20), NOW)


def dispatched(candidate: int = 0, **changes: Any) -> dict[str, Any]:
    sent: dict[str, Any] = orjson.loads(plan(body(**changes)).dispatch(candidate).body)
    return sent


def test_a_dispatch_is_what_the_schema_says() -> None:
    """The body that is put together by hand is one that the model accepts, with the payment's own fields."""
    message = body(metadata={"level": 3}, unknown={"a": [1, 2]})
    sent = plan(message).dispatch(0)
    model = Dispatch.model_validate_json(sent.body)
    assert (model.processor, model.rule, model.rules_version, model.attempt) == ("alpha", "euros", "v1", 1)
    assert model.dispatch_id == sent.dispatch_id == make_dispatch_id("pay-1", "alpha")
    own = payment(metadata={"level": 3}, unknown={"a": [1, 2]})
    assert own.items() <= orjson.loads(sent.body).items()


@pytest.mark.parametrize(
    ("value", "gross", "fee", "net"),
    [
        ("10.00", "10.00", "0.54", "9.46"),
        ("10", "10.00", "0.54", "9.46"),
        ("12.345678", "12.345678", "0.61", "11.735678"),
        ("0.300000000001", "0.300000000001", "0.26", "0.040000000001"),
    ],
)
def test_amounts_are_exact(value: str, gross: str, fee: str, net: str) -> None:
    """Gross keeps its digits, fees are at the currency's exponent, net is what is left."""
    sent = dispatched(value=value)
    assert sent["gross"] == {"value": gross, "currency": "EUR"}
    assert sent["fees"] == [{"name": "processing", "amount": {"value": fee, "currency": "EUR"}}]
    assert sent["net"] == {"value": net, "currency": "EUR"}
    assert sent["amount"]["value"] == value


def test_without_fees_net_is_gross() -> None:
    """A route without a schedule takes nothing."""
    sent = dispatched(value="7.5", currency="USD")
    assert (sent["gross"]["value"], sent["fees"], sent["net"]["value"]) == ("7.50", [], "7.50")


@pytest.mark.parametrize("value", ["0", "0.00", "-1.00"])
def test_only_positive_amounts_are_payments(value: str) -> None:
    """Nothing, and less than nothing, is refused before any rule is asked."""
    with pytest.raises(AmountNotPositive):
        plan(body(value=value))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"value": "1,50"}, "invalid_amount"),
        ({"value": "+1"}, "invalid_amount"),
        ({"value": "NaN"}, "invalid_amount"),
        ({"value": "Infinity"}, "invalid_amount"),
        ({"value": "1e3"}, "invalid_amount"),
        ({"value": "0.0000000000001"}, "too_many_digits"),
        ({"value": "9" * 400}, "amount_overflow"),
        ({"value": "92233720368547758.08"}, "amount_overflow"),
        ({"value": "0.10"}, "fee_exceeds_amount"),
        ({"currency": "EUX"}, "unknown_currency"),
        ({"currency": "eur"}, "unknown_currency"),
    ],
)
def test_money_that_cannot_be_is_named(changes: dict[str, Any], code: str) -> None:
    """Each way in which an amount is wrong has a code of its own."""
    with pytest.raises(PermanentError) as caught:
        plan(body(**changes))
    assert caught.value.code == code


def test_the_same_payment_gives_the_same_bytes() -> None:
    """Planned again, by another table of the same rules, nothing differs."""
    assert plan(body()).dispatch(0) == plan(body()).dispatch(0)
    assert plan(body()).dispatch(1) == plan(body()).dispatch(1)


def test_a_dispatch_id_is_one_payment_at_one_processor() -> None:
    """Neither the rules' version nor the attempt changes it; payment and processor do."""
    assert make_dispatch_id("pay-1", "alpha") == "65598266e3410486cf8baeaf879bc331"
    assert plan(body(), "v1").dispatch(0).dispatch_id == plan(body(), "v2").dispatch(0).dispatch_id
    ids = {make_dispatch_id(p, q) for p in ("a", "b", "ab") for q in ("a", "b", "bb")}
    assert len(ids) == 9
