"""Dispatches that come back: read as what the worker sent, the payment inside as its producer wrote it."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dispatch import DISPATCH_ONLY_FIELDS
from tests.support.payments import NOW, body, rule_table
from worker.codec import decode
from worker.errors import NotOurDispatch, OutcomeUnknown
from worker.given_back import check_given_back, read_given_back
from worker.planning import Planner

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
MORE = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name not in DISPATCH_ONLY_FIELDS),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def dispatch_of(payment: bytes, candidate: int = 0) -> bytes:
    """What the worker sends for a payment."""
    decoded = decode(payment, None, None, 10**6)
    return Planner(rule_table()).plan(decoded, NOW).dispatch(candidate).body


@given(MORE, st.sampled_from([None, 2]), st.sampled_from([",", " , "]), st.integers(0, 1))
def test_the_payment_comes_out_as_it_went_in(
    more: dict[str, Any], indent: int | None, comma: str, candidate: int
) -> None:
    """Whatever members it has and however they are written, byte for byte."""
    names = {**orjson.loads(body()), **{f"x-{name}": value for name, value in more.items()}}
    payment = json.dumps(names, indent=indent, separators=(comma, " : "), ensure_ascii=False).encode()
    found = read_given_back(dispatch_of(payment, candidate))
    assert found.payment == payment
    assert (found.processor, found.attempt) == (("alpha", 1), ("beta", 2))[candidate]
    assert found.routing_key == "card.eur"


@given(MORE)
def test_a_dispatch_that_was_written_anew_still_holds_its_payment(more: dict[str, Any]) -> None:
    """A connector may parse it and write it in its own way; the payment's members are what they were."""
    names = {**orjson.loads(body()), **{f"x-{name}": value for name, value in more.items()}}
    again = json.dumps(dict(reversed(json.loads(dispatch_of(json.dumps(names).encode())).items())))
    assert json.loads(read_given_back(again.encode()).payment) == names


def test_numbers_of_any_size_stay_what_they_are() -> None:
    """Nothing of the payment is converted on its way back."""
    payment = body()[:-1] + b',"big":123456789012345678901234567890.10,"tiny":1e-400}'
    assert read_given_back(dispatch_of(payment)).payment == payment


@pytest.mark.parametrize(
    "changes",
    [
        {"dispatch_id": "0" * 32},
        {"processor": "beta"},
        {"payment_id": "pay-2"},
        {"attempt": 0},
        {"attempt": True},
        {"attempt": "1"},
        {"amount": None},
        {"type": None},
        {"processor": 3},
    ],
)
def test_what_the_worker_cannot_have_sent_is_refused(changes: dict[str, Any]) -> None:
    """The id is computed anew from the payment and the processor, so that neither can be exchanged."""
    dispatch = {**json.loads(dispatch_of(body())), **changes}
    with pytest.raises(NotOurDispatch):
        read_given_back(json.dumps({k: v for k, v in dispatch.items() if v is not None}).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 5000, b'{"a":' * 1200 + b"1"])
def test_what_is_no_dispatch_is_refused(text: bytes) -> None:
    """Anything may lie in the queue; only a dispatch is one."""
    with pytest.raises(NotOurDispatch, match="not the JSON of a dispatch"):
        read_given_back(text)


@pytest.mark.parametrize(
    ("deaths", "by_the_processor"),
    [
        (None, True),
        ([], True),
        ("nonsense", True),
        ([{"queue": "inbox", "reason": "rejected"}], True),
        ([{"queue": "inbox", "reason": "expired"}], False),
        ([{"queue": "inbox", "reason": "delivery_limit"}], False),
        ([{"queue": "returned", "reason": "delivery_limit"}, {"queue": "inbox", "reason": "rejected"}], True),
        ([{"queue": "returned", "reason": "delivery_limit"}, {"queue": "inbox", "reason": "maxlen"}], False),
    ],
)
def test_only_the_processor_itself_gives_back(deaths: object, by_the_processor: bool) -> None:
    """What its inbox gave up may have been in its connector's hands: nobody else may have it."""
    headers = {} if deaths is None else {"x-death": deaths}
    if by_the_processor:
        check_given_back(headers, "returned")
    else:
        with pytest.raises(OutcomeUnknown, match="ask the processor"):
            check_given_back(headers, "returned")
