"""The rules as a diagram."""

import re
from xml.etree import ElementTree as ET

import pytest

from worker.routing.graph import edges, mermaid, svg

COST = {"cost": {"components": [{"name": "c", "percent": "1"}]}}


@pytest.fixture
def table(table_of):
    """A rule of every kind."""
    return table_of(
        {"name": "to", "when": {"type": "card"}, "route": {"to": "p", "fallback": ["q", "r"]}},
        {"name": "one-fallback", "when": {"type": "x"}, "route": {"to": "p", "fallback": ["q"]}},
        {
            "name": "split",
            "when": {"country": "DE"},
            "route": {"split": {"p": "12.5", "q": "87.5"}, "fallback": ["r"]},
        },
        {"name": "cheap", "when": {"metadata.a<b": '"x"'}, "route": {"least_cost": ["p", "q"]}},
        {"name": "hold", "when": {"type": "wallet"}, "route": {"hold": "look"}},
        processors={"p": COST, "q": COST, "r": {"enabled": False}},
    )


def test_edges_of_every_kind(table):
    """Each way a rule can send has its target, kind and label."""
    found = [(edge.rule, edge.target, edge.kind, edge.label) for rule in table.rules for edge in edges(rule)]
    assert found == [
        ("to", "p", "first", ""),
        ("to", "q", "fallback", "fallback 1"),
        ("to", "r", "fallback", "fallback 2"),
        ("one-fallback", "p", "first", ""),
        ("one-fallback", "q", "fallback", ""),
        ("split", "p", "share", "12.5 %"),
        ("split", "q", "share", "87.5 %"),
        ("split", "r", "fallback", ""),
        ("cheap", "p", "cheapest", "if cheapest"),
        ("cheap", "q", "cheapest", "if cheapest"),
        ("hold", "dead letters", "end", "held"),
        ("default", "dead letters", "end", "none_matched"),
    ]


def test_mermaid_has_a_node_each_and_escapes(table):
    """Every rule and target is declared once, and names cannot break the diagram."""
    text = mermaid(table)
    assert text.startswith("flowchart LR\n")
    assert len(re.findall(r"^  r\d+\[", text, re.MULTILINE)) == 6
    assert r"a&lt;b is &quot;\&quot;x\&quot;&quot;" in text
    assert text.count("-. else .->") == 5


def test_svg_is_well_formed_and_complete(table):
    """The image is XML with a box for each rule and target and a curve for each edge."""
    root = ET.fromstring(svg(table))  # noqa: S314 - our own output
    space = "{http://www.w3.org/2000/svg}"
    kinds = [box.get("class") for box in root.iter(f"{space}rect")]
    assert kinds.count("rule") == 6
    assert kinds.count("target") == 2
    assert kinds.count("off") == 1
    assert kinds.count("end") == 1
    assert len(list(root.iter(f"{space}path"))) == 12


def test_processors_that_ask_for_batches_say_so(table_of):
    """In both pictures, inside of the processor's box."""
    made = table_of(
        {"name": "to", "when": {"type": "card"}, "route": {"to": "p", "fallback": ["q"]}},
        processors={"p": {"batch": {"max_payments": 7}}, "q": {}},
    )
    assert '(["p<br/><small>batches of up to 7</small>"])' in mermaid(made)
    assert '(["q"])' in mermaid(made)
    image = svg(made)
    assert image.count("batches of up to 7") == 1
