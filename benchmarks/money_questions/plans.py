"""How long does the plan of one payment take? The worker, bare decimal, py-moneyed and stockholm.

A plan is what one payment needs: parse the amount, charge 2.9 % plus 0.30 with a minimum of 0.50, rounded
half even, add 20 % tax on the fee, split the net into 50, 30 and 20 %, and write all seven sums as text. All
contestants give the same sums, which is checked first.
"""

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal

import moneyed
import stockholm

from benchmarks.money_questions.timing import EUR, TEXTS, medians
from worker.money import (
    FeeComponent,
    FeeSchedule,
    FixedTerm,
    Percent,
    PercentTerm,
    Prices,
    Share,
    Split,
    TaxComponent,
    formatter,
    parse_units,
)

SCHEDULE = FeeSchedule(
    "card",
    (
        FeeComponent(
            "processing",
            (PercentTerm(Percent.parse("2.9")), FixedTerm(Prices.of({"EUR": "0.30"}))),
            minimum=Prices.of({"EUR": "0.50"}),
        ),
        TaxComponent("vat", Percent.parse("20")),
    ),
)
SPLIT = Split(
    tuple(Share(name, Percent.parse(part)) for name, part in (("a", "50"), ("b", "30"), ("c", "20")))
)

Sums = tuple[str, ...]


def measure_plans(rounds: int) -> dict[str, float]:
    """Return the median microseconds of a plan by contestant, after checking that they agree."""
    contestants = {
        "worker": worker_plan(),
        "decimal": decimal_plan(),
        "py-moneyed": moneyed_plan(),
        "stockholm": stockholm_plan(),
    }
    check_agreement(contestants)
    return medians(contestants, rounds, TEXTS)


def worker_plan() -> Callable[[str], Sums]:
    """Return the plan as the worker does it: compiled schedule and split, integers between the texts."""
    charge, split, write = SCHEDULE.compile(EUR).charge_units, SPLIT.units, formatter(2)

    def plan(text: str) -> Sums:
        units, scale = parse_units(text)
        gross, net, _, (fee, tax) = charge(units, scale)
        first, second, third = split(net)
        return write(gross), write(fee), write(tax), write(net), write(first), write(second), write(third)

    return plan


def decimal_plan() -> Callable[[str], Sums]:
    """Return the plan in bare decimals: no currency, no bounds, no check that it adds up."""
    cent, rate, fixed, least, vat = map(Decimal, ("0.01", "0.029", "0.30", "0.50", "0.20"))
    half, less = Decimal("0.5"), Decimal("0.3")

    def plan(text: str) -> Sums:
        gross = Decimal(text)
        fee = max((gross * rate + fixed).quantize(cent, ROUND_HALF_EVEN), least)
        tax = (fee * vat).quantize(cent, ROUND_HALF_EVEN)
        net = gross - fee - tax
        first = (net * half).quantize(cent, ROUND_HALF_EVEN)
        second = (net * less).quantize(cent, ROUND_HALF_EVEN)
        return str(gross), str(fee), str(tax), str(net), str(first), str(second), str(net - first - second)

    return plan


def moneyed_plan() -> Callable[[str], Sums]:
    """Return the plan in py-moneyed; text is the amount's, since its own str() formats for a locale."""
    euro = moneyed.EUR
    rate, vat, half, less = map(Decimal, ("0.029", "0.20", "0.5", "0.3"))
    fixed, least = moneyed.Money("0.30", euro), moneyed.Money("0.50", euro)

    def plan(text: str) -> Sums:
        gross = moneyed.Money(text, euro)
        fee = max((gross * rate + fixed).round(2), least)
        tax = (fee * vat).round(2)
        net = gross - fee - tax
        first, second = (net * half).round(2), (net * less).round(2)
        sums = (gross, fee, tax, net, first, second, net - first - second)
        return tuple(str(money.amount) for money in sums)

    return plan


def stockholm_plan() -> Callable[[str], Sums]:
    """Return the plan in stockholm."""
    rate, vat, half, less = map(Decimal, ("0.029", "0.20", "0.5", "0.3"))
    fixed, least = stockholm.Money("0.30", "EUR"), stockholm.Money("0.50", "EUR")

    def plan(text: str) -> Sums:
        gross = stockholm.Money(text, "EUR")
        fee = max(round(gross * rate + fixed, 2), least)
        tax = round(fee * vat, 2)
        net = gross - fee - tax
        first, second = round(net * half, 2), round(net * less, 2)
        sums = (gross, fee, tax, net, first, second, net - first - second)
        return tuple(money.amount_as_string(min_decimals=2) for money in sums)

    return plan


def check_agreement(plans: Mapping[str, Callable[[str], Sums]]) -> None:
    """Stop unless every contestant charges the same and splits the whole net."""
    for text in TEXTS:
        wanted = plans["worker"](text)
        for name, plan in plans.items():
            sums = plan(text)
            assert sums[:4] == wanted[:4], f"{name} charges {sums} for {text}, worker {wanted}"
            assert sum(map(Decimal, sums[4:])) == Decimal(sums[3]), f"{name} splits {sums}"


def plan_rows(plans: Mapping[str, float]) -> list[str]:
    """Return the table of plans, with the goals and whether they were met."""
    worker = plans["worker"]
    goals = {
        "worker": ("under 6 microseconds", worker < 6),
        "decimal": ("at most 2 times its time", worker / plans["decimal"] <= 2),
        "py-moneyed": ("at least 3 times faster", plans["py-moneyed"] / worker >= 3),
        "stockholm": ("at least 10 times faster", plans["stockholm"] / worker >= 10),
    }
    return [
        f"| {name} | {plans[name]:.2f} | {plans[name] / worker:.2f} | {goal} | {'met' if met else 'missed'} |"
        for name, (goal, met) in goals.items()
    ]
