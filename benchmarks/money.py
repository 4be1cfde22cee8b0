"""The money engine beside py-moneyed, stockholm and bare decimal: ``python -m benchmarks.money [--quick]``.

Three questions, each a module of ``money_questions``: plans, operations, drift. Rounds are interleaved and
medians are compared. A goal that is missed is marked as such in the tables; it is no failure of the run.
"""

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.money_questions.drift import SAMPLES, drift_rows, fee_drift, micro_drift, plot_drift

try:
    from benchmarks.money_questions.operations import measure_operations, operation_rows
    from benchmarks.money_questions.plans import measure_plans, plan_rows
except ModuleNotFoundError as missing:
    if missing.name not in {"moneyed", "stockholm"}:
        raise
    sys.exit(f"the benchmark needs {missing.name}, which `make bench` installs with the other rivals")

RESULTS = Path(__file__).parent / "results"


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
    plans, operations = measure_plans(rounds), measure_operations(rounds)
    micro = micro_drift()
    fees, wrong = fee_drift()
    drift = {"amounts of 0.000125": micro, "fees of 2.5 %": fees}
    text = report(plans, operations, drift, wrong)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "money.md").write_text(text, "utf-8")
        found = {
            "python": platform.python_version(),
            "plan_us": plans,
            "operations_us": operations,
            "drift_samples": list(SAMPLES),
            "drift_eur": drift,
            "float_fees_off_by_a_cent": wrong,
        }
        (RESULTS / "money.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        plot_drift(micro, fees, RESULTS / "money_drift.png")
    print(text)
    return 0


def report(
    plans: Mapping[str, float],
    operations: Mapping[str, Mapping[str, float]],
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
        "py-moneyed. Objects are read by a `money_reader` from text and code, and by `Money.parse` where the",
        "currency is at hand. Its str() formats for a locale; the last row has its bare Decimal instead.",
        "",
        "| operation | worker, integers | worker, objects | py-moneyed | integers | objects |",
        "| --- | ---: | ---: | ---: | --- | --- |",
        *operation_rows(operations),
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
