"""The comparison of two rule tables as one self-contained HTML page."""

from collections.abc import Sequence
from html import escape

from worker.routing.compare import Comparison, Flow, FlowKey
from worker.routing.figures import amount_text, minor_units_text
from worker.routing.report_page import SCRIPT, STYLE
from worker.routing.sankey import sankey
from worker.routing.simulate import Destination


def html_report(comparison: Comparison, old: str, new: str, payments: str) -> str:
    """Return the page; ``old``, ``new`` and ``payments`` are how people call the files."""
    moves = comparison.moves()
    files = f"<code>{escape(old)}</code> against <code>{escape(new)}</code>"
    traffic = f"{comparison.payments:,} payments of <code>{escape(payments)}</code>"
    body = [
        f"<h1>{_headline(comparison)}</h1>",
        f'<p class="sub">{files} on {traffic}</p>',
        f'<div class="cards">{"".join(_cards(comparison))}</div>',
    ]
    flows = _moved(moves)
    if flows:
        body.append(f'<h2>Where payments move</h2><div class="panel">{sankey(flows)}</div>')
    if moves:
        body.append("<h2>Every change</h2>" + _moves_table(comparison, moves))
        body.append("<h2>Rules that decide otherwise</h2>" + _rules_table(moves))
    versions = f"rules {comparison.old.version} against {comparison.new.version}"
    body.append(
        f"<footer>{versions}, routed at {escape(comparison.now.isoformat(timespec='seconds'))}.</footer>"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_headline(comparison)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _headline(comparison: Comparison) -> str:
    if not comparison.changed:
        return "Nothing moves"
    if not comparison.moved:
        return f"No payment moves, {comparison.repriced:,} pay other fees"
    return f"{comparison.moved:,} of {comparison.payments:,} payments move"


def _moved(moves: Sequence[tuple[FlowKey, Flow]]) -> dict[tuple[Destination, Destination], int]:
    found: dict[tuple[Destination, Destination], int] = {}
    for (before, after, _), flow in moves:
        if before != after:
            found[before, after] = found.get((before, after), 0) + flow.payments
    return found


def _cards(comparison: Comparison) -> list[str]:
    total = max(1, comparison.payments)
    share = comparison.moved * 1000 // total
    cards = [
        _card(f"{comparison.moved:,}", f"payments move, {share // 10}.{share % 10} %"),
        _card(f"{comparison.repriced:,}", "more stay and pay other fees"),
    ]
    for currency in sorted({key[2] for key, _ in comparison.moves()}):
        flows = [flow for key, flow in comparison.flows.items() if key[2] == currency]
        difference = sum(flow.cost_after - flow.cost_before for flow in flows)
        unknown = sum(flow.uncosted for flow in flows)
        hint = f", {unknown:,} payments unknown" if unknown else ""
        text = minor_units_text(difference, currency, comparison.new.currencies, signed=True)
        cards.append(
            _card(f'<span class="{_mood(difference)}">{text} {currency}</span>', f"processing cost{hint}")
        )
    return cards


def _card(figure: str, words: str) -> str:
    figure = figure.replace('<span class="', '<span style="font-size:inherit" class="')
    return f'<div class="card"><b>{figure}</b><span>{words}</span></div>'


def _mood(difference: int) -> str:
    return "soft" if not difference else "bad" if difference > 0 else "good"


def _moves_table(comparison: Comparison, moves: Sequence[tuple[FlowKey, Flow]]) -> str:
    registry = comparison.new.currencies
    rows = []
    for (before, after, currency), flow in moves:
        fees, cost = flow.fees_after - flow.fees_before, flow.cost_after - flow.cost_before
        unknown = ' <span class="soft">+?</span>' if flow.uncosted else ""
        cells = [
            f"<td>{escape(str(before))}</td>",
            f"<td>{escape(str(after)) if before != after else 'stays, other fees'}</td>",
            f"<td>{escape(currency)}</td>",
            _number(f"{flow.payments:,}", flow.payments),
            _number(amount_text(flow.amount, currency, registry), flow.amount),
            _number(minor_units_text(fees, currency, registry, signed=True), fees),
            _number(minor_units_text(cost, currency, registry, signed=True) + unknown, cost, _mood(cost)),
            f'<td class="soft">{escape(", ".join(flow.examples[:2]))}</td>',
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = ("from", "to", "currency", "payments", "amount", "fees +/-", "cost +/-", "such as")
    table = _table("moves", heads, {3, 4, 5, 6}, rows)
    return f'<input id="filter" type="search" placeholder="filter" aria-label="filter changes">{table}'


def _rules_table(moves: Sequence[tuple[FlowKey, Flow]]) -> str:
    pairs: dict[tuple[str, str], int] = {}
    for _, flow in moves:
        for pair, count in flow.rules.items():
            pairs[pair] = pairs.get(pair, 0) + count
    rows = [
        f"<tr><td>{escape(old)}</td><td>{escape(new)}</td>{_number(f'{count:,}', count)}</tr>"
        for (old, new), count in sorted(pairs.items(), key=lambda one: (-one[1], one[0]))
    ]
    return _table("rules", ("rule before", "rule after", "payments"), {2}, rows)


def _number(text: str, key: int, mood: str = "") -> str:
    return f'<td class="number {mood}" data-sort="{key}">{text}</td>'


def _table(name: str, heads: Sequence[str], numbers: set[int], rows: Sequence[str]) -> str:
    cells = [
        f'<th scope="col"{" class=number" if i in numbers else ""}><button type="button">{head}</button></th>'
        for i, head in enumerate(heads)
    ]
    return (
        f'<div class="panel"><table id="{name}"><thead><tr>{"".join(cells)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
