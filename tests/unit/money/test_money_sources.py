"""What the money engine's source may not contain."""

import ast
from pathlib import Path

import pytest

import worker.money
from worker.money import (
    ISO_4217,
    FeeBase,
    FeeComponent,
    FeeSchedule,
    FixedTerm,
    Percent,
    PercentTerm,
    PerItemTerm,
    Prices,
    Rounding,
    TaxComponent,
    Tier,
    TieredTerm,
    TierKind,
)
from worker.money.straight import charge_source

SOURCES = sorted(Path(worker.money.__file__).parent.glob("*.py"))
USERS = [
    Path(worker.money.__file__).parents[1] / name
    for name in (
        "planning.py",
        "dispatch_members.py",
        "routing/explain.py",
        "routing/fees.py",
        "routing/figures.py",
        "routing/plugin_fees.py",
        "routing/price.py",
        "routing/rates.py",
        "routing/simulate.py",
    )
]
FORBIDDEN_NAMES = {
    "float",
    "round",
    "Decimal",
    "Fraction",
    "complex",
    "eval",
    "pow",
    "truediv",
    "__truediv__",
}
FORBIDDEN_ATTRIBUTES = FORBIDDEN_NAMES - {"round"}  # carries have a method of that name
FORBIDDEN_MODULES = {
    "decimal", "fractions", "math", "cmath", "statistics", "random", "time", "os", "logging", "asyncio",
    "aio_pika", "opentelemetry", "yaml", "ruamel", "datetime", "operator", "builtins", "numbers",
}  # fmt: skip
ALLOWED_FROM_MATH = {"gcd"}


def offences(tree: ast.AST) -> list[str]:  # noqa: C901 - one case a rule
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() | complex() as value):
                found.append(f"{node.lineno}: literal {value}")
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                found.append(f"{node.lineno}: true division")
            case ast.BinOp(op=ast.Pow(), right=ast.UnaryOp(op=ast.USub())):
                found.append(f"{node.lineno}: negative power")
            case ast.Name(id=name) if name in FORBIDDEN_NAMES:
                found.append(f"{node.lineno}: {name}")
            case ast.Attribute(attr=name) if name in FORBIDDEN_ATTRIBUTES:
                found.append(f"{node.lineno}: {name}")
            case ast.Import(names=names) if {alias.name.split(".")[0] for alias in names} & FORBIDDEN_MODULES:
                found.append(f"{node.lineno}: import")
            case ast.ImportFrom(module=str(module), names=names) if module in FORBIDDEN_MODULES:
                if module != "math" or {alias.name for alias in names} - ALLOWED_FROM_MATH:
                    found.append(f"{node.lineno}: import from {module}")
            case ast.Global() | ast.Assert():
                found.append(f"{node.lineno}: {type(node).__name__.lower()}")
    return found


def test_the_sources_are_all_there() -> None:
    """The rule below looks at every module of the engine."""
    assert {"amount.py", "charge.py", "fees.py", "rate.py", "settled.py", "wire.py"} <= {
        p.name for p in SOURCES
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_float_division_or_context_rounding(path: Path) -> None:
    """No float literal or call, no true division, no Decimal or Fraction, no clock, no assert, no global."""
    assert offences(ast.parse(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("path", USERS, ids=lambda path: path.name)
def test_whoever_computes_with_money_keeps_the_rule(path: Path) -> None:
    """The rest of a payment's way is as exact; it may know the time."""
    found = offences(ast.parse(path.read_text("utf-8")))
    assert [offence for offence in found if not offence.endswith("import from datetime")] == []


@pytest.mark.parametrize("mode", Rounding)
def test_what_schedules_are_written_out_as_keeps_the_rule(mode: Rounding) -> None:
    """The generated function is integer arithmetic too, with every kind of term in it."""
    price, percent = Prices.of({"EUR": "0.30"}), Percent.parse("2.9")
    tiers = (Tier(Prices.of({"EUR": "100"}), percent, price), Tier(None, Percent.parse("1.5")))
    fee = FeeComponent(
        "fee", (PercentTerm(percent), PerItemTerm(price), TieredTerm(TierKind.GRADUATED, tiers)), price
    )
    left = FeeComponent("left", (FixedTerm(price),), maximum=price, base=FeeBase.REMAINING)
    schedule = FeeSchedule("x", (fee, left, TaxComponent("vat", percent)), mode)
    steps = schedule.compile(ISO_4217.lookup("EUR")).programs[0]
    for inclusive in (True, False):
        source = charge_source(steps, 2, mode, inclusive=inclusive)
        assert "bisect_left" in source
        assert offences(ast.parse(source)) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 1.0", "x = 1j", "x = a / b", "a /= b", "float(x)", "map(float, x)", "round(x)", "import decimal",
        "from decimal import Decimal", "from fractions import Fraction", "from math import floor",
        "10 ** -2", "a ** -b", "pow(10, -2)", "builtins.float(x)",
        "operator.truediv(a, b)", "a.__truediv__(b)", "from operator import truediv", "import operator",
        "import math", "import os.path", "assert x", "def f():\n    global x", "import datetime",
    ],
)  # fmt: skip
def test_the_rule_finds_each_offence(source: str) -> None:
    """A rule that cannot fail would prove nothing."""
    assert len(offences(ast.parse(source))) >= 1


def test_the_rule_allows_integer_arithmetic() -> None:
    """Floor division, divmod and gcd are exact."""
    assert offences(ast.parse("from math import gcd\nx = a // b + gcd(a, b) * divmod(a, b)[0]")) == []
