"""From a delivery's bytes to a payment, or to the reason why they are none. Pure.

The parser keeps the last of two equal keys and a reader downstream might keep the first, so duplicate keys
are refused. The check costs little where the body can be shown to have none: JSON without a backslash has
exactly two quotes for each key and each string, so a body that lost a member when it was parsed has more
quotes than its parsed form written out again.
"""

import json
import re
from typing import Any, NamedTuple, NoReturn

import orjson
from pydantic import ValidationError

from schemas.dispatch import DISPATCH_ONLY_FIELDS
from schemas.payment import Payment
from worker.errors import (
    AmountNotText,
    DuplicateKey,
    EmptyMessage,
    InvalidEncoding,
    InvalidIdentifier,
    InvalidPayment,
    MalformedMessage,
    MessageTooLarge,
    NestingTooDeep,
    NumberOutOfRange,
    PermanentError,
    UnsupportedContentType,
    WorkerError,
)
from worker.money.text import MAX_SCALE, POWERS, parse_units

MAX_DEPTH = 32
_IDENTIFIERS = frozenset({"payment_id", "merchant_id", "customer_id"})
_VALIDATE = Payment.__pydantic_validator__.validate_python


class Decoded(NamedTuple):
    """A payment as a model and as JSON.

    ``members`` are its object's members as they were written, without the outer braces. ``canonical`` is the
    same JSON value in one form for all: compact, its keys sorted.
    """

    payment: Payment
    members: bytes
    canonical: bytes = b""


def decode(body: bytes, content_type: str | None, content_encoding: str | None, max_bytes: int) -> Decoded:
    """Read one payment.

    Raises:
        PermanentError: one of its leaves, naming what is wrong and where in the document.
    """
    if not body:
        raise EmptyMessage("the message has no body; expected one payment as a JSON object")
    if len(body) > max_bytes:
        raise MessageTooLarge(
            f"the body has {len(body):,} bytes; at most {max_bytes:,} are read (max_message_bytes)"
        )
    if content_type != "application/json" or content_encoding:
        _check_content(content_type, content_encoding)
    document = _parse(body)
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    if b"\\" in body or body.count(b'"') != canonical.count(b'"'):
        _check_duplicates(body)
    try:
        payment = _VALIDATE(document)
    except ValidationError as error:
        raise explained(error) from None
    if not DISPATCH_ONLY_FIELDS.isdisjoint(document):
        names = ", ".join(sorted(DISPATCH_ONLY_FIELDS & document.keys()))
        raise InvalidPayment(
            f"the dispatch needs these names for itself, so a payment may not have them: {names}"
        )
    return Decoded(payment, body.strip()[1:-1], canonical)


def payment_id_hint(body: bytes) -> str | None:
    """Return the payment id of a body that could not be read as a payment, where it has a valid one."""
    try:
        document = orjson.loads(body)
        payment_id = document["payment_id"]
        _VALIDATE({**_PLAIN_PAYMENT, "payment_id": payment_id})
    except (ValueError, TypeError, KeyError, IndexError):
        return None
    return str(payment_id)


def amount_hint(body: bytes) -> tuple[str, int] | None:
    """Return currency and units of 10^-12 of a body, however bad the rest of it is, or None."""
    try:
        amount = orjson.loads(body)["amount"]
        currency = amount["currency"]
        units, scale = parse_units(amount["value"])
    except (ValueError, TypeError, KeyError, IndexError, WorkerError):
        return None
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        return None
    return currency, units * POWERS[MAX_SCALE - scale]


_CURRENCY = re.compile(r"[A-Za-z0-9]{1,12}")
_PLAIN_PAYMENT = {
    "type": "card",
    "amount": {"value": "1", "currency": "EUR"},
    "merchant_id": "m",
    "created_at": "2026-01-01T00:00:00Z",
}


