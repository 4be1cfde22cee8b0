"""Generated rules and payments, the same for every rule engine."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TYPES = ("card", "wallet", "bank_transfer")
CURRENCIES = ("EUR", "USD", "GBP", "SEK", "JPY", "BRL")
COUNTRIES = ("DE", "FR", "IT", "ES", "NL", "US", "GB", "SE", "JP", "BR", "CA", "PL")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one rule asks for; amounts are whole units, None asks nothing."""

    name: str
    type: str
    currency: str
    countries: tuple[str, ...]
    merchant: str | None
    low: int
    high: int


def make_rules(count: int, seed: int = 7) -> list[Wanted]:
    """Return rules as platforms have them: most for one merchant, all with an amount band.

    The last rule is one that a known payment matches and no other rule does.
    """
    pick = random.Random(seed)  # noqa: S311
    rules = []
    for i in range(count - 1):
        low = pick.choice((0, 1, 10, 100))
        rules.append(
            Wanted(
                name=f"rule-{i}",
                type=pick.choice(TYPES),
                currency=pick.choice(CURRENCIES),
                countries=tuple(sorted(pick.sample(COUNTRIES, pick.randint(1, 5)))),
                merchant=f"merchant-{pick.randrange(max(10, count // 2))}" if pick.random() < 0.8 else None,
                low=low,
                high=low * 10 + 50,
            )
        )
    last = Wanted(f"rule-{count - 1}", "card", "PLN", ("PL",), "merchant-last", 1, 10_000)
    return [*rules, last]


def make_payments(count: int, rules: Sequence[Wanted], seed: int = 11) -> list[dict[str, Any]]:
    """Return payments near the rules: half follow one of them, half are drawn freely."""
    pick = random.Random(seed)  # noqa: S311
    payments = []
    for i in range(count):
        rule = pick.choice(rules)
        follows = pick.random() < 0.5
        payments.append(
            {
                "payment_id": f"pay-{i}",
                "type": rule.type if follows else pick.choice(TYPES),
                "currency": rule.currency if follows else pick.choice(CURRENCIES),
                "country": pick.choice(rule.countries if follows else COUNTRIES),
                "merchant": (rule.merchant if follows else None) or f"merchant-{pick.randrange(len(rules))}",
                "amount": pick.randrange(rule.low, rule.high) if follows else pick.randrange(2_000),
            }
        )
    return payments


LAST = {
    "payment_id": "pay-last", "type": "card", "currency": "PLN", "country": "PL",
    "merchant": "merchant-last", "amount": 25,
}  # fmt: skip
