"""What is legal in a rule table and yet hardly meant: dead rules, contradictions, routes that lead nowhere.

Every finding is proven on sets and intervals and shown by a payment that the table itself was asked about.
Where a finding would need more than that (suffixes and globs that overlap in ways only their text tells, and
plugins), the linter says that it cannot decide rather than guess.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile

from worker.routing.actions import Send
from worker.routing.areas import MAX_PIECES, Area, acceptance, areas_of, meet
from worker.routing.asking import NONE_HOLDS
from worker.routing.conditions import All, Among, Condition, Range
from worker.routing.describe import describe
from worker.routing.problems import Path, listing
from worker.routing.processors import Processor
from worker.routing.region import Box, Space
from worker.routing.sides import Values
from worker.routing.table import DEFAULT_RULE, Rule, RuleTable
from worker.routing.witness import Witness, witnesses

MAX_OVERLAP_RULES = 400
"""Rules up to which every pair is looked at."""


class Severity(Enum):
    """``warning``: surely not meant. ``note``: may well be meant; worth knowing."""

    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth a look, with the place it is about and a payment that shows it."""

    code: str
    severity: Severity
    path: Path
    message: str
    witness: Witness | None = None


def lint(table: RuleTable) -> list[Finding]:
    """Return findings in the order of the rules, warnings and notes together.

    Plugins are not asked: what they decide is taken not to hold.
    """
    table = table.assuming(NONE_HOLDS)
    space = Space.of(currency.code for currency in table.currencies if currency.settleable)
    areas = areas_of(table, space)
    found = [finding for area in areas for finding in _rule_findings(table, space, areas, area)]
    found += _uncovered(table, space, areas)
    found += _processors(table, space, areas)
    if len(areas) <= MAX_OVERLAP_RULES:
        found += [finding for position in range(len(areas)) for finding in _overlaps(space, areas, position)]
    return sorted(found, key=lambda finding: (finding.severity is Severity.NOTE, _order(finding.path)))


def _order(path: Path) -> tuple[str, ...]:
    return tuple(f"{step:09}" if isinstance(step, int) else step for step in path)


def _first(space: Space, boxes: Sequence[Box]) -> Witness | None:
    return next((witness for box in boxes[:MAX_PIECES] for witness in witnesses(space, box)), None)


def _decided_by(table: RuleTable, space: Space, boxes: Sequence[Box], rule: str) -> Witness | None:
    """Return a payment in the boxes for which the table really decides by this rule."""
    for box in boxes[:MAX_PIECES]:
        for witness in witnesses(space, box):
            if table.route(witness.parsed(), witness.now).rule == rule:
                return witness
    return None


def _rule_findings(table: RuleTable, space: Space, areas: list[Area], area: Area) -> Iterator[Finding]:
    rule = area.rule
    path: Path = ("rules", rule.source, "when")
    if not area.boxes:
        message = f"rule {rule.name} can never hold: {_contradiction(space, rule)}"
        yield Finding("contradiction", Severity.WARNING, path, message)
        return
    if area.live is None:
        yield Finding(
            "undecided",
            Severity.NOTE,
            path,
            f"whether rule {rule.name} ever fires is not decided: the rules before it leave its payments in "
            f"more than {MAX_PIECES} pieces",
        )
        return
    if not area.live:
        yield _covered(space, areas, area)
        return
    if _decided_by(table, space, area.live, rule.name) is None:
        message = (
            f"whether rule {rule.name} ever fires is not decided: no payment was found that reaches it, and "
            "what suffixes, globs and plugins have in common is not known"
        )
        yield Finding("undecided", Severity.NOTE, path, message)
        return
    yield from _candidate_findings(table, space, area, ("rules", rule.source, "route"))


def _contradiction(space: Space, rule: Rule) -> str:
    """Name the condition that leaves nothing of those before it."""
    parts = _stated(rule.condition)
    for i, part in enumerate(parts):
        boxes = space.boxes(part)
        if not boxes:
            return f"nothing fulfils ({_words(part)})"
        for earlier in parts[:i]:
            if not any(space.both(one, other) is not None for one in space.boxes(earlier) for other in boxes):
                return f"({_words(earlier)}) excludes ({_words(part)})"
    return "its conditions exclude one another"


def _stated(condition: Condition) -> tuple[Condition, ...]:
    """Return the conditions that must all hold, amounts with the currency that they name."""
    match condition:
        case All((Among("currency"), Range("amount"))):
            return (condition,)
        case All(parts):
            return tuple(one for part in parts for one in _stated(part))
        case _:
            return (condition,)


def _words(condition: Condition) -> str:
    match condition:
        case All((Among("currency", values), Range("amount") as within)) if len(values) == 1:
            return f"{describe(within)} {next(iter(values))}"
        case _:
            return describe(condition)


def _covered(space: Space, areas: list[Area], area: Area) -> Finding:
    before = list(takewhile(lambda earlier: earlier is not area, areas))
    alone = next((one for one in before if space.left(area.boxes, one.boxes, MAX_PIECES) == []), None)
    takers = []
    remaining: list[Box] = area.boxes
    for earlier in [alone] if alone else before:
        left = space.left(remaining, earlier.boxes, MAX_PIECES)
        if left is not None and left != remaining:
            takers.append(earlier.rule.name)
            remaining = left
        if not remaining:
            break
    names = f"rule {takers[0]} takes" if len(takers) == 1 else f"rules {listing(takers)} take"
    message = f"rule {area.rule.name} can never fire: {names} every payment it describes, such as this one"
    path: Path = ("rules", area.rule.source, "name")
    return Finding("covered", Severity.WARNING, path, message, _first(space, area.boxes))


