"""Plain charts of results: horizontal bars with their spread, and lines over x.

matplotlib is loaded when one is drawn, not before.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

OURS, OTHERS = "#1f5f99", "#a9b4bf"
LINES = ("#1f5f99", "#c0392b", "#1e8449", "#d68910", "#6c3483", "#148f77", "#7f8c8d", "#2c3e50", "#b9770e")
INK = "#333333"


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar a row, as long as the median of its rounds, with a whisker from the lowest to the highest.

    ``ours`` are the rows drawn in the strong colour.
    """

    title: str
    unit: str
    rows: Mapping[str, Sequence[float]]
    ours: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Lines:
    """A line a series, each of points (x, y); ``spreads`` are shaded from the lowest to the highest y.

    ``ours`` are drawn bolder. The legend stands beside the panel where there are many series; of panels with
    the same ones, one has it.
    """

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    log_x: bool = False
    log_y: bool = False
    spreads: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    ours: Sequence[str] = ()
    legend: bool = True


Panel = Bars | Lines


def draw(path: Path, panels: Sequence[Panel], columns: int = 1) -> None:
    """Draw the panels in so many columns, and write them as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [max(map(_height, row)) for row in rows]
    with plt.rc_context({"font.size": 10, "axes.titlesize": 11, "text.color": INK, "axes.labelcolor": INK}):
        figure, grid = plt.subplots(
            len(rows),
            columns,
            figsize=(8.0 if columns == 1 else 6.4 * columns, sum(heights)),
            height_ratios=heights,
            squeeze=False,
            layout="constrained",
        )
        for axis in grid.flat[len(panels) :]:
            axis.set_visible(False)
        for axis, panel in zip(grid.flat, panels, strict=False):
            _tidy(axis, panel.title)
            match panel:
                case Bars():
                    _bars(axis, panel)
                case Lines():
                    _lines(axis, panel)
                case _:
                    assert_never(panel)
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
        figure.savefig(path, dpi=120)
        plt.close(figure)


def _height(panel: Panel) -> float:
    return 1.1 + 0.36 * len(panel.rows) if isinstance(panel, Bars) else 3.6


def _tidy(axis: Any, title: str) -> None:
    axis.set_title(title, loc="left")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.tick_params(colors=INK)


def _bars(axis: Any, panel: Bars) -> None:
    names = list(panel.rows)
    medians = [statistics.median(panel.rows[name]) for name in names]
    below = [middle - min(panel.rows[name]) for name, middle in zip(names, medians, strict=True)]
    above = [max(panel.rows[name]) - middle for name, middle in zip(names, medians, strict=True)]
    colours = [OURS if name in panel.ours else OTHERS for name in names]
    places = range(len(names))
    axis.barh(places, medians, color=colours, height=0.62)
    axis.errorbar(medians, places, xerr=(below, above), fmt="none", ecolor=INK, elinewidth=1.0, capsize=2.5)
    longest = max(m + a for m, a in zip(medians, above, strict=True)) or 1.0
    for place, middle, more in zip(places, medians, above, strict=True):
        axis.annotate(
            f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}",
            (middle + more, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axis.set_yticks(list(places), names)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.14 * longest)
    axis.set_xlabel(panel.unit)
    axis.xaxis.set_major_formatter(lambda value, _place: f"{value:,g}")
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _lines(axis: Any, panel: Lines) -> None:
    colours = dict(zip(panel.series, LINES * (1 + len(panel.series) // len(LINES)), strict=False))
    for name, points in panel.series.items():
        xs, ys = zip(*points, strict=True)
        width = 3.0 if name in panel.ours else 1.6
        axis.plot(xs, ys, marker="o", markersize=4, linewidth=width, color=colours[name], label=name)
        if name in panel.spreads:
            low, high = zip(*panel.spreads[name], strict=True)
            axis.fill_between(xs, low, high, color=colours[name], alpha=0.15, linewidth=0)
    axis.set(xlabel=panel.x_label, ylabel=panel.y_label)
    if panel.log_x:
        axis.set_xscale("log")
        axis.set_xticks(sorted({x for points in panel.series.values() for x, _ in points}))
        axis.minorticks_off()
    if panel.log_y:
        axis.set_yscale("log")
        axis.yaxis.set_minor_formatter(lambda *_: "")
    else:
        axis.set_ylim(bottom=0)
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_formatter(lambda value, _place: f"{value:,g}")
    axis.grid(axis="y", color="#e4e7ea", linewidth=0.8)
    axis.set_axisbelow(True)
    if len(panel.series) > 1 and panel.legend:
        beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(panel.series) > 5 else {}
        axis.legend(frameon=False, fontsize=9, **beside)
