"""YAML text to a tree that remembers the place of every key and value; nothing else imports a YAML library.

YAML 1.2 without its surprises: what other readers take for a boolean, a time or another number is refused
unless it is in quotes, and so are duplicate keys, anchors, aliases and tags.
"""

import re
from dataclasses import replace
from io import StringIO

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.reader import ReaderError

from worker.routing.scalars import read_scalar
from worker.routing.source import REFUSED, Diagnostic, Entry, Leaf, Listing, Mark, Node, SourceFile, Table

MAX_DEPTH = 32
TAG = re.compile(r"![^\s,\[\]{}]*")
MERGE = "tag:yaml.org,2002:merge"
INSTEAD = "use groups, fees or route_defaults"
NO_MERGING = f"rule files have no merge keys (<<); {INSTEAD}"
TOO_DEEP = f"nested deeper than the {MAX_DEPTH} levels that rules may have"
SYNTAX = (
    (r"'\t'", "a tab stands where only spaces may; indent with spaces"),
    ("the next token", "the character {character} cannot begin a value; write the value in quotes"),
    ("flow mapping", "the mapping that opens with {{ in line {opened} has no comma or no }} here"),
    ("flow sequence", "the list that opens with [ in line {opened} has no comma or no ] here"),
    ("flow node", "a value is missing here, or a bracket is never closed"),
    (
        "mapping values",
        "a second `: ` in one value, or a line indented too far; quote the value, or align the line",
    ),
    (
        "expected <block end>",
        "this does not belong to what begins in line {opened}; check indentation and brackets",
    ),
    ("a quoted scalar, found unexpected end", "the quote that opens in line {opened} is never closed"),
    ("-quoted scalar", "in double quotes \\ begins an escape; write \\\\, or use single quotes"),
    ("expected ':'", "the key in line {opened} has no `: ` after it"),
    ("a single document", "a rule file is one document; take out the `---`"),
    ("undefined alias", f"rule files have no anchors and aliases; {INSTEAD}, or write text in quotes"),
    ("scanning an a", "text that begins with * or & is written in quotes"),
)
"""What the library says, and how people say it: the first whose words are in the library's."""


def parse_yaml(text: str, name: str, problems: list[Diagnostic]) -> Table | None:
    """Return the tree of a file's text; what is wrong is added to ``problems``, None is no mapping at all."""
    source = SourceFile(name, tuple(text.splitlines()))
    try:
        reader = YAML(typ="safe", pure=True)
        reader.composer.warn_double_anchors = False  # each anchor is refused below
        composed = reader.compose(StringIO(text))
    except ReaderError as error:
        message = f"not YAML: the character #x{error.character:04x} may stand in no YAML file; take it out"
        problems.append(Diagnostic(_mark_at(error.position, text, source), message))
        return None
    except YAMLError as error:
        problems.append(Diagnostic(_error_mark(error, source), f"not YAML: {_error_text(error)}"))
        return None
    except RecursionError:
        problems.append(Diagnostic(Mark(source, 0, 0), TOO_DEEP))
        return None
    tree = _Tree(source, problems).node(composed) if composed is not None else None
    if isinstance(tree, Table):
        return tree
    message = "a rule file is a mapping that begins with `version: 1`"
    problems.append(Diagnostic(tree.mark if tree else Mark(source, 0, 0), message))
    return None


def _mark_at(position: int, text: str, source: SourceFile) -> Mark:
    before = text[:position]
    return Mark(source, before.count("\n"), position - before.rfind("\n") - 1)


def _error_mark(error: YAMLError, source: SourceFile) -> Mark:
    """Return the place that the library names, or the end of the last line where that is past it."""
    marks = (error.problem_mark, error.context_mark) if isinstance(error, MarkedYAMLError) else ()
    for mark in marks:
        if mark is not None and mark.line < len(source.lines):
            return Mark(source, mark.line, mark.column)
    if not any(marks):
        return Mark(source, 0, 0)
    last = max((number for number, line in enumerate(source.lines) if line.strip()), default=0)
    return Mark(source, last, len(source.lines[last].rstrip()))