def _check_content(content_type: str | None, content_encoding: str | None) -> None:
    if content_type:
        media_type, _, parameters = content_type.partition(";")
        charset = parameters.strip().lower().replace('"', "")
        if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
            raise UnsupportedContentType(
                f"content type {content_type[:80]!a} is not read; send application/json, or for many payments"
                " application/x-ndjson, in UTF-8"
            )
    if content_encoding and content_encoding.lower() not in ("utf-8", "identity"):
        raise UnsupportedContentType(
            f"content encoding {content_encoding[:80]!a} is not read; send the JSON uncompressed"
        )


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _refuse_unparsed(body, error)
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check_depth(document)
    if not isinstance(document, dict):
        raise MalformedMessage(
            f"the body is a JSON {_json_type(document)}; expected one payment as an object"
        )
    return document


def _refuse_unparsed(body: bytes, error: orjson.JSONDecodeError) -> NoReturn:
    try:
        body.decode()
    except UnicodeDecodeError as encoding:
        raise InvalidEncoding(
            f"the body is not UTF-8: byte {encoding.start} is 0x{body[encoding.start]:02x}"
        ) from None
    if "depth" in error.msg or "allocate" in error.msg:
        raise NestingTooDeep(f"arrays and objects are nested deeper than {MAX_DEPTH} levels") from None
    if "infinity" in error.msg:
        raise NumberOutOfRange(
            f"a number is larger than JSON readers can hold (line {error.lineno}, column {error.colno})"
        ) from None
    raise MalformedMessage(
        f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    ) from None


def _check_depth(document: object) -> None:
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise NestingTooDeep(f"arrays and objects are nested deeper than {MAX_DEPTH} levels")


def _check_duplicates(body: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DuplicateKey(
                f"the member {twice[:80]!a} stands twice in one object; readers would disagree on its value"
            )
        return members

    # Numbers stay text: their size is of no interest here, and int() refuses more than 4,300 digits.
    json.loads(body, object_pairs_hook=unique, parse_int=str, parse_float=str)


def explained(error: ValidationError) -> PermanentError:
    """Return what pydantic found wrong with a payment as the error of its dead letter, in people's words."""
    problems = error.errors(include_url=False, include_context=False)
    told = list(dict.fromkeys(f"{_path(p['loc'])}: {_message(p)}" for p in problems))
    text = "; ".join(told[:5])
    if len(told) > 5:
        text += f"; and {len(told) - 5} more"
    first = problems[0]
    if first["loc"] == ("amount", "value") and first["type"] == "string_type":
        return AmountNotText(f'{text}; write amounts as decimal strings, such as "12.34"')
    if first["loc"][0] in _IDENTIFIERS and first["type"] == "string_pattern_mismatch":
        return InvalidIdentifier(text)
    return InvalidPayment(text)


_EXPECTED = {
    "payment_id": "1 to 64 of A-Z a-z 0-9 _ . : -",
    "type": "a lowercase token of up to 32 letters, digits and _, such as card",
    "merchant_id": "1 to 128 printable ASCII characters without spaces",
    "customer_id": "1 to 128 printable ASCII characters without spaces",
    "country": "an ISO 3166-1 alpha-2 code in capitals, such as DE",
    "created_at": "a date and time with an offset as in RFC 3339, such as 2026-11-24T12:00:00Z",
    "amount": 'an object such as {"value": "12.34", "currency": "EUR"}',
    "method": "an object",
    "metadata": "an object whose values are texts, integers within 64 bits, or booleans",
}
_SAID_BY_FIELD = frozenset(
    {
        "string_pattern_mismatch",
        "string_type",
        "model_type",
        "dict_type",
        "int_type",
        "bool_type",
        "int_from_float",
    }
)


def _message(problem: Any) -> str:
    location = problem["loc"]
    if problem["type"] in _SAID_BY_FIELD and location and (len(location) == 1 or location[0] == "metadata"):
        return f"expected {_EXPECTED[location[0]]}"
    if problem["type"] == "missing":
        return "is missing"
    message = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return message[:1].lower() + message[1:]


def _path(location: tuple[int | str, ...]) -> str:
    if location[:1] == ("metadata",):
        location = location[:2]  # pydantic goes on with each type that a value may have
    return (
        ".".join(str(part)[:64].encode("ascii", "backslashreplace").decode() for part in location)
        or "payment"
    )


def _json_type(value: object) -> str:
    names = {
        list: "array",
        str: "string",
        bool: "boolean",
        int: "number",
        float: "number",
        type(None): "null",
    }
    return names.get(type(value), "value")
