"""Realistic payments of a gaming platform, the same for the same seed, with a chosen share of bad ones."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

# Shares and prices are made up; they only have to look like a platform's day.
MARKETS: Final = (  # (country, currency, weight, price points)
    ("US", "USD", 30, ("0.99", "1.99", "4.99", "9.99", "19.99", "49.99", "99.99")),
    ("DE", "EUR", 18, ("0.99", "1.99", "4.99", "9.99", "24.99", "49.99")),
    ("FR", "EUR", 10, ("0.99", "2.99", "4.99", "9.99", "24.99")),
    ("GB", "GBP", 10, ("0.79", "1.79", "4.49", "8.99", "19.99")),
    ("JP", "JPY", 12, ("120", "250", "610", "1220", "3060")),
    ("BR", "BRL", 8, ("4.90", "9.90", "24.90", "49.90")),
    ("SE", "SEK", 5, ("12.00", "29.00", "59.00", "119.00")),
    ("CH", "CHF", 4, ("1.00", "5.00", "10.00")),
)
TYPES: Final = (("card", 70), ("wallet", 24), ("bank_transfer", 6))
TRANSFER_CURRENCIES: Final = ("USD", "EUR", "GBP", "SEK")
STUDIOS: Final = ("studio-aurora", "studio-basalt", "studio-cirrus", "studio-dune", "studio-ember")
NETWORKS: Final = (("visa", "411111"), ("mastercard", "555555"), ("amex", "378282"))
MICRO_SHARE: Final = 0.08
BASE_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)

Spoiler = Callable[[dict[str, Any]], bytes]


def generate(count: int, seed: int, bad_share: float = 0.0) -> Iterator[bytes]:
    """Yield ``count`` payments as JSON without line breaks.

    ``bad_share`` of them, between 0 and 1, are bad in one of many ways. Payment ids hold the seed, so that
    different seeds give different payments.
    """
    chance = random.Random(seed)  # noqa: S311 - test data, and the same for the same seed
    for number in range(count):
        payment = _payment(chance, seed, number)
        if chance.random() < bad_share:
            yield chance.choice(SPOILERS)(payment)
        else:
            yield orjson.dumps(payment)


def _payment(chance: random.Random, seed: int, number: int) -> dict[str, Any]:
    country, currency, _, prices = chance.choices(MARKETS, [market[2] for market in MARKETS])[0]
    kind = chance.choices([name for name, _ in TYPES], [weight for _, weight in TYPES])[0]
    if kind == "bank_transfer" and currency not in TRANSFER_CURRENCIES:
        kind = "wallet"
    value = chance.choice(prices)
    if chance.random() < MICRO_SHARE:
        kind, value = "wallet", f"0.{chance.randrange(1, 500):04d}"
    created = BASE_TIME + timedelta(milliseconds=37 * number)
    payment: dict[str, Any] = {
        "payment_id": f"pay-{seed}-{number:07d}",
        "type": kind,
        "amount": {"value": value, "currency": currency},
        "merchant_id": chance.choice(STUDIOS),
        "customer_id": f"player-{chance.randrange(1_000_000):06d}",
        "country": country,
        "created_at": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "metadata": {
            "item": chance.choice(("gems", "skin", "pass", "boost", "coins")),
            "level": chance.randrange(1, 90),
        },
    }
    if payment["type"] == "card":
        network, bin_ = chance.choice(NETWORKS)
        payment["method"] = {"bin": bin_, "network": network, "last4": f"{chance.randrange(10_000):04d}"}
    return payment


def _amount(value: object, currency: str | None = None) -> Spoiler:
    def spoil(payment: dict[str, Any]) -> bytes:
        amount = {**payment["amount"], "value": value}
        return orjson.dumps(
            {**payment, "amount": amount if currency is None else {**amount, "currency": currency}}
        )

    return spoil


SPOILERS: Final[tuple[Spoiler, ...]] = (
    _amount(12.34),
    _amount("12.34", "EUX"),
    _amount("0.305", "KWD"),
    _amount("0.00"),
    _amount("-4.99"),
    _amount("NaN"),
    _amount("1.0000000000001"),
    _amount("9" * 400),
    lambda payment: orjson.dumps(payment)[:-20],
    lambda payment: orjson.dumps({name: value for name, value in payment.items() if name != "merchant_id"}),
    lambda payment: orjson.dumps(payment)[:-1] + b',"type":"card"}',
    lambda payment: orjson.dumps({**payment, "payment_id": payment["payment_id"] + "\u202e"}),
    lambda payment: orjson.dumps({**payment, "country": "XX"}),
    lambda payment: orjson.dumps(payment)[:-1] + b',"nested":' + b"[" * 200 + b"]" * 200 + b"}",
)
"""Ways in which payments go wrong; each leaves a line that the worker must refuse by name."""
