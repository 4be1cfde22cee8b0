"""Laws of the codec: only named errors, and duplicate keys are found exactly when there are any."""

import contextlib
import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from worker.codec import decode
from worker.errors import DuplicateKey, PermanentError

BASE = {
    "payment_id": "pay-1",
    "type": "card",
    "amount": {"value": "12.34", "currency": "EUR"},
    "merchant_id": "studio",
    "created_at": "2026-11-24T12:00:00Z",
}
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
names = st.text(alphabet='ab"\\:{}é', max_size=4).filter(lambda name: name not in BASE)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_payment_or_a_named_error(body: bytes) -> None:
    """Nothing but the worker's own permanent errors comes out."""
    with contextlib.suppress(PermanentError):
        decode(body, None, None, 1 << 20)


@given(documents, st.booleans())
def test_any_json_gives_a_payment_or_a_named_error(document: Any, escape: bool) -> None:
    """The same for well-formed JSON, with and without escapes."""
    with contextlib.suppress(PermanentError):
        decode(
            json.dumps(document, ensure_ascii=escape).encode("utf-8", "surrogatepass"), None, None, 1 << 20
        )


@given(
    st.lists(st.tuples(names, st.text(alphabet='ab":{}\\', max_size=5)), max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_duplicate_keys_are_found_exactly(members: list[tuple[str, str]], escape: bool, spaced: bool) -> None:
    """Whatever quotes, colons and braces stand in keys and values, with and without white space."""
    colon = " : " if spaced else ":"
    written = [
        f"{json.dumps(k, ensure_ascii=escape)}{colon}{json.dumps(v, ensure_ascii=escape)}" for k, v in members
    ]
    body = orjson.dumps(BASE)[:-1] + b"".join(b"," + item.encode() for item in written) + b"}"
    keys = [key for key, _ in members]
    try:
        decode(body, None, None, 1 << 20)
        refused = False
    except DuplicateKey:
        refused = True
    assert refused == (len(set(keys)) < len(keys))


@given(st.dictionaries(names, documents, max_size=3))
def test_members_are_the_producers_bytes(extra: dict[str, Any]) -> None:
    """A payment's own members come out byte for byte, so that they mean the same to the processor."""
    try:
        body = orjson.dumps({**BASE, **extra})
    except TypeError:  # integers beyond 64 bits
        body = json.dumps({**BASE, **extra}).encode()
    with contextlib.suppress(PermanentError):
        assert b"{" + decode(body, None, None, 1 << 20).members + b"}" == body
