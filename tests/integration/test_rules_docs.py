"""The rule files that the documentation shows are rule files."""

import re
from pathlib import Path

import pytest

from schemas.rule_conditions import OPERATORS, TEXT_FIELDS
from schemas.rules import ROUTE_KINDS
from worker.routing.assertions import mismatches, payment_of
from worker.routing.region import NOON
from worker.rules_file import load_rules, load_tests

PAGE = (Path(__file__).parents[2] / "docs" / "routing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_loads_and_its_tests_pass(tmp_path):
    """The first example is a sound table, and the page's assertions hold for it."""
    rules, tests = tmp_path / "rules.yaml", tmp_path / "rules.test.yaml"
    rules.write_text(BLOCKS[0])
    tests.write_text(BLOCKS[1])
    table = load_rules([rules])
    for test in load_tests(tests).tests:
        assert mismatches(table, payment_of(test.payment), NOON, test.expect) == []


def test_the_page_names_every_operator_field_and_route():
    """Nothing of the language is left out."""
    for word in (
        *OPERATORS,
        *TEXT_FIELDS,
        *ROUTE_KINDS,
        "route_defaults",
        "include",
        "units",
        "exponents",
        "health",
    ):
        assert re.search(rf"\b{word}\b", PAGE), word


@pytest.mark.parametrize("route", re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.MULTILINE))
def test_the_routes_shown_load(tmp_path, route):
    """Each example in the table of routes is a route."""
    cost = "{cost: {components: [{name: c, percent: '1'}]}}"
    processors = "".join(f"  {name}: {cost}\n" for name in ("aurora", "borealis", "new", "old"))
    path = tmp_path / "rules.yaml"
    path.write_text(f"version: 1\nprocessors:\n{processors}default: {route}\n")
    load_rules([path])


def test_the_schedules_shown_load(tmp_path):
    """The examples of fee components make one schedule."""
    components = [
        text
        for text in re.findall(r"`(\{name: .*?\})`", PAGE)
        if "volume: [...]" not in text and "test" not in text
    ]
    path = tmp_path / "rules.yaml"
    names = iter("abcdefgh")
    lines = "".join(f"      - {re.sub(r'name: p,', f'name: p-{next(names)},', one)}\n" for one in components)
    path.write_text(f"version: 1\nfees:\n  f:\n    components:\n{lines}default: {{hold: x}}\n")
    assert len(load_rules([path]).fees["f"].schedule.components) == len(components) >= 4
