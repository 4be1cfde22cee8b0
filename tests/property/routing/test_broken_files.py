"""Whatever is in a rule file, it is loaded or refused in words, and nothing else happens."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.errors import InvalidRules
from worker.rules_file import load_rules

TEXT = """\
version: 1
units: {GEM: {exponent: 0}}
groups: {eea: [DE, FR], all: [$eea, US]}
processors:
  aurora:
    types: [card]
    currencies: [EUR, GEM]
    amount: {lt: ["5 EUR", "9 USD"]}
    exponents: {EUR: 2}
  borealis:
    cost: {components: [{name: c, percent: "1", fixed: {EUR: "0.1"}}]}
    health: {failure_percent: "10"}
fees:
  f:
    components:
      - {name: a, graduated: [{up_to: {EUR: "5"}, percent: "2"}, {percent: "1"}]}
      - {name: v, tax: "19", of: [a]}
route_defaults: {fees: f, accounts: [{account: x, percent: "5"}, {account: y, rest: true}]}
rules:
  - name: one
    when:
      type: card
      country: $eea
      amount: {gte: "1", lt: ["9 EUR"]}
      any: [{metadata.x: true}, {not: {type: x}}]
    route: {to: aurora, fallback: [borealis], priority: 3}
  - name: two
    when: {time: {days: [mon], from: "09:00", zone: Europe/Malta}, method.bin: {bin: ["4111"]}}
    route: {split: {aurora: "50", borealis: "50"}}
  - name: three
    when: {created_at: {between: ["2026-01-01T00:00Z", "2026-02-01T00:00Z"]}}
    route: {least_cost: [borealis], fees: none}
default: {reject: {code: no_route, reason: nothing}}
"""
WORDS = [
    *["", "~", "{}", "[]", "[[]]", "{a: }", "1", "-1", "1.5", "true", "no", "'x'", "''", "$eea", "$", "$$"],
    *["card", "EUR", "'5 EUR'", "'50'", "aurora", "9" * 22, "2026-01-01", "09:00", "&a x", "*a", "!!int 3"],
    *["!x y", "? x", "- x", "{to: aurora}", "{split: {}}", "{split: {aurora: '0'}}", "{least_cost: []}"],
    *[
        "\u2028",
        "\t",
        "#",
        "---",
        "...",
        "|",
        "'" + "9" * 40 + "'",
        "\u0663",
        "x" * 300,
        "[1, true, '1', {}]",
    ],
    *["{eq: {}}", "{in: $eea}", "{between: [{}, []]}", "\x00", "\x85", "%", "@", "`", '"', "'", "\\"],
]


def spots() -> list[tuple[int, int]]:
    """Return where words stand in the text: names, values, brackets and all."""
    found, start = [], None
    for i, character in enumerate(TEXT):
        inside = character.isalnum() or character in "_$.\"'"
        if inside and start is None:
            start = i
        if not inside:
            if start is not None:
                found.append((start, i))
                start = None
            if character in "{}[]:,-":
                found.append((i, i + 1))
    return found


SPOTS = spots()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("broken")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(SPOTS), st.sampled_from(WORDS)), min_size=1, max_size=3))
def test_a_file_is_loaded_or_refused_in_words(folder, changes):
    """Random words in random places never end in anything but a table or a list of places."""
    text = TEXT
    for (start, end), word in sorted(changes, reverse=True):
        text = text[:start] + word + text[end:]
    path = folder / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load_rules([path])
    except InvalidRules as error:
        lines = str(error).splitlines()
        assert lines[0].startswith(f"{path}:")
        assert lines[-1].endswith(f" in {path}")
