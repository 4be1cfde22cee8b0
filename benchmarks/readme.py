"""Put results into the documents, so that their figures are never older than the results.

A document marks where. ``<!-- results:NAME -->`` up to ``<!-- end -->`` shows ``results/NAME.md``, up to its
first table, and its chart; ``<!-- results:NAME#TITLE -->`` the table of that title with its notes;
``<!-- results:summary -->`` the figures of ``summary.json`` beside their aims.

Usage: python -m benchmarks.readme [--check]
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

from benchmarks import aims
from benchmarks.harness import RESULTS
from benchmarks.results import SUMMARY

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "docs/benchmarks.md", "docs/scaling.md")
_BLOCK = re.compile(r"(<!-- results:(?P<name>\w+)(?:#(?P<title>[^>]*?))? -->\n).*?(<!-- end -->)", re.DOTALL)
_HEADING = re.compile(r"^#{2,3} (.*)\n", re.MULTILINE)
_FIGURES = "| figure | value |"


def filled(document: Path, results: Path = RESULTS) -> str:
    """Return the document's text with every marked block as the results are now.

    Where there is no result yet, the block says how to get one. Raises ValueError for a table that a result
    does not have.
    """

    def fill(found: re.Match[str]) -> str:
        lines = _block(found["name"], found["title"], document.parent, results)
        return f"{found[1]}\n{lines}\n\n{found[4]}"

    return _BLOCK.sub(fill, document.read_text())


def _block(name: str, title: str | None, beside: Path, results: Path) -> str:
    if name == SUMMARY:
        return _summary(results / f"{SUMMARY}.json")
    path = results / f"{name}.md"
    if not path.exists():
        return f"Not measured yet; `python -m benchmarks {name}` does."
    sections = _sections(path.read_text())
    if title is not None:
        if title not in sections:
            raise ValueError(f"{path.name} has no table {title!r}; there are {', '.join(sections)}")
        return sections[title]
    heading, text = next(iter(sections.items()))
    chart = path.with_suffix(".png")
    image = f"![{heading}]({os.path.relpath(chart, beside)})" if chart.exists() else ""
    return f"{text}\n\n{image}".strip()


def _summary(path: Path) -> str:
    if not path.exists() or not (figures := json.loads(path.read_text())):
        return "Not measured yet; `make bench` does."
    return "\n".join(aims.table(figures).markdown())


def _sections(page: str) -> dict[str, str]:
    """What stands below each heading, without the figures of the summary."""
    return {
        heading: text.partition(_FIGURES)[0].strip()
        for heading, text in zip(_HEADING.findall(page), _HEADING.split(page)[2::2], strict=True)
    }


def stale(root: Path = ROOT) -> list[str]:
    """The documents whose blocks differ from the results."""
    return [name for name in DOCUMENTS if filled(root / name) != (root / name).read_text()]


def main(arguments: list[str]) -> int:
    """Fill the documents, or only say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a document is stale")
    options = parser.parse_args(arguments)
    names = stale()
    for name in names:
        if options.check:
            print(f"{name} shows other figures than benchmarks/results: run `python -m benchmarks.readme`")
        else:
            (ROOT / name).write_text(filled(ROOT / name))
            print(f"{name} shows the new figures")
    return len(names) if options.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
