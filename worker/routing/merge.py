"""Several rule files merged into one document, and overlays laid over it."""

from collections.abc import Sequence

from worker.routing.problems import nearest
from worker.routing.source import Diagnostic, Entry, Leaf, Listing, Node, Table, with_last

SECTIONS = ("units", "groups", "processors", "fees")
"""Sections whose entries are united; an entry may stand in one file only."""
SINGLE = ("route_defaults", "rates", "default")
"""Sections that one file alone may hold."""
ONE_BY_ONE = "; if each of these files is a whole table with a default of its own, check them one by one"
CHAINED = ("rules", "steps")
"""Sections that follow one another."""
WHOLE = frozenset({"when", "route", "default", "components", "split", "plugin", "steps"})
"""What an overlay replaces as a whole, because half of an old one and half of a new one means neither."""


def merge(files: Sequence[Table], problems: list[Diagnostic]) -> Table:
    """Return one document: sections united, rules one after the other in the files' order."""
    merged: dict[str, Entry] = {}
    for file in files:
        if "version" not in file.entries:
            problems.append(Diagnostic(file.mark, "`version: 1` is missing; every rule file begins with it"))
        for key, entry in (*file.entries.items(), *file.repeated):
            earlier = merged.get(key)
            if key == "include":
                continue
            if earlier is None:
                merged[key] = entry
            elif key in SECTIONS:
                merged[key] = _united(key, earlier, entry, problems)
            elif key in CHAINED:
                merged[key] = _chained(earlier, entry)
            elif key in SINGLE and (key, entry) not in file.repeated:
                more = ONE_BY_ONE if key == "default" else ""
                problems.append(Diagnostic(entry.key, f"`{key}` is already set in {earlier.key.place}{more}"))
            elif key == "version" and _value(entry.node) == 1:
                merged[key] = entry if _value(earlier.node) == 1 else earlier
    return Table(merged, files[0].mark)


def with_last_values(file: Table) -> Table:
    """Return a file with the last value of each repeated key, so that it is checked as the first was.

    Sections that several files may share keep both, so that what only one of them defines stays known.
    """
    shared = tuple((key, entry) for key, entry in file.repeated if key in (*SECTIONS, *CHAINED))
    last = {**file.entries, **{key: entry for key, entry in file.repeated if (key, entry) not in shared}}

    def inside(entry: Entry) -> Entry:
        return Entry(entry.key, with_last(entry.node))

    return Table(
        {key: inside(entry) for key, entry in last.items()},
        file.mark,
        tuple((key, inside(entry)) for key, entry in shared),
    )


def overlay(base: Table, over: Table, problems: list[Diagnostic]) -> Table:
    """Return ``base`` with what ``over`` says instead: entries by name, rules by their name."""
    merged = dict(base.entries)
    for key, entry in over.entries.items():
        if key in ("version", "include"):
            continue
        if key == "rules":
            merged[key] = _overlaid_rules(merged.get(key), entry, problems)
        elif key in merged:
            merged[key] = Entry(entry.key, _deep(key, merged[key].node, entry.node))
        else:
            merged[key] = entry
    return Table(merged, base.mark)


def _value(node: Node) -> object:
    return node.value if isinstance(node, Leaf) else None


def _united(section: str, earlier: Entry, entry: Entry, problems: list[Diagnostic]) -> Entry:
    if not isinstance(earlier.node, Table) or not isinstance(entry.node, Table):
        return entry if isinstance(earlier.node, Table) else earlier
    united = dict(earlier.node.entries)
    for name, one in entry.node.entries.items():
        if name in united:
            message = f"{name} is already defined under `{section}` in {united[name].key.place}"
            problems.append(Diagnostic(one.key, message))
        else:
            united[name] = one
    return Entry(earlier.key, Table(united, earlier.node.mark))


def _chained(earlier: Entry, entry: Entry) -> Entry:
    if not isinstance(earlier.node, Listing) or not isinstance(entry.node, Listing):
        return entry if isinstance(earlier.node, Listing) else earlier
    return Entry(earlier.key, Listing((*earlier.node.items, *entry.node.items), earlier.node.mark))


def _deep(key: str, base: Node, over: Node) -> Node:
    if key in WHOLE or not isinstance(base, Table) or not isinstance(over, Table):
        return over
    merged = dict(base.entries)
    for name, entry in over.entries.items():
        node = _deep(name, merged[name].node, entry.node) if name in merged else entry.node
        merged[name] = Entry(entry.key, node)
    return Table(merged, base.mark)


def rule_name(node: Node) -> str | None:
    """Return a rule's name, or None when it has none that is text."""
    if isinstance(node, Table) and "name" in node.entries:
        value = _value(node.entries["name"].node)
        return value if isinstance(value, str) else None
    return None


def _overlaid_rules(base: Entry | None, over: Entry, problems: list[Diagnostic]) -> Entry:
    if base is None or not isinstance(base.node, Listing) or not isinstance(over.node, Listing):
        return over
    items = list(base.node.items)
    known = {name: i for i, item in enumerate(items) if (name := rule_name(item)) is not None}
    for item in over.node.items:
        name = rule_name(item)
        if name is None or name not in known:
            hint = nearest(name, known) if name else ""
            message = f"an overlay changes rules that exist; none is named {name!r}{hint}"
            problems.append(Diagnostic(item.mark, message))
        else:
            items[known[name]] = _deep("rules", items[known[name]], item)
    return Entry(base.key, Listing(tuple(items), base.node.mark))
