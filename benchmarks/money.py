"""The money engine beside py-moneyed, stockholm and bare decimal: ``python -m benchmarks.money [--quick]``.

A plan is what one payment needs: parse the amount, charge 2.9 % plus 0.30 with a minimum of 0.50, rounded
half even, add 20 % tax on the fee, split the net into 50, 30 and 20 %, and write all seven sums as text. All
contestants give the same sums, which is checked first. Rounds are interleaved and medians are compared.
A goal that is missed is marked as such in the tables; it is no failure of the run.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

try:
    import moneyed
    import stockholm
except ModuleNotFoundError as missing:
    if __name__ != "__main__":
        raise
    sys.exit(f"the benchmark needs {missing.name}, which `make bench` installs with the other rivals")

from worker.errors import TooManyDigits
from worker.money import (
    ISO_4217,
    Amount,
    Carry,
    FeeComponent,
    FeeSchedule,
    FixedTerm,
    Money,
    Percent,
    PercentTerm,
    Prices,
    Rounding,
    Share,
    Split,
    TaxComponent,
    format_units,
    formatter,
    parse_units,
    rescale,
    settle,
    settle_carrying,
)
from worker.money.text import checked

RESULTS = Path(__file__).parent / "results"
EUR = ISO_4217.lookup("EUR")
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
# 5.00 to 904.99, every cent as likely, the same in every run
TEXTS = [format_units(500 + index * 7919 % 90_000, 2) for index in range(1000)]

Sums = tuple[str, ...]


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


def medians(
    contestants: Mapping[str, Callable[[str], object]], rounds: int, items: Sequence[str]
) -> dict[str, float]:
    """Return the median microseconds an item of interleaved rounds, in processor time."""
    seen: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, function in contestants.items():
            started = time.thread_time()
            for item in items:
                function(item)
            seen[name].append((time.thread_time() - started) / len(items) * 1e6)
    return {name: statistics.median(times) for name, times in seen.items()}


def operations(rounds: int) -> list[dict[str, object]]:
    """Return each single operation in integers, in objects and in py-moneyed, in microseconds."""
    euro, mode = moneyed.EUR, Rounding.HALF_EVEN

    def parse_integer(text: str) -> int:
        currency = lookup("EUR")
        units, scale = parse_units(text)
        if scale > currency.exponent:
            raise TooManyDigits(text)
        return units if scale == currency.exponent else units * 10 ** (currency.exponent - scale)

    lookup, money, amount = ISO_4217.lookup, Money(1234, EUR), Amount(12345, 3, EUR)
    theirs, precise = moneyed.Money("12.34", euro), moneyed.Money("12.345", euro)
    cases: dict[str, tuple[Callable[[str], object], Callable[[str], object], Callable[[str], object]]] = {
        "parse, with the currency's code": (
            parse_integer,
            lambda text: Money.parse(text, lookup("EUR")),
            lambda text: moneyed.Money(text, "EUR"),
        ),
        "add": (lambda _: checked(1234 + 1234, 2), lambda _: money + money, lambda _: theirs + theirs),
        "round to the cent": (
            lambda _: rescale(12345, 3, 2, mode),
            lambda _: amount.rounded(2, mode),
            lambda _: precise.round(2),
        ),
        "format": (lambda _: format_units(1234, 2), lambda _: str(money), lambda _: str(theirs)),
        "format, their bare amount": (
            lambda _: format_units(1234, 2),
            lambda _: str(money),
            lambda _: str(theirs.amount),
        ),
    }
    rows = []
    for name, (integers, objects, other) in cases.items():
        found = medians({"integers": integers, "objects": objects, "py-moneyed": other}, rounds, TEXTS)
        rows.append({"operation": name, **found})
    return rows


# --- drift -----------------------------------------------------------------------------------------------

PAYMENTS = 1_000_000
SAMPLES = (*(step * 10**power for power in range(6) for step in (1, 2, 5)), PAYMENTS)
MICRO = Amount.parse("0.000125", EUR)
MICRO_DECIMAL = Decimal("0.000125")
FEE_PERCENT = Percent.parse("2.5")


@dataclass(slots=True)
class Worst:
    """The largest distance from the exact total so far, in EUR, noted at the samples; for the plot only."""

    ways: tuple[str, ...]
    errors: dict[str, list[float]] = field(default_factory=dict)
    largest: dict[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.errors = {way: [] for way in self.ways}
        self.largest = dict.fromkeys(self.ways, Decimal(0))

    def note(self, count: int, truth: Decimal, found: Sequence[Decimal]) -> None:
        """Compare every way's total with the exact one after so many payments."""
        for way, total in zip(self.ways, found, strict=True):
            self.largest[way] = max(self.largest[way], abs(total - truth))
            if count in SAMPLES:
                self.errors[way].append(float(self.largest[way]))


