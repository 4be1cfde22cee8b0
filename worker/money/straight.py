"""A compiled schedule as straight-line Python: no loop, no lookup, nothing but its own integers.

What runs once a payment is worth writing out, as the standard library does for dataclasses. The function made
here takes only the ordinary case: an amount at the currency's exponent, within bounds, whose fees it can
afford. Everything else, and every error, is the careful path's, which interprets the same steps; laws hold
both to the same results.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from worker.money.rounding import Rounding, divider
from worker.money.steps import Step
from worker.money.text import MAX_UNITS

MAX_ITEMS: Final = 1_000_000
"""Most items that one payment may be charged for."""

ChargedUnits = tuple[int, int, int, tuple[int, ...]]
"""Gross and net at the scale that follows them, then each fee at the currency's exponent."""

ChargeUnits = Callable[..., ChargedUnits]
"""``(units, scale, items=1)`` to gross, net, scale and fees."""


def straight_line(
    steps: Sequence[Step], exponent: int, mode: Rounding, careful: ChargeUnits, *, inclusive: bool
) -> ChargeUnits:
    """Return the steps as one function, which gives to ``careful`` whatever is not the ordinary case."""
    names: dict[str, object] = {"careful": careful, "divide": divider(mode), "bisect_left": bisect_left}
    source = charge_source(steps, exponent, mode, inclusive=inclusive)
    for index, step in enumerate(steps):
        names |= {f"bounds{index}": step.bounds, f"lines{index}": step.lines}
    exec(compile(source, "<fee schedule>", "exec"), names)  # noqa: S102 - the source is made of integers alone
    made: ChargeUnits = names["charge_units"]  # type: ignore[assignment]
    return made


def charge_source(steps: Sequence[Step], exponent: int, mode: Rounding, *, inclusive: bool) -> str:
    """Return the source of the function, to be read by whoever wonders what is computed."""
    fees = [f"fee{index}" for index in range(len(steps))]
    taken = " + ".join(fees) or "0"
    body = [line for index, step in enumerate(steps) for line in _step_source(step, index, mode)]
    outcome = (
        ["net = units - taken", f"if net >= 0 and net + {taken} == units:"]
        if inclusive
        else ["gross = units + taken", f"if gross <= {MAX_UNITS} and gross - units == {taken}:"]
    )
    gross_net = "units, net" if inclusive else "gross, units"
    lines = [
        "def charge_units(units, scale, items=1):",
        f"    if (type(units) is int and type(scale) is int and type(items) is int and scale == {exponent}",
        f"            and 0 < units <= {MAX_UNITS} and 0 <= items <= {MAX_ITEMS}):",
        *(f"        {line}" for line in (*body, f"taken = {taken}", *outcome)),
        f"            return {gross_net}, {exponent}, ({''.join(f'{fee}, ' for fee in fees)})",
        "    return careful(units, scale, items)",
    ]
    return "\n".join(lines) + "\n"


def _step_source(step: Step, index: int, mode: Rounding) -> list[str]:
    fee, (slope, offset) = f"fee{index}", map(str, step.lines[0])
    earlier = [f"fee{position}" for position in (range(index) if step.taxed is None else step.taxed)]
    total = f"({' + '.join(earlier) or '0'})"
    lines = []
    base = "units" if step.taxed is None else total
    if step.remaining:
        lines.append(f"base = max(units - {total}, 0)")
        base = "base"
    if step.bounds:
        lines.append(f"slope, offset = lines{index}[bisect_left(bounds{index}, {base})]")
        slope, offset = "slope", "offset"
    numerator = f"{base} * {slope} + {offset}"
    if step.per_item:
        numerator += f" + {step.per_item} * items"
    lines += _division_source(fee, numerator, step.denominator, mode)
    if step.low:
        lines += [f"if {fee} < {step.low}:", f"    {fee} = {step.low}"]
    if step.high < MAX_UNITS:  # what is more cannot be afforded, or does not fit: the careful path says so
        lines += [f"if {fee} > {step.high}:", f"    {fee} = {step.high}"]
    return lines


def _division_source(fee: str, numerator: str, denominator: int, mode: Rounding) -> list[str]:
    if mode is not Rounding.HALF_EVEN:
        return [f"{fee} = divide({numerator}, {denominator})"]
    raised = f"{numerator} + {denominator // 2}"
    if denominator % 2:  # no ties
        return [f"{fee} = ({raised}) // {denominator}"]
    return [
        f"raised = {raised}",
        f"{fee} = raised // {denominator}",
        f"if {fee} & 1 and {fee} * {denominator} == raised:",
        f"    {fee} -= 1",
    ]
