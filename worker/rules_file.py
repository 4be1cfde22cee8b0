"""Rule files to a rule table: reads and merges them, and says all that is wrong with its place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from schemas.rule_tests import RuleTests
from schemas.rules import RuleDocument
from worker.errors import InvalidRules, PluginNotReady
from worker.routing import Catalogue, NoPlugins, RuleTable, check_and_compile, compile_rules
from worker.routing.assertions import check_tests
from worker.routing.merge import merge, overlay, with_last_values
from worker.routing.problems import Problem
from worker.routing.shape import Kept, read_document, read_problems
from worker.routing.source import (
    REFUSED,
    Diagnostic,
    Leaf,
    Table,
    find,
    locate,
    plain,
    repeats,
)
from worker.rules_reading import RULES_ONLY, TEST_SUFFIX, Reading

NO_PLUGINS = NoPlugins()


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
    reading = Reading()
    for path in paths:
        reading.read_path(path)
    trees = list(reading.trees)
    tops = [reading.read_file(path) for path in overlays]
    if not trees and not reading.problems:
        raise InvalidRules("no rule files are given; name a file or a folder with *.yaml in it")
    if not trees:
        raise invalid(reading.problems)
    laid = [top for top in tops if top is not None]
    root, table = _compile(trees, laid, reading, catalogue)
    if any(map(repeats, (*trees, *laid))):
        _compile([*map(with_last_values, trees)], [*map(with_last_values, laid)], reading, catalogue)
    if table is None or reading.problems:
        raise invalid(reading.problems)
    return LoadedRules(table, tuple(reading.digests), root)


def load_tests(path: Path) -> RuleTests:
    """Return the rules tests of a file; raises ``InvalidRules`` with everything that is wrong in it."""
    reading = Reading()
    tree = reading.read_file(path)
    if tree is None:
        raise invalid(reading.problems)
    if "tests" not in tree.entries and RULES_ONLY & tree.entries.keys():
        message = f"this is a rule file; its tests stand beside it in {path.stem}{TEST_SUFFIX}"
        raise invalid([Diagnostic(tree.mark, message)])
    tests = _read_tests(tree, reading)
    if repeats(tree):
        _read_tests(with_last_values(tree), reading)
    if tests is None or reading.problems:
        raise invalid(reading.problems)
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


def _compile(
    trees: Sequence[Table], overlays: Sequence[Table], reading: Reading, catalogue: Catalogue
) -> tuple[Table, RuleTable | None]:
    """Return the files as one tree with its table; what is wrong is added to the reading's problems."""
    root = merge(trees, reading.problems)
    for top in overlays:
        root = overlay(root, top, reading.problems)
    document, shape_problems, broken, kept = read_document(root)
    found = list(shape_problems)
    table: RuleTable | None = None
    if document is not None:
        table, problems = check_and_compile(document, reading.version, broken=broken, catalogue=catalogue)
        found += [_renumbered(problem, kept) for problem in problems]
    reading.problems += [
        Diagnostic(locate(root, one), one.message, one.code) for one in found if not _known(root, one)
    ]
    return root, table


def _known(root: Table, problem: Problem) -> bool:
    """Whether the value was complained about when it was read."""
    node = find(root, problem.path)
    return isinstance(node, Leaf) and node.value is REFUSED


def _read_tests(tree: Table, reading: Reading) -> RuleTests | None:
    tests: RuleTests | None = None
    try:
        tests = RuleTests.model_validate(plain(tree))
        problems = list(check_tests(tests))
    except ValidationError as error:
        problems = read_problems(tree, error, RuleTests)
    reading.problems += [Diagnostic(locate(tree, one), one.message) for one in problems]
    return tests


def _renumbered(problem: Problem, kept: Kept) -> Problem:
    """Rules and steps too broken to compile were left out, so that positions after them moved up."""
    match problem.path:
        case (str(section), int(i), *rest) if section in kept:
            return replace(problem, path=(section, kept[section][i], *rest))
        case _:
            return problem
