"""Rule files to a rule table: reads YAML with the place of every value; nothing else imports a YAML library.

YAML 1.2 without its surprises: what other readers take for a boolean, a time or another number is refused
unless it is in quotes, and so are duplicate keys, anchors, aliases and tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from io import StringIO
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from schemas.rule_tests import RuleTests
from schemas.rules import RuleDocument
from worker.errors import InvalidRules
from worker.routing import RuleTable, check_and_compile, compile_rules
from worker.routing.merge import merge, overlay
from worker.routing.problems import Problem
from worker.routing.scalars import read_scalar
from worker.routing.shape import read_document, read_problems
from worker.routing.source import (
    Diagnostic,
    Entry,
    Leaf,
    Listing,
    Mark,
    Node,
    SourceFile,
    Table,
    find,
    locate,
    plain,
)

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 32
TEST_SUFFIX = ".test.yaml"
"""Rules tests stand beside the rules and are none."""


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """A rule table with the files it came from, and the document's tree for showing places in it."""

    table: RuleTable
    files: tuple[Path, ...]
    root: Table

    def keep(self) -> "KeptRules":
        """Return the rules as data that another process can put in force again."""
        return KeptRules(self.files, self.root, self.table.version)


@dataclass(frozen=True, slots=True)
class KeptRules:
    """Rules that were in force, whatever their files say now. A compiled table cannot leave its process."""

    files: tuple[Path, ...]
    root: Table
    version: str

    def restore(self) -> LoadedRules:
        """Compile them again; raises ``InvalidRules`` only when they never were valid."""
        table = compile_rules(RuleDocument.model_validate(plain(self.root)), self.version)
        return LoadedRules(table, self.files, self.root)


def load_rules(paths: Sequence[Path], overlays: Sequence[Path] = ()) -> RuleTable:
    """Return the compiled table of rule files; a folder stands for its ``*.yaml`` in name order.

    Files are merged in the order given, then each overlay is laid over them. The table's ``version`` is a
    digest of the files' content.

    Raises:
        InvalidRules: its text lists everything that is wrong, with file, line and column.
    """
    return load(paths, overlays).table


def load(paths: Sequence[Path], overlays: Sequence[Path] = ()) -> LoadedRules:
    """Return the compiled table together with its sources; see ``load_rules``."""
    reading = _Reading()
    for path in paths:
        reading.read_path(path)
    trees = list(reading.trees)
    tops = [reading.read_file(path) for path in overlays]
    if not trees and not reading.problems:
        raise InvalidRules("no rule files are given; name a file or a folder with *.yaml in it")
    if not trees:
        raise invalid(reading.problems)
    root = merge(trees, reading.problems)
    for top in tops:
        if top is not None:
            root = overlay(root, top, reading.problems)
    table = _compile(root, reading)
    if table is None or reading.problems:
        raise invalid(reading.problems)
    return LoadedRules(table, tuple(reading.digests), root)


def load_tests(path: Path) -> RuleTests:
    """Return the rules tests of a file; raises ``InvalidRules`` with everything that is wrong in it."""
    reading = _Reading()
    tree = reading.read_file(path)
    if tree is None or reading.problems:
        raise invalid(reading.problems)
    try:
        return RuleTests.model_validate(plain(tree))
    except ValidationError as error:
        problems = read_problems(tree, error, RuleTests)
        raise invalid([Diagnostic(locate(tree, one), one.message) for one in problems]) from None


def invalid(problems: Sequence[Diagnostic]) -> InvalidRules:
    """Return the error whose text shows each problem once, by file and line."""
    ordered = sorted(
        dict.fromkeys(problems), key=lambda one: (one.mark.file.name, one.mark.line, one.mark.column)
    )
    files = {one.mark.file.name for one in ordered}
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    where = f"in {len(files)} files" if len(files) > 1 else f"in {next(iter(files))}"
    return InvalidRules("\n".join([*(str(one) for one in ordered), f"{count} {where}"]))


def _compile(root: Table, reading: "_Reading") -> RuleTable | None:
    document, shape_problems, broken, kept = read_document(root)
    found = list(shape_problems)
    table: RuleTable | None = None
    if document is not None:
        table, problems = check_and_compile(document, reading.version, broken=broken)
        found += [_renumbered(problem, kept) for problem in problems]
    reading.problems += [Diagnostic(locate(root, problem), problem.message) for problem in found]
    return table


