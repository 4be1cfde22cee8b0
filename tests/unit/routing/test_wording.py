"""Whatever has the wrong type, form or length in a rule file is refused in people's words, at its place."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.rule_tests import RuleTests
from schemas.rules import RuleDocument
from worker.routing.wording import PATTERNS
from worker.rules_file import BrokenRules, load_rules

COST = {"components": [{"name": "c", "percent": "1"}]}
TIERS = [{"up_to": {"EUR": "5"}, "percent": "2", "fixed": {"EUR": "1"}}, {"percent": "1"}]
SUMS = {name: {"EUR": "1"} for name in ("fixed", "minimum", "maximum", "per_item")}
WHOLE: dict[str, Any] = {
    "version": 1,
    "include": [],
    "units": {"GEM": {"exponent": 0, "name": "gems"}},
    "groups": {"eea": ["DE", "FR"]},
    "processors": {
        "aurora": {
            "description": "d",
            "exchange": "e",
            "enabled": True,
            "types": ["card"],
            "currencies": ["EUR"],
            "countries": ["DE"],
            "amount": {"gte": "1", "lt": ["5 EUR"]},
            "exponents": {"EUR": 2},
            "health": {"failure_percent": "10", "minimum_payments": 3, "open_seconds": 3},
            "cost": COST,
            "batch": {"max_payments": 10, "max_wait": "5ms"},
        },
    },
    "fees": {
        "f": {
            "mode": "inclusive",
            "rounding": "half_even",
            "when_fee_exceeds": "error",
            "currencies": ["EUR"],
            "components": [
                {"name": "a", "percent": "1", **SUMS, "base": "amount"},
                {"name": "g", "graduated": TIERS},
                {"name": "v", "volume": TIERS},
                {"name": "t", "tax": "19", "of": ["a"]},
            ],
        },
    },
    "route_defaults": {
        "fees": "f",
        "accounts": [{"account": "x", "percent": "5"}, {"account": "y", "rest": True}],
        "settlement_currency": "EUR",
        "priority": 3,
        "expires_after_seconds": 60,
    },
    "rules": [
        {"name": "one", "enabled": True, "when": {}, "route": {"to": "aurora", "fallback": []}},
        {"name": "two", "when": {}, "route": {"split": {"aurora": "100"}}},
        {"name": "three", "when": {}, "route": {"least_cost": ["aurora"]}},
        {"name": "four", "when": {}, "route": {"reject": {"code": "x", "reason": "y"}}},
        {"name": "five", "when": {}, "route": {"hold": "x"}},
    ],
    "rates": {"plugin": {"p": {}}, "max_age_seconds": 3, "markup_basis_points": 3, "rounding": "down"},
    "steps": [{"name": "s", "when": {}, "plugin": {"p": {}}}],
    "default": {"hold": "x"},
}
WRONG: list[Any] = ["3", -1, True, [], {"x": 1}, "", "x" * 600]


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


def with_value(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    document = deepcopy(WHOLE)
    node: Any = document
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return document


def problems_of(path: Path, document: dict[str, Any]) -> list[str]:
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in document.items()))
    with pytest.raises(BrokenRules) as caught:
        load_rules([path])
    return [one.message for one in caught.value.found]


@pytest.mark.parametrize("place", list(places(WHOLE)), ids=lambda path: ".".join(map(str, path)))
def test_the_library_s_own_words_are_never_shown(tmp_path, place):
    """Every value, replaced by one of another type, form or length, is complained about in our words."""
    for value in WRONG:
        document = with_value(place, value)
        try:
            RuleDocument.model_validate(document)
        except ValidationError as error:
            raw = {one["msg"] for one in error.errors() if one["type"] not in ("value_error", "route_kind")}
            found = problems_of(tmp_path / "rules.yaml", document)
            assert found
            assert not [one for one in found if one in raw or "Input should" in one or "^" in one]


def patterns(schema: Any) -> set[str]:
    """Return every pattern in what pydantic validates by."""
    inner = (
        schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list | tuple) else ()
    )
    own = (
        {schema["pattern"]} if isinstance(schema, dict) and isinstance(schema.get("pattern"), str) else set()
    )
    return own.union(*map(patterns, inner))


@pytest.mark.parametrize("model", [RuleDocument, RuleTests])
def test_every_pattern_has_words(model):
    """What may be refused for its form is described by words, never by a regular expression."""
    assert patterns(model.__pydantic_core_schema__) <= PATTERNS.keys()


@pytest.mark.parametrize(
    "place, value, words",
    [
        (
            ("route_defaults", "priority"),
            "3",
            "expected a whole number, found the text '3'; write it without quotes: 3",
        ),
        (("route_defaults", "priority"), "high", "expected a whole number, found 'high'"),
        (("route_defaults", "priority"), [], "expected a whole number, found a list"),
        (("groups", "eea"), [], "expected at least one value, found none"),
        (("rules", 1, "route", "split"), {}, "expected at least one entry, found none"),
        (("default", "hold"), "", "expected at least one character, found none"),
        (("default", "hold"), "x" * 501, "expected at most 500 characters, found 501"),
        (("fees", "f", "mode"), ["inclusive"], "expected one of inclusive, exclusive, found a list"),
        (("route_defaults", "accounts", 1, "rest"), "yes", "expected true, found 'yes'"),
        (
            ("route_defaults", "accounts", 1, "rest"),
            "true",
            "expected true without quotes, found the text 'true'",
        ),
        (("processors", "aurora", "enabled"), "true", "expected true or false, found 'true'"),
        (
            ("processors", "aurora", "exchange"),
            "a b",
            "'a b' is not the name of an exchange: up to 127 letters, digits, -, _, . and :",
        ),
        (
            ("steps", 0, "name"),
            "No",
            "'No' is not a name that starts with a lowercase letter: up to 32 letters, digits and _",
        ),
    ],
)
def test_what_was_expected_and_found_is_said(tmp_path, place, value, words):
    """The message says what was expected, what stands there, and what to write instead where it is known."""
    assert words in problems_of(tmp_path / "rules.yaml", with_value(place, value))


@pytest.mark.parametrize(
    "text, place, words",
    [
        ("version: 1\n\trules: []", "2:1", "a tab stands where only spaces may"),
        ("version: 1\na: {b: 1", "2:9", "has no comma or no }"),
        ("version: 1\na: [b\nc: d", "3:2", "the list that opens with [ in line 2 has no comma or no ] here"),
        ("version: 1\nrules: [", "2:9", "a value is missing here, or a bracket is never closed"),
        ("version: 1\nrules: [ \n\n", "2:9", "a value is missing here, or a bracket is never closed"),
        ("version: 1\na: b: c", "2:5", "a second `: ` in one value"),
        ("a:\n  - b: 1\n   c: 2", "3:4", "does not belong to what begins in line 2"),
        ("version: 1\na: 'x\nb: y\n", "2:4", "the quote that opens in line 2 is never closed"),
        ("version: 1\nfoo\na: b", "3:1", "the key in line 2 has no `: ` after it"),
        ("version: 1\na: @x", "2:4", "the character '@' cannot begin a value; write the value in quotes"),
        ("version: 1\n---\nversion: 1", "2:1", "a rule file is one document"),
        ('version: 1\na: "\\q"', "2:6", "in double quotes \\ begins an escape; write \\\\"),
        ("version: 1\na: *x", "2:4", "rule files have no anchors and aliases"),
        ("version: 1\na: * ", "2:5", "text that begins with * or & is written in quotes"),
    ],
)
def test_what_is_no_yaml_says_how_to_mend_it(tmp_path, text, place, words):
    """Common slips in YAML are named, each at its place."""
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(BrokenRules) as caught:
        load_rules([path])
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"{path}:{place}: not YAML: ")
    assert words in first
