"""The codec: which bytes are a payment, and what is wrong with the others."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from worker.codec import decode, payment_id_hint
from worker.errors import PermanentError

GOOD: dict[str, Any] = {
    "payment_id": "pay-1",
    "type": "card",
    "amount": {"value": "12.34", "currency": "EUR"},
    "merchant_id": "studio",
    "created_at": "2026-11-24T12:00:00Z",
}
BODY = orjson.dumps(GOOD)


def changed(**fields: Any) -> bytes:
    return orjson.dumps({**GOOD, **fields})


def read(body: bytes, content_type: str | None = "application/json", encoding: str | None = None) -> Any:
    return decode(body, content_type, encoding, 1 << 20)


def test_reads_a_payment_and_keeps_its_members() -> None:
    """The members come out as they were written, without the outer braces."""
    body = b' {"payment_id":"p","type":"card","amount":{"value":"1.0","currency":"EUR"},"merchant_id":"m",'
    body += b'"created_at":"2026-11-24T12:00:00+01:00", "big": 12345678901234567890123, "x": 1E2}\n'
    decoded = read(body)
    assert decoded.payment.payment_id == "p"
    assert decoded.members == body.strip()[1:-1]


@pytest.mark.parametrize("content_type", [None, "", "application/json", "application/JSON; charset=utf-8"])
def test_reads_json_by_its_content_types(content_type: str | None) -> None:
    """A content type that is absent counts as JSON."""
    assert read(BODY, content_type).payment.type == "card"


BAD: list[tuple[str, bytes]] = [
    ("empty_message", b""),
    ("malformed_message", b"{"),
    ("malformed_message", b"not json"),
    ("malformed_message", b"[1]"),
    ("malformed_message", b"null"),
    ("malformed_message", BODY + b"x"),
    ("malformed_message", BODY.replace(b'"12.34"', b"NaN")),
    ("malformed_message", BODY.replace(b'"12.34"', b"-Infinity")),
    ("number_out_of_range", BODY.replace(b'"12.34"', b"9" * 400)),
    ("invalid_encoding", BODY.replace(b"studio", b"studi\xff")),
    ("invalid_encoding", b"\xff\xfe\x00"),
    ("duplicate_key", BODY[:-1] + b',"type":"card"}'),
    ("duplicate_key", BODY[:-1] + b',"t\\u0079pe":"card"}'),
    ("duplicate_key", BODY[:-1] + b',"x":{"a":1,"a":1}}'),
    ("nesting_too_deep", BODY[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}"),
    ("nesting_too_deep", b"[" * 1000 + b"]" * 1000),
    ("nesting_too_deep", BODY[:-1] + b',"x":' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}"),
    ("nesting_too_deep", b"[" * 100_000),
    ("invalid_payment", b"{}"),
    ("invalid_payment", changed(type="Card")),
    ("invalid_payment", changed(country="XX")),
    ("invalid_payment", changed(country="de")),
    ("invalid_payment", changed(created_at="yesterday")),
    ("invalid_payment", changed(created_at="2026-02-30T12:00:00Z")),
    ("invalid_payment", changed(created_at="2026-11-24T12:00:00")),
    ("invalid_payment", changed(metadata={"a": 1.5})),
    ("invalid_payment", changed(metadata={"a": None})),
    ("invalid_payment", changed(metadata={"a": {"b": 1}})),
    ("invalid_payment", changed(method=["visa"])),
    ("invalid_payment", changed(amount="12.34 EUR")),
    ("invalid_payment", changed(fees=[])),
    ("amount_not_text", changed(amount={"value": 12.34, "currency": "EUR"})),
    ("amount_not_text", changed(amount={"value": 12, "currency": "EUR"})),
    ("invalid_identifier", changed(payment_id="")),
    ("invalid_identifier", changed(payment_id="a" * 65)),
    ("invalid_identifier", changed(payment_id="a\0b")),
    ("invalid_identifier", changed(payment_id="a\u202eb")),
    ("invalid_identifier", changed(payment_id="pay-1\n")),
    ("invalid_identifier", changed(payment_id="\u0661")),
    ("invalid_identifier", changed(merchant_id="a b")),
    ("invalid_identifier", changed(customer_id="a\u200b")),
]


@pytest.mark.parametrize(("code", "body"), BAD, ids=[f"{c}-{i}" for i, (c, _) in enumerate(BAD)])
def test_names_what_is_wrong(code: str, body: bytes) -> None:
    """Each kind of bad input has a code of its own."""
    with pytest.raises(PermanentError) as caught:
        read(body)
    assert caught.value.code == code
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [("text/plain", None), ("application/json; charset=latin-1", None), ("application/json", "gzip")],
)
def test_refuses_what_it_cannot_read(content_type: str, encoding: str | None) -> None:
    """Another content type or encoding is not guessed at."""
    with pytest.raises(PermanentError) as caught:
        read(BODY, content_type, encoding)
    assert caught.value.code == "unsupported_content_type"


def test_refuses_a_body_over_the_limit() -> None:
    """The limit is a setting, and the message names it."""
    with pytest.raises(PermanentError, match="max_message_bytes") as caught:
        decode(BODY, None, None, len(BODY) - 1)
    assert caught.value.code == "message_too_large"
    assert decode(BODY, None, None, len(BODY)).payment.payment_id == "pay-1"


def test_an_error_repeats_no_value_of_the_method() -> None:
    """A card number that stands where it should not is not passed on into messages."""
    with pytest.raises(PermanentError) as caught:
        read(changed(method={"number": "4111111111111111"}, type=4111111111111111))
    assert "4111" not in str(caught.value)


def test_a_long_list_of_problems_is_cut() -> None:
    """At most five problems are told, and how many more there are."""
    with pytest.raises(PermanentError, match="and 2 more"):
        read(orjson.dumps({"payment_id": 1, "country": 1, "method": 1}))


HINTS: list[tuple[str, Callable[[], bytes], str | None]] = [
    ("readable", lambda: changed(type=1), "pay-1"),
    ("invalid id", lambda: changed(payment_id="a b"), None),
    ("not an object", lambda: b"[1]", None),
    ("not json", lambda: b"{", None),
    ("no id", lambda: b"{}", None),
]


@pytest.mark.parametrize(("body", "hint"), [(b(), h) for _, b, h in HINTS], ids=[n for n, _, _ in HINTS])
def test_hints_at_the_payment_id(body: bytes, hint: str | None) -> None:
    """A dead letter names the payment where its id can be read."""
    assert payment_id_hint(body) == hint
