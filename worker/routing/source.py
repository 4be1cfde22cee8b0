"""Rule files as trees that remember where every key and value stands, and how to show such a place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from worker.errors import InvalidRules
from worker.routing.problems import Path, Problem


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One rule file: its name as people gave it, and its lines."""

    name: str
    lines: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, counted from zero; ``length`` characters are underlined."""

    file: SourceFile
    line: int
    column: int
    length: int = 1

    @property
    def place(self) -> str:
        """``file:line:column``, counted from one, as editors do; the file alone if nothing was read."""
        if not self.file.lines:
            return self.file.name
        return f"{self.file.name}:{self.line + 1}:{self.column + 1}"


class Refused(Enum):
    """Stands for a value that was complained about as it is written, so that its meaning matters no more."""

    REFUSED = "a value that is refused"


REFUSED: Final = Refused.REFUSED


@dataclass(frozen=True, slots=True)
class Leaf:
    """Text, a number, a boolean, nothing, or ``REFUSED``."""

    value: object
    mark: Mark


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of nodes."""

    items: tuple["Node", ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a mapping, with the place of its key."""

    key: Mark
    node: "Node"


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping of nodes by key; ``repeated`` are keys that stand in it again, which is an error."""

    entries: Mapping[str, Entry]
    mark: Mark
    repeated: tuple[tuple[str, Entry], ...] = ()


Node = Leaf | Listing | Table


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing wrong in a rule file."""

    mark: Mark
    message: str
    code: str = InvalidRules.code

    def __str__(self) -> str:
        """``file:line:column: message``, then the line with the place underlined."""
        lines = self.mark.file.lines
        head = f"{self.mark.place}: {self.message}"
        if self.mark.line >= len(lines):
            return head
        text = "".join(one if one.isprintable() or one == "\t" else "\ufffd" for one in lines[self.mark.line])
        number = str(self.mark.line + 1)
        lead = "".join("\t" if character == "\t" else " " for character in text[: self.mark.column])
        carets = "^" * max(1, min(self.mark.length, len(text) - self.mark.column))
        return f"{head}\n  {number} | {text}\n  {' ' * len(number)} | {lead}{carets}"


def plain(node: Node) -> Any:
    """Return the tree's value as dicts, lists and scalars."""
    match node:
        case Leaf(value):
            return value
        case Listing(items):
            return [plain(item) for item in items]
        case Table(entries):
            return {key: plain(entry.node) for key, entry in entries.items()}


def repeats(node: Node) -> bool:
    """Return whether a key stands twice anywhere in the tree."""
    match node:
        case Leaf():
            return False
        case Listing(items):
            return any(map(repeats, items))
        case Table(entries, _, repeated):
            return bool(repeated) or any(repeats(entry.node) for entry in entries.values())


def with_last(node: Node) -> Node:
    """Return the tree with the last value of each repeated key in the place of the first."""
    match node:
        case Leaf():
            return node
        case Listing(items, mark):
            return Listing(tuple(map(with_last, items)), mark)
        case Table(entries, mark, repeated):
            last = {**entries, **dict(repeated)}
            return Table({key: Entry(one.key, with_last(one.node)) for key, one in last.items()}, mark)


def find(node: Node, path: Path) -> Node | None:
    """Return the node at a path, or None where there is none."""
    for step in path:
        found = child(node, step)
        if found is None:
            return None
        node = found
    return node


def child(node: Node, step: str | int) -> Node | None:
    """Return one value of a mapping or member of a list, or None."""
    if isinstance(node, Table) and step in node.entries:
        return node.entries[str(step)].node
    if isinstance(node, Listing) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None


def locate(node: Node, problem: Problem) -> Mark:
    """Return the place of a problem: its value or key, or the nearest place above that exists."""
    mark = node.mark
    for i, step in enumerate(problem.path):
        last = i == len(problem.path) - 1
        if isinstance(node, Table) and step in node.entries:
            entry = node.entries[str(step)]
            block = isinstance(entry.node, Table | Listing) and entry.node.mark.line > entry.key.line
            mark = entry.key if (last and problem.on_key) or block else entry.node.mark
            node = entry.node
            continue
        found = child(node, step)
        if found is None:
            return mark
        node = found
        mark = node.mark
    return mark
