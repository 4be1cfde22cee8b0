"""The documents' figures are the results', and the results have what was promised."""

import json
from pathlib import Path

import pytest

from benchmarks import aims, readme
from benchmarks.harness import RESULTS

SUMMARY = RESULTS / "summary.json"
PAGE = """## Speed

A note.

| what | rate |
| --- | ---: |
| we | 12 |

### Sizes

| what | rate |
| --- | ---: |
| small | 3 |

| figure | value |
| --- | ---: |
| `speed.ratio` | 3 |
"""


def document(folder: Path, *marks: str) -> Path:
    """A document with blocks that show something older."""
    path = folder / "docs" / "page.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "".join(f"before\n<!-- results:{mark} -->\nold\n<!-- end -->\n" for mark in marks) + "after\n"
    )
    return path


def test_the_documents_show_the_results() -> None:
    """No figure is older than the results: `python -m benchmarks.readme` fills them in."""
    assert readme.stale() == []


def test_a_block_shows_the_first_table_and_the_chart(tmp_path: Path) -> None:
    """Notes and table under the page's heading, and the picture by its path from the document."""
    (tmp_path / "speed.md").write_text(PAGE)
    (tmp_path / "speed.png").write_bytes(b"")
    assert readme.filled(document(tmp_path, "speed"), tmp_path) == (
        "before\n<!-- results:speed -->\n\nA note.\n\n| what | rate |\n| --- | ---: |\n| we | 12 |\n\n"
        "![Speed](../speed.png)\n\n<!-- end -->\nafter\n"
    )


def test_a_block_can_show_one_table(tmp_path: Path) -> None:
    """The table under its title, without the figures of the summary."""
    (tmp_path / "speed.md").write_text(PAGE)
    text = readme.filled(document(tmp_path, "speed#Sizes"), tmp_path)
    assert "| small | 3 |" in text
    assert "we" not in text
    assert "speed.ratio" not in text


def test_a_table_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A renamed table must not leave an old one standing."""
    (tmp_path / "speed.md").write_text(PAGE)
    with pytest.raises(ValueError, match=r"no table 'Colours'; there are Speed, Sizes"):
        readme.filled(document(tmp_path, "speed#Colours"), tmp_path)


def test_what_is_not_measured_says_how(tmp_path: Path) -> None:
    """Old figures go away with their results."""
    text = readme.filled(document(tmp_path, "speed", "summary"), tmp_path)
    assert "`python -m benchmarks speed`" in text
    assert "`make bench`" in text
    assert "old" not in text


def test_filling_twice_changes_nothing(tmp_path: Path) -> None:
    """Blocks keep their marks."""
    (tmp_path / "speed.md").write_text(PAGE)
    page = document(tmp_path, "speed", "speed#Sizes")
    page.write_text(readme.filled(page, tmp_path))
    assert readme.filled(page, tmp_path) == page.read_text()


def test_the_summary_stands_beside_its_aims(tmp_path: Path) -> None:
    """A missed aim is called one."""
    (tmp_path / "summary.json").write_text(json.dumps({"rss_mb": 90.0, "processes.2_vs_1": 1.25}))
    text = readme.filled(document(tmp_path, "summary"), tmp_path)
    assert "| memory of a process, MB | 90 | at most 150 |" in text
    assert "| two processes beside one | 1.25 (missed) | at least 1.50 |" in text
    assert list(aims.missed({"rss_mb": 90.0, "processes.2_vs_1": 1.25})) == [
        "processes.2_vs_1 is 1.25; the aim is at least 1.50"
    ]


@pytest.mark.skipif(not SUMMARY.exists(), reason="no full run is kept yet")
def test_the_summary_has_every_promised_figure() -> None:
    """What reads it may count on these keys, all of them numbers."""
    figures = json.loads(SUMMARY.read_text())
    assert figures.keys() >= {
        "tap_relay.vs_c_relay", "single.vs_c_relay", "single.vs_bare_aiormq", "single.vs_best_peer",
        "single.payments_per_second", "batch50.payments_per_second", "batch50.vs_c_relay",
        "latency.p99_vs_relay", "latency.p99_ms", "tracing.unsampled_cost", "tracing.one_percent_cost",
        "tracing.full_payments_per_second", "rules.cost_10000_vs_10", "failing.cost_1_percent",
        "processes.2_vs_1", "rss_mb", "journal.sqlite_cost", "journal.postgresql_cost",
    }  # fmt: skip
    assert all(type(value) in (int, float) for value in figures.values())


def test_every_figure_of_the_summary_has_words() -> None:
    """The README shows them all, so that none hides."""
    figures = json.loads(SUMMARY.read_text()) if SUMMARY.exists() else {}
    assert figures.keys() <= aims.AIMS.keys()
