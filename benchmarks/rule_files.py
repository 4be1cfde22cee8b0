"""Rule files and payments for the benchmarks: every payment is dispatched, and the last rules decide most.

A platform's table: contracts of single merchants first, general rules behind them. However many contracts
there are, the payments meet the same few of them, so that tables of different length do the same work.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from worker.generate import STUDIOS, generate

MESSAGE_BYTES: Final = 350
"""What one payment's message has, padded by a member of its metadata."""

PROCESSORS: Final = ("aurora", "borealis", "coinbox", "dragonpay", "railway")
_FIXED: Final = {
    "EUR": "0.25",
    "USD": "0.30",
    "GBP": "0.20",
    "JPY": "30",
    "BRL": "0.60",
    "SEK": "2.50",
    "CHF": "0.30",
}
_EUROPE: Final = ["DE", "FR", "IT", "ES", "NL", "SE"]


def payments(count: int, seed: int = 1) -> list[bytes]:
    """Return payments of about MESSAGE_BYTES, the same for the same seed, ids unlike those of other seeds."""
    return [_padded(body) for body in generate(count, seed)]


def _padded(body: bytes) -> bytes:
    missing = MESSAGE_BYTES - len(body) - len(b'"session":"",')
    if missing <= 0:
        return body
    session = (b"0123456789abcdef" * (missing // 16 + 1))[:missing]
    return body.replace(b'"metadata":{', b'"metadata":{"session":"' + session + b'",', 1)


def everything_on(
    folder: Path,
    rules: int = 20,
    processors: int = 5,
    batch: Mapping[str, Any] | None = None,
    prefix: str | None = None,
) -> Path:
    """Write a rule file with fees, and so many rules and processors, to a new file in ``folder``.

    ``batch`` is what every processor asks for, such as ``{"max_payments": 100, "max_wait": "5ms"}``. With a
    ``prefix`` the processors' exchanges have it, since an inbox belongs to the workers of one prefix.
    """
    names = [*PROCESSORS[:processors], *(f"processor-{n}" for n in range(len(PROCESSORS), processors))]
    document = {
        "version": 1,
        "groups": {"europe": _EUROPE},
        "processors": {name: _processor(name, batch, prefix) for name in names},
        "fees": _FEES,
        "rules": list(_rules(rules, names)),
        "default": {"reject": {"code": "no_route", "reason": "no rule covers this payment"}},
    }
    marks = [
        "rules",
        str(rules),
        str(processors),
        *([prefix] if prefix else []),
        *(["batched"] if batch else []),
    ]
    path = folder / f"{'-'.join(marks)}.yaml"
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return path


def _processor(name: str, batch: Mapping[str, Any] | None, prefix: str | None) -> dict[str, Any]:
    made: dict[str, Any] = {"cost": {"components": [{"name": "acquiring", "percent": "0.55"}]}}
    if batch is not None:
        made["batch"] = dict(batch)
    if prefix is not None:
        made["exchange"] = f"{prefix}.processor.{name}"
    return made


_FEES: Final[dict[str, Any]] = {
    "cards": {
        "components": [{"name": "processing", "percent": "2.9", "fixed": _FIXED}],
        "when_fee_exceeds": "clamp",
    },
    "wallets": {"components": [{"name": "processing", "percent": "3.4"}]},
    "transfers": {
        "components": [
            {
                "name": "processing",
                "percent": "0.8",
                "maximum": {"EUR": "5.00", "USD": "5.00", "GBP": "4.00", "SEK": "50.00"},
            }
        ]
    },
    "partner": {
        "components": [{"name": "processing", "percent": "1.9"}, {"name": "platform", "percent": "0.5"}]
    },
}


def _rules(count: int, processors: list[str]) -> Iterator[dict[str, Any]]:
    """Yield contracts, of which every studio that buys has one, and then what holds for everybody else."""

    def to(number: int, fees: str) -> dict[str, Any]:
        first, second = (processors[n % len(processors)] for n in (number, number + 1))
        return {"to": first, "fallback": [second] if second != first else [], "fees": fees}

    general: list[tuple[str, dict[str, Any], str]] = [
        ("micro-purchases", {"type": "wallet", "amount": {"lt": "1"}}, "wallets"),
        ("european-cards", {"type": "card", "currency": ["EUR", "SEK"], "country": "$europe"}, "cards"),
        ("cards", {"type": "card"}, "cards"),
        ("wallets", {"type": "wallet"}, "wallets"),
        ("transfers", {"type": "bank_transfer"}, "transfers"),
    ]
    contracts = count - len(general)
    if contracts < len(STUDIOS):
        raise ValueError(f"a table has {len(general) + len(STUDIOS)} rules at least, not {count}")
    for number in range(contracts):
        # the studios' own contracts are the last, so that payments pass all the others
        own = number - (contracts - len(STUDIOS))
        merchant = STUDIOS[own] if own >= 0 else f"merchant-{number}"
        when = {
            "merchant_id": merchant,
            "type": "card",
            "currency": ["EUR", "USD", "GBP"],
            "amount": {"gte": "5", "lt": f"{100 + number}"},
        }
        yield {"name": f"contract-{number}", "when": when, "route": to(number, "partner")}
    for number, (name, when, fees) in enumerate(general):
        yield {"name": name, "when": when, "route": to(number, fees)}
