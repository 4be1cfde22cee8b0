"""The rule table as a diagram: rules in order on the left, processors on the right, as Mermaid or SVG."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from textwrap import wrap
from typing import Literal

from worker.routing.actions import Action, Hold, Reject, Send
from worker.routing.describe import describe
from worker.routing.processors import Processor
from worker.routing.table import DEFAULT_RULE, Rule, RuleTable

EdgeKind = Literal["first", "share", "cheapest", "fallback", "end"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from a rule to a processor or to the dead letters, with what it is called."""

    rule: str
    target: str
    kind: EdgeKind
    label: str


def edges(rule: Rule) -> Iterator[Edge]:
    """Yield the ways that a rule can send payments, the preferred ones first."""
    action: Action = rule.action
    if isinstance(action, Reject):
        yield Edge(rule.name, "dead letters", "end", action.decision.code)
    elif isinstance(action, Hold):
        yield Edge(rule.name, "dead letters", "end", "held")
    elif isinstance(action, Send):
        yield from _send_edges(rule.name, action)


def _send_edges(rule: str, action: Send) -> Iterator[Edge]:
    firsts: list[str] = []
    if len(action.ends) > 1:
        for (low, high), order in zip(pairwise((0, *action.ends)), action.orders, strict=True):
            share = (high - low) * 1000 // action.ends[-1]
            firsts.append(order[0].name)
            yield Edge(rule, order[0].name, "share", f"{share // 10}.{share % 10} %")
    elif action.cheapest:
        for processor in action.orders[0][: action.cheapest]:
            firsts.append(processor.name)
            yield Edge(rule, processor.name, "cheapest", "if cheapest")
    elif action.orders[0]:
        firsts.append(action.orders[0][0].name)
        yield Edge(rule, firsts[0], "first", "")
    rest = (
        [processor.name for processor in action.orders[0] if processor.name not in firsts]
        if action.orders
        else []
    )
    for number, name in enumerate(rest, start=1):
        yield Edge(rule, name, "fallback", f"fallback {number}" if len(rest) > 1 else "")


def mermaid(table: RuleTable) -> str:
    """Return the table as a Mermaid flowchart."""
    lines = ["flowchart LR"]
    ids = {name: f"p{i}" for i, name in enumerate([*table.processors, "dead letters"])}
    for i, rule in enumerate(table.rules):
        text = describe(rule.condition) if rule.name != DEFAULT_RULE else "everything else"
        lines.append(
            f'  r{i}["{i + 1}. {_quoted(rule.name)}<br/><small>{_quoted(_short(text, 90))}</small>"]'
        )
        if i:
            lines.append(f"  r{i - 1} -. else .-> r{i}")
    used = {edge.target for rule in table.rules for edge in edges(rule)}
    for name, node in ids.items():
        if name in table.processors:
            small = "".join(f"<br/><small>{wish}</small>" for wish in _wishes(table.processors[name]))
            lines.append(f'  {node}(["{_quoted(name)}{small}"])')
        elif name in used:
            lines.append(f'  {node}[("{_quoted(name)}")]')
    for i, rule in enumerate(table.rules):
        for edge in edges(rule):
            arrow = "-.->" if edge.kind == "fallback" else "-->"
            label = f'|"{_quoted(edge.label)}"|' if edge.label else ""
            lines.append(f"  r{i} {arrow}{label} {ids[edge.target]}")
    return "\n".join(lines) + "\n"


def _wishes(processor: Processor | None) -> list[str]:
    batch = None if processor is None else processor.batch
    return [] if batch is None else [f"batches of up to {batch.max_payments}"]


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


