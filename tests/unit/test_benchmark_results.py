"""How the benchmarks keep what they found."""

import json
from pathlib import Path

import pytest

from benchmarks.charts import Bars, Lines, draw
from benchmarks.results import Place, Result, Table, shown, summaries

PNG = b"\x89PNG"


def one_result(name: str, **summary: float) -> Result:
    return Result(
        name, "A title", f"python -m benchmarks.{name}", Place({"machine": "two cores", "memory_gb": 4.0}),
        ["A note."], [Table(("what", "rate"), [("us", "12")])], rows={"us": [12.0]}, summary=summary,
    )  # fmt: skip


def test_a_page_says_where_and_how_it_was_measured() -> None:
    """Title, notes, machine, command, table and figures."""
    assert one_result("speed", ratio=0.5).markdown().splitlines() == [
        "## A title", "", "A note.", "two cores, 4.0 GB.", "`python -m benchmarks.speed`",
        "", "| what | rate |", "| --- | ---: |", "| us | 12 |",
        "", "| figure | value |", "| --- | ---: |", "| `ratio` | 0.5 |",
    ]  # fmt: skip


def test_whole_runs_share_one_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run replaces its own figures and leaves those of others."""
    monkeypatch.setattr("benchmarks.harness.RESULTS", tmp_path)
    (tmp_path / "journal.json").write_text("[1, 2]")
    one_result("speed", ratio=0.5, rate=9.0).write(quick=False)
    one_result("late", p99=3.0).write(quick=False)
    one_result("speed", ratio=0.75).write(quick=False)
    assert json.loads((tmp_path / "summary.json").read_text()) == {"p99": 3.0, "ratio": 0.75}
    assert json.loads((tmp_path / "speed.json").read_text())["machine"] == {
        "machine": "two cores",
        "memory_gb": 4.0,
    }


def test_a_quick_look_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes to a folder of its own."""
    monkeypatch.setattr("benchmarks.harness.RESULTS", tmp_path / "kept")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = one_result("speed", ratio=0.5).write(quick=True)
    assert (folder / "speed.json").exists()
    assert not (tmp_path / "kept").exists()


def test_two_files_never_give_the_same_figure(tmp_path: Path) -> None:
    """Else one of them would be shown at random."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"summary": {"ratio": 1}}))
    with pytest.raises(ValueError, match=r"two\.json gives ratio"):
        summaries(tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [(18_123.4, "18,123"), (123.46, "123.5"), (12.345, "12.3"), (0.02345, "0.0234"), (0, "0")],
)
def test_figures_are_short(value: float, text: str) -> None:
    """Three digits, or the thousands grouped."""
    assert shown(value) == text


def test_charts_are_drawn(tmp_path: Path) -> None:
    """Bars and lines on one page."""
    pytest.importorskip("matplotlib", reason="make bench brings it")
    bars = Bars("Rates", "payments/s", {"we": [10.0, 12.0], "they": [1.0]}, ours=["we"])
    lines = Lines("Sizes", "bytes", "payments/s", {"we": [(10, 1.0), (100, 3.0)]}, log_x=True, log_y=True)
    draw(tmp_path / "page.png", [bars, lines], columns=2)
    assert (tmp_path / "page.png").read_bytes().startswith(PNG)
