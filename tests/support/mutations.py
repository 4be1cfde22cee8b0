"""Payments as no producer should write them: JSON mutated as JSON, then as bytes, by a seed."""

import json
import random
from typing import Any, Final

KINDS: Final = ("card", "wallet", "voucher", "CARD", "", "card ", "a" * 33)
CURRENCIES: Final = ("EUR", "USD", "GBP", "CHF", "JPY", "KWD", "eur", "EUX", "XAU", "DEM", "", "EURO")
VALUES: Final = (
    "1", "12.34", "0.000125", "0.000000000001", "9223372036854775807", "9223372036854775808", "0", "-0",
    "-1.00", "01.00", "1e3", "+1", " 1", "1 ", "1_000", "1,5", ".5", "5.", "0x1f", "NaN", "\u0661\u0662",
    "\uff11", "1.0000000000001", "7" * 400,
)  # fmt: skip
RAW_VALUES: Final = (
    b"12.34", b"12", b"1e400", b"-0", b"1E2", b"NaN", b"-Infinity", b"null", b"true", b"[]", b"{}", b'""',
    b'"\\ud800"', b'"\\u0000"', b'"\xff"', b"7" * 400, b"[" * 40 + b"]" * 40, b'{"value":"1","value":"2"}',
    b'"\xe2\x80\xae"', b"[1,2.50,-3e-7]", b'{"a":{"b":[null]}}',
)  # fmt: skip
"""JSON values, or what passes for them, to stand where something else should."""
TEMPTING: Final = b'{}[]",:\\u0 \t\n\x00\x7f\xc3\xff\xef-+.eE'
MEMBERS: Final = (
    "note",
    "country",
    "metadata",
    "method",
    "customer_id",
    "dispatch_id",
    "fees",
    "attempt",
    "",
)


def payment(chance: random.Random, number: int) -> dict[str, Any]:
    """The members of a payment, most of which are good."""
    usual = chance.random() < 0.8
    members: dict[str, Any] = {
        "payment_id": f"pay-{number}",
        "type": "card" if usual else chance.choice(KINDS),
        "amount": {
            "value": "12.34" if usual else chance.choice(VALUES),
            "currency": chance.choice(CURRENCIES[:2] if usual else CURRENCIES),
        },
        "merchant_id": "studio",
        "created_at": "2026-11-24T12:00:00Z",
    }
    if chance.random() < 0.3:
        members["metadata"] = {"level": chance.choice((7, True, "text", 2**63, 1.5))}
    return members


def mutated(chance: random.Random, number: int) -> bytes:
    """A body: a payment written out, with a few of its members or bytes made otherwise."""
    pairs = [
        (json.dumps(name, ensure_ascii=chance.random() < 0.5).encode(), json.dumps(value).encode())
        for name, value in payment(chance, number).items()
    ]
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        _mutate_members(chance, pairs)
    colon, comma = chance.choice(((b":", b","), (b": ", b", "), (b" :\n\t", b" ,\r\n")))
    body = bytearray(b"{" + comma.join(name + colon + value for name, value in pairs) + b"}")
    for _ in range(chance.choice((0, 0, 0, 1, 3))):
        _mutate_bytes(chance, body)
    return bytes(body)


def _mutate_members(chance: random.Random, pairs: list[tuple[bytes, bytes]]) -> None:
    """Repeat, escape, rename, remove, move or replace a member."""
    place = chance.randrange(len(pairs))
    name, value = pairs[place]
    match chance.randrange(6):
        case 0:
            pairs.insert(chance.randrange(len(pairs) + 1), (name, chance.choice((value, *RAW_VALUES))))
        case 1:
            escaped = b"".join(b"\\u%04x" % letter for letter in name[1:-1])
            pairs.insert(chance.randrange(len(pairs) + 1), (b'"%b"' % escaped, value))
        case 2:
            pairs[place] = (json.dumps(chance.choice(MEMBERS)).encode(), value)
        case 3 if len(pairs) > 1:
            del pairs[place]
        case 4:
            pairs.append((json.dumps(chance.choice(MEMBERS)).encode(), chance.choice(RAW_VALUES)))
        case _:
            pairs[place] = (name, chance.choice(RAW_VALUES))


def _mutate_bytes(chance: random.Random, body: bytearray) -> None:
    """Change, insert, remove or repeat some bytes, or cut the rest off."""
    if not body:
        return
    place = chance.randrange(len(body))
    match chance.randrange(5):
        case 0:
            body[place] = chance.choice(TEMPTING)
        case 1:
            body.insert(place, chance.choice(TEMPTING))
        case 2:
            del body[place]
        case 3:
            body[place:place] = body[place : place + chance.randrange(1, 20)]
        case _:
            del body[place:]
