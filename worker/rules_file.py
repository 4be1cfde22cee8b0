"""Rule files to a rule table: finds, reads and merges them, and says all that is wrong with its place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from schemas.rule_tests import RuleTests
from schemas.rules import RuleDocument
from worker.errors import InvalidRules, PluginNotReady
from worker.routing import Catalogue, NoPlugins, RuleTable, check_and_compile, compile_rules
from worker.routing.assertions import check_tests
from worker.routing.merge import merge, overlay
from worker.routing.problems import Problem
from worker.routing.shape import read_document, read_problems
from worker.routing.source import Diagnostic, Leaf, Listing, Mark, SourceFile, Table, find, locate, plain
from worker.rules_yaml import parse_yaml

NO_PLUGINS = NoPlugins()
MAX_BYTES = 16 * 1024 * 1024
TEST_SUFFIX = ".test.yaml"
"""Rules tests stand beside the rules and are none."""


class BrokenRules(InvalidRules):
    """``InvalidRules`` with each problem and its place, for programs."""

    def __init__(self, message: str, found: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__(message)
        self.found = found


class WaitingRules(BrokenRules, PluginNotReady):
    """``BrokenRules`` for which a plugin did not become ready in time."""


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

    def restore(self, catalogue: Catalogue = NO_PLUGINS) -> LoadedRules:
        """Compile them again; raises ``InvalidRules`` when a plugin of theirs cannot be made ready now."""
        document = RuleDocument.model_validate(plain(self.root))
        table = compile_rules(document, self.version, catalogue=catalogue)
        return LoadedRules(table, self.files, self.root)


def load_rules(
    paths: Sequence[Path], overlays: Sequence[Path] = (), catalogue: Catalogue = NO_PLUGINS
) -> RuleTable:
    """Return the compiled table of rule files; a folder stands for its ``*.yaml`` in name order.

    Files are merged in the order given, then each overlay is laid over them. The table's ``version`` is a
    digest of the files' content. ``catalogue`` has the plugins that rules may use.

    Raises:
        InvalidRules: its text lists everything that is wrong, with file, line and column.
    """
    return load(paths, overlays, catalogue).table


def load(
    paths: Sequence[Path], overlays: Sequence[Path] = (), catalogue: Catalogue = NO_PLUGINS
) -> LoadedRules:
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
    table = _compile(root, reading, catalogue)
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
        tests = RuleTests.model_validate(plain(tree))
        problems = list(check_tests(tests))
    except ValidationError as error:
        problems = read_problems(tree, error, RuleTests)
    if problems:
        raise invalid([Diagnostic(locate(tree, one), one.message) for one in problems])
    return tests


def invalid(problems: Sequence[Diagnostic]) -> BrokenRules:
    """Return the error whose text shows each problem once, by file and line."""
    ordered = sorted(
        dict.fromkeys(problems), key=lambda one: (one.mark.file.name, one.mark.line, one.mark.column)
    )
    files = {one.mark.file.name for one in ordered}
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    where = f"in {len(files)} files" if len(files) > 1 else f"in {next(iter(files))}"
    kind = WaitingRules if any(one.code == PluginNotReady.code for one in ordered) else BrokenRules
    return kind("\n".join([*(str(one) for one in ordered), f"{count} {where}"]), tuple(ordered))


def _compile(root: Table, reading: "_Reading", catalogue: Catalogue) -> RuleTable | None:
    document, shape_problems, broken, kept = read_document(root)
    found = list(shape_problems)
    table: RuleTable | None = None
    if document is not None:
        table, problems = check_and_compile(document, reading.version, broken=broken, catalogue=catalogue)
        found += [_renumbered(problem, kept) for problem in problems]
    reading.problems += [Diagnostic(locate(root, one), one.message, one.code) for one in found]
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
        return None if text is None else parse_yaml(text, str(path), self.problems)

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
