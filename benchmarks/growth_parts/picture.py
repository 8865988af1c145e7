"""The curves as pictures, one for each family: costs as multiples of what they are at the first point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import matplotlib.style
from growth_parts.curves import Family
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter
from recording import ROOT

PICTURES = ROOT / "docs" / "pictures"
COLOURS = {"seconds": "#0072B2", "megabytes": "#D55E00"}
"""As in `rewardkit.bench.pages.figures`."""
MARKS = ("o-", "s:")  # of a curve's first line and its second
NAMES = {"seconds": "time", "megabytes": "peak memory"}
QUIET, PALE = "#777777", "#E4E4E4"
LOGARITHMIC = 1000  # where points lie so far apart, a straight axis would heap them up
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": PALE,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
}


def draw(curves: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes growth-scoring.png and growth-step.png to docs/pictures."""
    with matplotlib.style.context(["default", STYLE]):
        for family in get_args(Family):
            drawn = [curve for curve in curves.values() if curve.get("family") == family]
            figure = Figure(figsize=(7.5, 4.4), layout="constrained")
            spots = iter(figure.subplots(2, 3).flat)
            for curve, axes in zip(drawn, spots, strict=False):
                _draw_curve(axes, curve)
            figure.supylabel("times the first point's", fontsize=8)
            _draw_key(next(spots))
            for axes in spots:
                axes.set_axis_off()
            figure.savefig(PICTURES / f"growth-{family}.png", dpi=160, metadata={"Software": None})


def _draw_curve(axes: Axes, curve: Mapping[str, Any]) -> None:
    points = curve["points"]
    if points[-1] >= LOGARITHMIC * points[0]:
        axes.loglog()
    for (line, found), marks in zip(curve["lines"].items(), MARKS, strict=False):
        for cost, growth in (("seconds", "time"), ("megabytes", "memory")):
            times = [one / found[cost][0] for one in found[cost]]
            top = 1 if found[growth]["theory"] == "constant" else times[-1]
            axes.plot(points, _line(points, top), "--", color=QUIET, linewidth=0.8)
            axes.plot(points, times, marks, color=COLOURS[cost], linewidth=1.4, markersize=3)
        if len(curve["lines"]) > 1:
            high = found["seconds"][-1] / found["seconds"][0]
            box = {"facecolor": "white", "linewidth": 0, "pad": 0.5}
            place = points[-1], high
            axes.annotate(line, place, (-5, 4), textcoords="offset points", ha="right", fontsize=7, bbox=box)
    axes.set_title(curve["grows"])
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _line(points: Sequence[float], top: float) -> list[float]:
    """From 1 at the first point to `top` at the last."""
    return [1 + (top - 1) * (point - points[0]) / (points[-1] - points[0]) for point in points]


def _draw_key(axes: Axes) -> None:
    axes.set_axis_off()
    keys = [Line2D([], [], color=colour, marker="o", markersize=3) for colour in COLOURS.values()]
    keys.append(Line2D([], [], color=QUIET, linestyle="--", linewidth=0.8))
    axes.legend(keys, [*(NAMES[cost] for cost in COLOURS), "as theory says"], loc="center left", fontsize=8.5)