def _error_text(error: YAMLError) -> str:
    if not isinstance(error, MarkedYAMLError):
        return str(error).splitlines()[0]
    text = ", ".join(str(part) for part in (error.context, error.problem) if part)
    opened = error.context_mark.line + 1 if error.context_mark is not None else 1
    words = next((words for known, words in SYNTAX if known in text), "{text}")
    character = text.partition("character ")[2][:3]
    return words.format(text=text, opened=opened, character=character)


class _Tree:
    """Turns composed YAML into nodes, collecting duplicate keys and surprises on the way."""

    def __init__(self, source: SourceFile, problems: list[Diagnostic]) -> None:
        self.source = source
        self.problems = problems
        self.seen: set[int] = set()

    def complain(self, mark: Mark, message: str) -> None:
        self.problems.append(Diagnostic(mark, message))

    def mark(self, node: YamlNode) -> Mark:
        start, end = node.start_mark, node.end_mark
        length = end.column - start.column if end.line == start.line else 1
        return Mark(self.source, start.line, start.column, max(1, length))

    def node(self, node: YamlNode, depth: int = 0) -> Node:
        mark = self.mark(node)
        if node.anchor is not None:
            self.complain(mark, f"rule files have no anchors and aliases; {INSTEAD}")
            if id(node) in self.seen:
                return Leaf(REFUSED, mark)
            self.seen.add(id(node))
        if depth > MAX_DEPTH:
            self.complain(mark, TOO_DEEP)
            return Leaf(REFUSED, mark)
        tagged = self._refuse_tag(node, mark)
        if isinstance(node, MappingNode):
            entries, repeated = self._entries(node, depth)
            return Table(entries, mark, repeated)
        if isinstance(node, SequenceNode):
            return Listing(tuple(self.node(item, depth + 1) for item in node.value), mark)
        if tagged or not isinstance(node, ScalarNode):
            return Leaf(REFUSED, mark)
        return Leaf(self._scalar(node, mark), mark)

    def _refuse_tag(self, node: YamlNode, mark: Mark) -> bool:
        """Report a tag. Composed nodes forget whether theirs was written, so the text is looked at."""
        lines = self.source.lines
        line = lines[mark.line] if mark.line < len(lines) else ""
        written = TAG.match(line, mark.column)
        if written is not None:
            kind = "its value" if isinstance(node, ScalarNode) else "what follows"
            self.complain(
                replace(mark, length=len(written[0])),
                f"rule files have no tags, such as {written[0]}; leave it out and write {kind} plainly",
            )
        return written is not None

    def _entries(
        self, node: MappingNode, depth: int
    ) -> tuple[dict[str, Entry], tuple[tuple[str, Entry], ...]]:
        """Return the values by key, the first of each, and those that came too late."""
        entries: dict[str, Entry] = {}
        repeated: list[tuple[str, Entry]] = []
        for key_node, value_node in node.value:
            mark = self.mark(key_node)
            if key_node.tag == MERGE:
                self.complain(mark, NO_MERGING)
                continue
            self._refuse_tag(key_node, mark)
            key = self._scalar(key_node, mark) if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str):
                quoted = (
                    f"; write it in quotes: '{key_node.value}'" if isinstance(key_node, ScalarNode) else ""
                )
                self.complain(mark, f"a key is text{quoted}")
                continue
            if key in entries:
                first = entries[key].key.line + 1
                self.complain(mark, f"{key!r} stands twice in this mapping, first in line {first}")
            value = self.node(value_node, depth + 1)
            if isinstance(value, Leaf) and value.value is None:
                self.complain(mark, f"there is no value after {key!r}")
                value = Leaf(REFUSED, value.mark)
            if key in entries:
                repeated.append((key, Entry(mark, value)))
            else:
                entries[key] = Entry(mark, value)
        return entries, tuple(repeated)

    def _scalar(self, node: ScalarNode, mark: Mark) -> object:
        quoted = node.style in ("'", '"', "|", ">")
        value, complaint = read_scalar(str(node.value), str(node.tag), quoted=quoted)
        if complaint is not None:
            self.complain(mark, complaint)
        return value