RULE_WIDTH, TARGET_WIDTH, GAP, LINE = 460, 180, 260, 15
LABEL_CHARACTER = 6
"""Pixels that a character of a label takes at most, mostly less."""
STYLE = """
  .ground{fill:#fff}
  .rule{fill:#f6f8fa;stroke:#57606a}.target{fill:#ddf4ff;stroke:#0969da}.end{fill:#ffebe9;stroke:#cf222e}
  .off{fill:#eaeef2;stroke:#8c959f;stroke-dasharray:4 3}
  text{font:13px system-ui,sans-serif;fill:#1f2328}.name{font-weight:600}.small{font-size:11px;fill:#57606a}
  path{fill:none;stroke:#0969da;stroke-width:1.6}.fallback{stroke:#8c959f;stroke-dasharray:5 4}
  .toend{stroke:#cf222e}.label{font-size:10px;text-anchor:middle;fill:#57606a}
"""


def svg(table: RuleTable) -> str:
    """Return the table as a self-contained SVG image."""
    targets = [*table.processors]
    if any(edge.target == "dead letters" for rule in table.rules for edge in edges(rule)):
        targets.append("dead letters")
    boxes: list[str] = []
    centres: dict[str, int] = {}
    y = 20
    for i, rule in enumerate(table.rules):
        text = describe(rule.condition) if rule.name != DEFAULT_RULE else "everything else"
        lines = wrap(text, 72)[:4]
        height = 28 + LINE * len(lines)
        centres[rule.name] = y + height // 2
        boxes.append(_box(20, y, RULE_WIDTH, height, "rule", f"{i + 1}. {rule.name}", lines))
        y += height + 12
    height = max(y, len(targets) * 52 + 40)
    step = (height - 40) / max(1, len(targets))
    x = 20 + RULE_WIDTH + GAP
    for i, name in enumerate(targets):
        top = 20 + int(step * i + step / 2) - 18
        centres[f"> {name}"] = top + 18
        processor = table.processors.get(name)
        kind = "end" if processor is None else "target" if processor.enabled else "off"
        lines = _wishes(processor)
        boxes.append(_box(x, top, TARGET_WIDTH, 44 if lines else 36, kind, name, lines))
    drawn = [
        (centres[edge.rule], centres[f"> {edge.target}"], edge)
        for rule in table.rules
        for edge in edges(rule)
    ]
    curves = [_curve(start, end, edge) for start, end, edge in drawn]
    labels = [_label(start, end, edge.label) for start, end, edge in drawn if edge.label]
    width = x + TARGET_WIDTH + 20
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
        f'<style>{STYLE}</style><rect class="ground" width="100%" height="100%"/>'
        f"{''.join(curves)}{''.join(labels)}{''.join(boxes)}</svg>\n"
    )


def _box(x: int, y: int, width: int, height: int, kind: str, name: str, lines: list[str]) -> str:  # noqa: PLR0913
    rows = "".join(
        f'<text class="small" x="{x + 10}" y="{y + 36 + LINE * i}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    base = y + (20 if lines else height // 2 + 5)
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="7"/>'
        f'<text class="name" x="{x + 10}" y="{base}">{escape(name)}</text>{rows}'
    )


def _curve(start: int, end: int, edge: Edge) -> str:
    left, right = 20 + RULE_WIDTH, 20 + RULE_WIDTH + GAP
    middle = (left + right) // 2
    kind = {"fallback": "fallback", "end": "toend"}.get(edge.kind, "")
    return f'<path class="{kind}" d="M{left} {start} C{middle} {start} {middle} {end} {right} {end}"/>'


def _label(start: int, end: int, text: str) -> str:
    """Return a line's label, on the line and on a ground of its own; it is drawn after all lines."""
    middle = 20 + RULE_WIDTH + 60
    y = start + (end - start) * 9 // 100  # where the line is at that x
    width = LABEL_CHARACTER * len(text) + 4
    return (
        f'<rect class="ground" x="{middle - width // 2}" y="{y - 6}" width="{width}" height="12" rx="2"/>'
        f'<text class="label" x="{middle}" y="{y + 3}">{escape(text)}</text>'
    )