def micro_drift() -> dict[str, list[float]]:
    """Sum one million amounts of 0.000125; return how far each way was from the exact total, in EUR."""
    worst = Worst(("float", "naive rounding", "carry", "exact amounts"))
    binary, naive, carried, exact, carry = 0.0, Money(0, EUR), Money(0, EUR), Amount.zero(EUR), Carry()
    step = settle(MICRO, Rounding.HALF_EVEN).money
    for count in range(1, PAYMENTS + 1):
        binary += 0.000125
        naive += step
        exact += MICRO
        settled, carry = settle_carrying(MICRO, carry)
        carried += settled.money
        totals = (Decimal(binary), Decimal(str(naive)), Decimal(str(carried)), Decimal(str(exact)))
        worst.note(count, MICRO_DECIMAL * count, totals)
    return worst.errors


def fee_drift() -> tuple[dict[str, list[float]], int]:
    """Charge 2.5 % of one million amounts; return the errors in EUR and how many floats were wrong."""
    half_up, half_even = (
        FeeSchedule("fee", (FeeComponent("fee", (PercentTerm(FEE_PERCENT),)),), mode)
        .compile(EUR)
        .charge_units
        for mode in (Rounding.HALF_UP, Rounding.HALF_EVEN)
    )
    worst = Worst(("float", "naive rounding", "carry"))
    binary, naive, carried, exact, carry, wrong = 0.0, 0, 0, 0, Carry(), 0
    for count in range(1, PAYMENTS + 1):
        cents = 1 + count * 7919 % 4000
        fee = round(cents / 100 * 0.025, 2)
        binary += fee
        wrong += round(fee * 100) != half_even(cents, 2)[3][0]
        naive += half_up(cents, 2)[3][0]
        units, carry = carry.round(cents * 25, 1000)
        carried += units
        exact += cents * 25
        worst.note(
            count, Decimal(exact) / 100_000, (Decimal(binary), Decimal(naive) / 100, Decimal(carried) / 100)
        )
    return worst.errors, wrong


