"""The page of guarantees names tests that there are, and every fault test is on it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
LINKED = sorted(set(re.findall(r"\(\.\./(tests/[\w/.]+)\)", PAGE)))
NAMED = sorted(set(re.findall(r"`(test_\w+)`", PAGE)))


def defined_in(path: Path) -> set[str]:
    """The names of a file's tests."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, functions) and node.name.startswith("test_")}


@pytest.mark.parametrize("path", LINKED)
def test_a_file_that_is_named_is_there(path: str) -> None:
    """No link leads nowhere."""
    assert (ROOT / path).is_file()


def test_every_test_that_is_named_is_in_a_file_that_is() -> None:
    """Whoever renames a test finds out here."""
    there = set[str]().union(*(defined_in(ROOT / path) for path in LINKED))
    assert NAMED
    assert not set(NAMED) - there


def test_every_fault_test_is_named() -> None:
    """Each file is linked, and each of its tests named, but for those of the ledger itself."""
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "faults").glob("test_*.py")}
    assert not files - set(LINKED)
    there = set[str]().union(*(defined_in(ROOT / path) for path in files if not path.endswith("_ledger.py")))
    assert not there - set(NAMED) - {"test_the_rules_ask"}
