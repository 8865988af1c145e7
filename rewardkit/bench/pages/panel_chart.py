"""Charts of several lines with their intervals as bands: geometry only, the template draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rewardkit.bench.pages.axis import Axis, Tick
from rewardkit.bench.pages.curve import HEIGHT, WIDTH, line_through
from rewardkit.bench.pages.estimates import in_words, interval_of
from rewardkit.bench.pages.one_line import one_line
from rewardkit.bench.pages.thumbnails import spread_over
from rewardkit.bench.result import Line, Panel, Panels

_MOST_LETTERS = 36  # of the words below a chart


@dataclass(frozen=True)
class Spot:
    """A point of a line, in the chart's units, and what it says."""

    x: float
    y: float
    words: str


@dataclass(frozen=True)
class DrawnLine:
    """A line, its band as SVG path data (empty without intervals) and the number of its colour."""

    name: str
    colour: int
    band: str
    spots: list[Spot]

    @property
    def path(self) -> str:
        """The line through all spots, as SVG path data."""
        return line_through([(spot.x, spot.y) for spot in self.spots])


@dataclass(frozen=True)
class PanelChart:
    """A panel's lines. Places of ticks are in per cent from the left and from the bottom; `limit` is a y."""

    panel: Panel
    lines: list[DrawnLine]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    limit: float | None


def line_names(panels: Panels) -> list[str]:
    """The names of all lines, as first met: the place of a name is the number of its colour."""
    return list(dict.fromkeys(line.name for panel in panels.panels for line in panel.lines))


def panel_charts(panels: Panels) -> list[PanelChart]:
    """One chart each panel."""
    names = line_names(panels)
    return [_chart(panel, names) for panel in panels.panels]


def named_places(panel: Panel) -> list[tuple[float, str]]:
    """The words of the horizontal axis, or as many of them as there is room for."""
    if not panel.x_names or not panel.lines:
        return []
    most = max(2, _MOST_LETTERS // max(len(name) + 1 for name in panel.x_names))
    return spread_over(list(zip(panel.lines[0].x, panel.x_names, strict=False)), most)


def _chart(panel: Panel, names: list[str]) -> PanelChart:
    estimates = [estimate for line in panel.lines for estimate in line.y]
    numbers = [e.value for e in estimates] + [end for e in estimates for end in interval_of(e) or ()]
    upright = Axis.around(numbers if panel.limit is None else [*numbers, panel.limit])
    xs = [x for line in panel.lines for x in line.x]
    level = Axis(min(xs), max(xs)) if len(set(xs)) > 1 else Axis.around(xs)
    return PanelChart(
        panel,
        [_drawn(panel, line, names.index(line.name), level, upright) for line in panel.lines],
        _x_ticks(panel, level),
        upright.ticks(),
        None if panel.limit is None else _y(upright, panel.limit),
    )


def _drawn(panel: Panel, line: Line, colour: int, level: Axis, upright: Axis) -> DrawnLine:
    spots, upper, lower = [], [], []
    for x, y, words in zip(line.x, line.y, in_words(line.y, percent=False), strict=True):
        if not math.isfinite(y.value):
            continue
        across = WIDTH * level.place(x) / 100
        spots.append(Spot(across, _y(upright, y.value), f"{line.name}, {_x_words(panel, x)}: {words}"))
        low, high = interval_of(y) or (y.value, y.value)
        lower.append((across, _y(upright, low)))
        upper.append((across, _y(upright, high)))
    band = f"{line_through([*upper, *reversed(lower)])}Z" if spots and any(map(interval_of, line.y)) else ""
    return DrawnLine(line.name, colour, band, spots)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT * (1 - axis.place(value) / 100)


def _x_words(panel: Panel, x: float) -> str:
    """What the axis calls this place: its word, or its name and number."""
    names = dict(zip(panel.lines[0].x, panel.x_names, strict=False))
    return names.get(x) or f"{panel.x} {x:g}".strip()


def _x_ticks(panel: Panel, axis: Axis) -> list[Tick]:
    if not panel.x_names:
        return axis.ticks()
    return [Tick(axis.place(x), one_line(name, _MOST_LETTERS // 2)) for x, name in named_places(panel)]
