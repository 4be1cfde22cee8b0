"""Every code that a payment can be dead-lettered with is in the documents, and no two errors share one."""

from collections.abc import Iterator
from pathlib import Path

from worker import errors

DOCUMENT = Path(__file__).parents[2] / "docs" / "messages.md"
INTERNAL = {"rejected"}
"""Stands for the code that a rule names."""


def leaves(branch: type[errors.WorkerError]) -> Iterator[type[errors.WorkerError]]:
    for leaf in branch.__subclasses__():
        yield leaf
        yield from leaves(leaf)


def test_permanent_codes_are_documented() -> None:
    """An operator who meets a code finds it in docs/messages.md."""
    text = DOCUMENT.read_text()
    codes = {leaf.code for leaf in leaves(errors.PermanentError)} - INTERNAL
    assert {code for code in codes if f"`{code}`" not in text} == set()


def test_codes_are_unique() -> None:
    """A code is a metric label and a header: one error, one code."""
    codes = [leaf.code for leaf in leaves(errors.WorkerError) if "code" in vars(leaf)]
    assert len(set(codes)) == len(codes)
