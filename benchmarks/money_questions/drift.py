"""How far do one million amounts drift from their exact total: as floats, rounded one by one, carried?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from benchmarks.money_questions.timing import EUR
from worker.money import (
    Amount,
    Carry,
    FeeComponent,
    FeeSchedule,
    Money,
    Percent,
    PercentTerm,
    Rounding,
    settle,
    settle_carrying,
)

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


def drift_rows(drift: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    """Return the table of distances after all payments."""
    last = {name: {way: values[-1] for way, values in errors.items()} for name, errors in drift.items()}
    return [
        f"| {name} | {errors['float']:.2g} | {errors['naive rounding']:.2f} | {errors['carry']:.2g} |"
        for name, errors in last.items()
    ]