def _candidate_findings(table: RuleTable, space: Space, area: Area, path: Path) -> Iterator[Finding]:
    rule, live = area.rule, area.live or []
    if not isinstance(rule.action, Send):
        return
    accepted: list[Box] = []
    for processor in rule.action.processors:
        boxes = acceptance(space, processor)
        accepted += boxes
        competes = processor in rule.action.orders[0][: rule.action.cheapest]
        if (processor.enabled or not competes) and not meet(space, live, boxes):
            witness = _first(space, live)
            why = _refusal(processor, witness)
            message = f"rule {rule.name} can never send to {processor.name}{why}"
            place = _candidate_path(path, rule.action, processor.name)
            yield Finding("never_accepts", Severity.WARNING, place, message, witness)
    refused = space.left(live, accepted, MAX_PIECES)
    if refused:
        witness = _decided_by(table, space, refused, rule.name)
        if witness is not None:
            message = f"rule {rule.name} takes payments that none of its processors accepts, such as this one"
            if not meet(space, live, accepted):
                message = f"rule {rule.name} sends nothing: none of its processors accepts what gets here"
            yield Finding("no_candidate", Severity.NOTE, path, message, witness)
    yield from _fee_findings(table, space, area, path, meet(space, live, accepted))


def _candidate_path(route: Path, action: Send, name: str) -> Path:
    """Return where a route names a processor, as far as its kind tells."""
    if len(action.ends) > 1 or action.cheapest:
        return route
    position = [one.name for one in action.orders[0]].index(name)
    return (*route, "fallback", position - 1) if position else (*route, "to")


def _refusal(processor: Processor, witness: Witness | None) -> str:
    if witness is None:
        return ""
    payment = witness.parsed()
    if not processor.enabled:
        return ": it is switched off (`enabled: false`); switch it on, or take it out of the route"
    reason = processor.refusal(payment.type, payment.amount.currency, payment.country)
    return f"; for this payment {reason}" if reason else ": its limits exclude every amount that gets here"


def _fee_findings(
    table: RuleTable, space: Space, area: Area, path: Path, sent: list[Box]
) -> Iterator[Finding]:
    book = area.rule.action.fees if isinstance(area.rule.action, Send) else None
    if book is None:
        return
    priced = [currency.code for currency in table.currencies if book.in_currency(currency.code) is not None]
    unpriced: Box = {"currency": Values(frozenset(priced), complement=True, missing=False)}
    witness = _decided_by(table, space, meet(space, sent, [unpriced]), area.rule.name)
    if witness is not None:
        currency = witness.payment["amount"]["currency"]
        message = f"rule {area.rule.name} takes payments whose fees are unknown: {book.missing(currency)}"
        yield Finding("no_fee", Severity.WARNING, path, message, witness)


def _uncovered(table: RuleTable, space: Space, areas: list[Area]) -> Iterator[Finding]:
    left = space.left([{}], [box for area in areas for box in area.boxes], MAX_PIECES * 8)
    path: Path = ("default",)
    if left is None:
        yield Finding(
            "undecided",
            Severity.NOTE,
            path,
            "which payments reach the default is not decided: the rules leave them in more than "
            f"{MAX_PIECES * 8} pieces",
        )
        return
    witness = _decided_by(table, space, left, DEFAULT_RULE)
    if witness is not None:
        message = "no rule covers some payments, such as this one; the default decides them"
        yield Finding("uncovered", Severity.NOTE, path, message, witness)
        yield from _candidate_findings(table, space, Area(table.rules[-1], [{}], left), path)
    elif not left and areas:
        yield Finding(
            "default_unused", Severity.NOTE, path, "the rules cover every payment; the default never decides"
        )


def _processors(table: RuleTable, space: Space, areas: list[Area]) -> Iterator[Finding]:
    named: set[str] = set()
    reached: set[str] = set()
    default = Area(table.rules[-1], [{}], [{}])
    for area in (*areas, default):
        if not isinstance(area.rule.action, Send):
            continue
        for processor in area.rule.action.processors:
            named.add(processor.name)
            if area.live is None or meet(space, area.live, acceptance(space, processor)):
                reached.add(processor.name)
    for name, processor in table.processors.items():
        path: Path = ("processors", name)
        if not processor.enabled:
            yield Finding("switched_off", Severity.NOTE, path, f"processor {name} is switched off")
        elif name not in named:
            yield Finding("unreached", Severity.WARNING, path, f"no rule names processor {name}")
        elif name not in reached:
            message = f"no payment can reach processor {name}: no rule that names it ever sends what it takes"
            yield Finding("unreached", Severity.WARNING, path, message)


def _overlaps(space: Space, areas: list[Area], position: int) -> Iterator[Finding]:
    """Yield one note for a rule that shares payments with earlier ones, where neither is the special case."""
    area = areas[position]
    shared: list[str] = []
    witness: Witness | None = None
    for earlier in areas[:position]:
        common = meet(space, area.boxes, earlier.boxes)
        if not common or earlier.rule.action.target == area.rule.action.target:
            continue
        inside = space.left(earlier.boxes, area.boxes, MAX_PIECES)
        outside = space.left(area.boxes, earlier.boxes, MAX_PIECES)
        if not inside or not outside:
            continue
        witness = witness or _first(space, common)
        shared.append(earlier.rule.name)
    if witness is not None:
        message = (
            f"order decides between rule {area.rule.name} and the earlier {listing(shared)}: "
            "both describe some payments, such as this one"
        )
        yield Finding("overlap", Severity.NOTE, ("rules", area.rule.source, "name"), message, witness)
