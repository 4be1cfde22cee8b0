"""Flows between processors drawn as bands: payments before on the left, after on the right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from worker.routing.report_page import COLOURS, END_COLOUR
from worker.routing.simulate import Destination

WIDTH, BAR, GAP, LABEL, TOP = 1000, 14, 16, 230, 34
LEAST_BAND = 2.0


@dataclass(frozen=True, slots=True)
class _Node:
    """One bar: its top, its height and what it counts."""

    top: float
    height: float
    payments: int


def sankey(flows: Mapping[tuple[Destination, Destination], int]) -> str:
    """Return an SVG image of flows, each with its number of payments."""
    left = _totals(flows, 0)
    right = _totals(flows, 1)
    scale = 340 / max(1, sum(flows.values()))
    lefts, rights = _stack(left, scale), _stack(right, scale)
    height = max(max(one.top + one.height for one in side.values()) for side in (lefts, rights)) + 16
    colours = _colours([*left, *right])
    parts = [
        f'<text class="title" x="{LABEL - 12}" y="16" text-anchor="end">before</text>',
        f'<text class="title" x="{WIDTH - LABEL + 12}" y="16">after</text>',
    ]
    starts = {name: node.top for name, node in lefts.items()}
    ends = {name: node.top for name, node in rights.items()}
    ordered = sorted(
        flows.items(), key=lambda one: (list(left).index(one[0][0]), list(right).index(one[0][1]))
    )
    for (before, after), count in ordered:
        thick = max(LEAST_BAND, count * scale)
        parts.append(
            _band(starts[before], ends[after], thick, colours[before], f"{before} → {after}: {count}")
        )
        starts[before] += thick
        ends[after] += thick
    parts += [_node(name, node, colours[name], at_left=True) for name, node in lefts.items()]
    parts += [_node(name, node, colours[name], at_left=False) for name, node in rights.items()]
    label = f"Payments that move, {sum(flows.values())} in all"
    view = f"0 0 {WIDTH} {height:.0f}"
    return f'<svg viewBox="{view}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _totals(flows: Mapping[tuple[Destination, Destination], int], side: int) -> dict[Destination, list[int]]:
    found: dict[Destination, list[int]] = {}
    for pair, count in flows.items():
        found.setdefault(pair[side], []).append(count)
    return dict(sorted(found.items(), key=lambda one: (-sum(one[1]), one[0])))


def _stack(totals: Mapping[Destination, Sequence[int]], scale: float) -> dict[Destination, _Node]:
    nodes = {}
    top: float = TOP
    for name, counts in totals.items():
        height = sum(max(LEAST_BAND, count * scale) for count in counts)
        nodes[name] = _Node(top, height, sum(counts))
        top += max(height, 22) + GAP
    return nodes


def _colours(names: Sequence[Destination]) -> dict[Destination, str]:
    processors = [name for name in dict.fromkeys(names) if name.kind == "processor"]
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(sorted(processors))}
    return {name: colours.get(name, END_COLOUR) for name in names}


def _band(start: float, end: float, thick: float, colour: str, title: str) -> str:
    left, right = LABEL + BAR, WIDTH - LABEL - BAR
    middle = WIDTH / 2
    down, back = start + thick, end + thick
    path = (
        f"M{left} {start:.1f}C{middle} {start:.1f} {middle} {end:.1f} {right} {end:.1f}"
        f"V{back:.1f}C{middle} {back:.1f} {middle} {down:.1f} {left} {down:.1f}Z"
    )
    return f'<path class="band" d="{path}" fill="{colour}"><title>{escape(title)}</title></path>'


def _node(name: Destination, node: _Node, colour: str, *, at_left: bool) -> str:
    x = LABEL if at_left else WIDTH - LABEL - BAR
    text_x, anchor = (LABEL - 12, "end") if at_left else (WIDTH - LABEL + 12, "start")
    y = node.top + node.height / 2
    place = f'x="{x}" y="{node.top:.1f}" width="{BAR}" height="{node.height:.1f}"'
    return (
        f'<rect class="node" {place} fill="{colour}"/>'
        f'<text x="{text_x}" y="{y + 4:.1f}" text-anchor="{anchor}">{escape(str(name))} '
        f'<tspan class="count">{node.payments:,}</tspan></text>'
    )
