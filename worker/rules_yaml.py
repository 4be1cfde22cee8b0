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

from worker.routing.scalars import read_scalar
from worker.routing.source import Diagnostic, Entry, Leaf, Listing, Mark, Node, SourceFile, Table

MAX_DEPTH = 32
TAG = re.compile(r"![^\s,\[\]{}]*")
TOO_DEEP = f"nested deeper than the {MAX_DEPTH} levels that rules may have"


def parse_yaml(text: str, name: str, problems: list[Diagnostic]) -> Table | None:
    """Return the tree of a file's text; what is wrong is added to ``problems``, None is no mapping at all."""
    source = SourceFile(name, tuple(text.splitlines()))
    try:
        reader = YAML(typ="safe", pure=True)
        reader.composer.warn_double_anchors = False  # each anchor is refused below
        composed = reader.compose(StringIO(text))
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


def _error_mark(error: YAMLError, source: SourceFile) -> Mark:
    mark = (error.problem_mark or error.context_mark) if isinstance(error, MarkedYAMLError) else None
    return Mark(source, 0, 0) if mark is None else Mark(source, mark.line, mark.column)


def _error_text(error: YAMLError) -> str:
    if isinstance(error, MarkedYAMLError):
        return ", ".join(str(part) for part in (error.context, error.problem) if part)
    return str(error).splitlines()[0]


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
            self.complain(mark, "rule files have no anchors and aliases; use groups, fees or route_defaults")
            if id(node) in self.seen:
                return Leaf("an alias", mark)
            self.seen.add(id(node))
        if depth > MAX_DEPTH:
            self.complain(mark, TOO_DEEP)
            return Leaf(None, mark)
        tagged = self._refuse_tag(node, mark)
        if isinstance(node, MappingNode):
            entries, repeated = self._entries(node, depth)
            return Table(entries, mark, repeated)
        if isinstance(node, SequenceNode):
            return Listing(tuple(self.node(item, depth + 1) for item in node.value), mark)
        value = self._scalar(node, mark, tagged=tagged) if isinstance(node, ScalarNode) else None
        return Leaf(value, mark)

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
            tagged = self._refuse_tag(key_node, mark)
            key = self._scalar(key_node, mark, tagged=tagged) if isinstance(key_node, ScalarNode) else None
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
            if isinstance(value, Leaf) and value.value is None and value_node.anchor is None:
                self.complain(mark, f"there is no value after {key!r}")
            elif key in entries:
                repeated.append((key, Entry(mark, value)))
            else:
                entries[key] = Entry(mark, value)
        return entries, tuple(repeated)

    def _scalar(self, node: ScalarNode, mark: Mark, *, tagged: bool) -> object:
        quoted = node.style in ("'", '"', "|", ">")
        value, complaint = read_scalar(str(node.value), str(node.tag), quoted=quoted)
        if complaint is not None and not tagged:
            self.complain(mark, complaint)
        return value
