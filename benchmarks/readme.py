"""Put results into the documents, so that their figures are never older than the results.

A document marks where: ``<!-- results:NAME -->`` up to ``<!-- end -->`` shows ``results/NAME.md`` without its
heading and figures of the summary; ``<!-- results:NAME#TITLE -->`` shows the one table of that title.

Usage: python -m benchmarks.readme [--check]
"""

import argparse
import re
import sys
from pathlib import Path

from benchmarks.harness import RESULTS

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md",)
BLOCK = re.compile(r"(<!-- results:(?P<name>\w+)(?:#(?P<title>[^>]*?))? -->\n).*?(<!-- end -->)", re.DOTALL)
FIGURES = "| figure | value |"


def filled(document: str, results: Path = RESULTS) -> str:
    """Return the document with every marked block as the results are now.

    Where there is no result yet, the block says how to get one. Raises ValueError for a table that a result
    does not have.
    """
    return BLOCK.sub(
        lambda found: found[1] + _block(found["name"], found["title"], results) + found[4], document
    )


def _block(name: str, title: str | None, results: Path) -> str:
    path = results / f"{name}.md"
    if not path.exists():
        return f"Not measured yet: `python -m benchmarks {name}`\n"
    _heading, *sections = re.split(r"^#{2,3} .*\n", path.read_text(), flags=re.MULTILINE)
    titles = re.findall(r"^#{2,3} (.*)\n", path.read_text(), flags=re.MULTILINE)
    if title is None:
        return "\n" + sections[0].partition(FIGURES)[0].strip() + "\n\n"
    if title not in titles:
        raise ValueError(f"{path.name} has no table {title!r}; there are {', '.join(titles)}")
    return "\n" + sections[titles.index(title)].partition(FIGURES)[0].strip() + "\n\n"


def stale(root: Path = ROOT) -> list[str]:
    """The documents whose blocks differ from the results."""
    return [name for name in DOCUMENTS if filled((root / name).read_text()) != (root / name).read_text()]


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
            path = ROOT / name
            path.write_text(filled(path.read_text()))
            print(f"{name} shows the new figures")
    return len(names) if options.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