def plot_drift(micro: Mapping[str, list[float]], fees: Mapping[str, list[float]], path: Path) -> None:
    """Draw both drifts over the number of payments; distances on a scale that shows nothing as nothing."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = {
        "float": "#c0392b",
        "naive rounding": "#d68910",
        "carry": "#1e8449",
        "exact amounts": "#2471a3",
    }
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), constrained_layout=True)
    panels = (
        (
            axes[0],
            micro,
            "One million amounts of 0.000125 EUR",
            {
                "float": "float, never settled to cents",
                "naive rounding": "each settled alone",
                "carry": "each settled by carry",
                "exact amounts": "exact amounts, never settled",
            },
        ),
        (
            axes[1],
            fees,
            "One million fees of 2.5 %, each charged in cents",
            {"float": "float, rounded", "naive rounding": "each rounded alone", "carry": "carry"},
        ),
    )
    for axis, errors, title, labels in panels:
        for name, values in errors.items():
            axis.plot(SAMPLES, values, marker="o", markersize=3, color=colours[name], label=labels[name])
        axis.axhline(0.01, color="grey", linewidth=0.8, linestyle=":")
        axis.annotate("one cent", (1, 0.012), color="grey", fontsize=8)
        axis.set(
            xscale="log",
            title=title,
            xlabel="payments",
            ylabel="largest distance from the exact total so far, EUR",
        )
        axis.set_yscale("symlog", linthresh=1e-17)
        axis.set_ylim(0, 1e4)
        axis.set_yticks([0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 1, 1e3])
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)


# --- report ----------------------------------------------------------------------------------------------


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


def operation_rows(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the table of single operations, each held against py-moneyed in integers and in objects."""

    def verdict(row: Mapping[str, object], way: str) -> str:
        if row["operation"] == "format, their bare amount":
            return "no goal"
        return "met" if row[way] <= row["py-moneyed"] else "missed"

    return [
        f"| {row['operation']} | {row['integers']:.2f} | {row['objects']:.2f} | {row['py-moneyed']:.2f} | "
        f"{verdict(row, 'integers')} | {verdict(row, 'objects')} |"
        for row in rows
    ]


def drift_rows(drift: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    """Return the table of distances after all payments."""
    last = {name: {way: values[-1] for way, values in errors.items()} for name, errors in drift.items()}
    return [
        f"| {name} | {errors['float']:.2g} | {errors['naive rounding']:.2f} | {errors['carry']:.2g} |"
        for name, errors in last.items()
    ]


def report(
    plans: Mapping[str, float],
    rows: Sequence[Mapping[str, object]],
    drift: Mapping[str, Mapping[str, list[float]]],
    wrong: int,
) -> str:
    """Return the results as Markdown."""
    lines = [
        "# The money engine, measured",
        "",
        f"`python -m benchmarks.money`, CPython {platform.python_version()}: one run, processor time.",
        "",
        "A whole plan, medians: parse, 2.9 % plus 0.30 with a minimum, tax, three shares, seven texts.",
        "",
        "| plan in | microseconds | to the worker's | goal for the worker | |",
        "| --- | ---: | ---: | --- | --- |",
        *plan_rows(plans),
        "",
        "Single operations with all their checks, in microseconds; the goal is to be no slower than",
        "py-moneyed. Its str() formats for a locale; the last row sets its bare Decimal beside our text.",
        "",
        "| operation | worker, integers | worker, objects | py-moneyed | integers | objects |",
        "| --- | ---: | ---: | ---: | --- | --- |",
        *operation_rows(rows),
        "",
        "Largest distance from the exact total over one million payments, in EUR:",
        "",
        "| what | float | naive rounding | carry |",
        "| --- | ---: | ---: | ---: |",
        *drift_rows(drift),
        "",
        f"Rounded as floats, {wrong:,} of the million fees are a cent away from half even.",
        "",
        "![Distance from the exact total](money_drift.png)",
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure, write the results and print them."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.money", description="Measure the money engine beside its peers."
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds; print, and leave the committed results alone"
    )
    quick = parser.parse_args(arguments).quick
    rounds = 7 if quick else 41
    contestants = {
        "worker": worker_plan(),
        "decimal": decimal_plan(),
        "py-moneyed": moneyed_plan(),
        "stockholm": stockholm_plan(),
    }
    check_agreement(contestants)
    plans = medians(contestants, rounds, TEXTS)
    rows = operations(rounds)
    micro = micro_drift()
    fees, wrong = fee_drift()
    drift = {"amounts of 0.000125": micro, "fees of 2.5 %": fees}
    text = report(plans, rows, drift, wrong)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "money.md").write_text(text, "utf-8")
        found = {
            "python": platform.python_version(),
            "plan_us": plans,
            "operations_us": rows,
            "drift_samples": list(SAMPLES),
            "drift_eur": drift,
            "float_fees_off_by_a_cent": wrong,
        }
        (RESULTS / "money.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        plot_drift(micro, fees, RESULTS / "money_drift.png")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