def _renumbered(problem: Problem, kept: Sequence[int]) -> Problem:
    """Rules that are too broken to compile were left out, so that positions after them moved up."""
    match problem.path:
        case ("rules", int(i), *rest):
            return replace(problem, path=("rules", kept[i], *rest))
        case _:
            return problem


class _Reading:
    """Reads files, each once, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.trees: list[Table] = []
        self.problems: list[Diagnostic] = []
        self.digests: dict[Path, bytes] = {}

    @property
    def version(self) -> str:
        """16 hexadecimal digits that name the content of all files read, in their order."""
        return sha256(b"".join(self.digests.values())).hexdigest()[:16]

    def complain(self, path: Path, message: str) -> None:
        self.problems.append(Diagnostic(Mark(SourceFile(str(path), ()), 0, 0), message))

    def read_path(self, path: Path) -> None:
        if not path.is_dir():
            self._collect(path)
            return
        files = sorted(file for file in path.glob("*.yaml") if not file.name.endswith(TEST_SUFFIX))
        if not files:
            self.complain(path, "the folder has no *.yaml in it")
        for file in files:
            self._collect(file)

    def _collect(self, path: Path) -> None:
        if path.resolve() in self.digests:
            return
        tree = self.read_file(path)
        if tree is None:
            return
        for included in self._includes(tree, path):
            self._collect(included)
        self.trees.append(tree)

    def _includes(self, tree: Table, path: Path) -> list[Path]:
        node = find(tree, ("include",))
        if node is None:
            return []
        found = []
        for item in node.items if isinstance(node, Listing) else (node,):
            if isinstance(item, Leaf) and isinstance(item.value, str) and isinstance(node, Listing):
                target = path.parent / item.value
                if target.is_file():
                    found.append(target)
                else:
                    self.problems.append(Diagnostic(item.mark, f"there is no file {target} to include"))
            else:
                self.problems.append(Diagnostic(item.mark, "`include` is a list of file names"))
        return found

    def read_file(self, path: Path) -> Table | None:
        """Return the file's tree, or None after collecting why it cannot be read."""
        try:
            content = path.read_bytes()
        except OSError as error:
            self.complain(path, f"cannot be read: {error.strerror}")
            return None
        self.digests[path.resolve()] = sha256(content).digest()
        text = self._decode(content, path)
        return None if text is None else self._parse(text, path)

    def _decode(self, content: bytes, path: Path) -> str | None:
        if len(content) > MAX_BYTES:
            self.complain(path, f"{len(content)} bytes are more than a rule file may have, {MAX_BYTES}")
            return None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            self.complain(path, f"line {line} is not UTF-8: {error.reason} {content[error.start]:#04x}")
            return None

    def _parse(self, text: str, path: Path) -> Table | None:
        source = SourceFile(str(path), tuple(text.splitlines()))
        try:
            reader = YAML(typ="safe", pure=True)
            reader.composer.warn_double_anchors = False  # each anchor is refused below
            composed = reader.compose(StringIO(text))
        except YAMLError as error:
            self.problems.append(Diagnostic(_error_mark(error, source), f"not YAML: {_error_text(error)}"))
            return None
        except RecursionError:
            self.complain(path, f"nested deeper than the {MAX_DEPTH} levels that rules may have")
            return None
        tree = _Tree(source, self.problems).node(composed) if composed is not None else None
        if isinstance(tree, Table):
            return tree
        message = "a rule file is a mapping that begins with `version: 1`"
        self.problems.append(Diagnostic(tree.mark if tree else Mark(source, 0, 0), message))
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
            self.complain(mark, f"nested deeper than the {MAX_DEPTH} levels that rules may have")
            return Leaf(None, mark)
        if isinstance(node, MappingNode):
            return Table(self._entries(node, depth), mark)
        if isinstance(node, SequenceNode):
            return Listing(tuple(self.node(item, depth + 1) for item in node.value), mark)
        return Leaf(self._scalar(node, mark) if isinstance(node, ScalarNode) else None, mark)

    def _entries(self, node: MappingNode, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            mark = self.mark(key_node)
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
                continue
            value = self.node(value_node, depth + 1)
            if isinstance(value, Leaf) and value.value is None and value_node.anchor is None:
                self.complain(mark, f"there is no value after {key!r}")
                continue
            entries[key] = Entry(mark, value)
        return entries

    def _scalar(self, node: ScalarNode, mark: Mark) -> object:
        quoted = node.style in ("'", '"', "|", ">")
        value, complaint = read_scalar(str(node.value), str(node.tag), quoted=quoted)
        if complaint is not None:
            self.complain(mark, complaint)
        return value
