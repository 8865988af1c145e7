"""Numbers over the steps of a training as a small chart: geometry only, the template draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rewardkit.bench.pages.curve import HEIGHT, WIDTH, line_through
from rewardkit.scoring.decimals import decimals_for

_ROOM = 0.06  # above and below what is drawn


@dataclass(frozen=True)
class Point:
    """A number at a step, and how unsure it is."""

    step: int
    value: float
    error: float = 0.0


@dataclass(frozen=True)
class Dot:
    """A point's place: x to the right, y downwards, in the chart's units."""

    x: float
    y: float
    of: Point


@dataclass(frozen=True)
class LineChart:
    """A line over steps 0 to `last`, between `low` and `high`.

    Attributes:
        title: what is drawn.
        note: how to read it.
        dots: one a point.
        band: outline of value plus and minus error as SVG path data; empty without errors.
        limit: y of a bound that must not be crossed; None without one.
        decimals: to show numbers with.
    """

    title: str
    note: str
    dots: tuple[Dot, ...]
    band: str
    limit: float | None
    low: float
    high: float
    last: int
    decimals: int

    @property
    def path(self) -> str:
        """The line through all dots, as SVG path data."""
        return line_through([(dot.x, dot.y) for dot in self.dots])

    @property
    def trend(self) -> str:
        """A line through means of a tenth of the points each, as SVG path data; empty where points are few."""
        if self.few:
            return ""
        reach = len(self.dots) // 20
        around = [self.dots[max(0, n - reach) : n + reach + 1] for n in range(len(self.dots))]
        means = [sum(dot.y for dot in some) / len(some) for some in around]
        return line_through([(dot.x, mean) for dot, mean in zip(self.dots, means, strict=True)])

    @property
    def few(self) -> bool:
        """Whether each point deserves a dot."""
        return len(self.dots) <= 40


def line_chart(
    title: str, note: str, points: Sequence[Point], last: int, limit: float | None = None
) -> LineChart | None:
    """The chart of finite numbers; None where there are none."""
    points = [point for point in points if math.isfinite(point.value)]
    if not points:
        return None
    numbers = [value for p in points for value in (p.value - p.error, p.value + p.error)]
    if limit is not None:
        numbers.append(limit)
    low, high = min(numbers), max(numbers)
    room = _ROOM * (high - low) or max(abs(high), 1e-9) * _ROOM
    low, high = low - room, high + room

    def y(value: float) -> float:
        return HEIGHT * (high - value) / (high - low)

    dots = tuple(Dot(WIDTH * point.step / max(1, last), y(point.value), point) for point in points)
    band = ""
    if any(point.error for point in points):
        upper = [(dot.x, y(dot.of.value + dot.of.error)) for dot in dots]
        lower = [(dot.x, y(dot.of.value - dot.of.error)) for dot in reversed(dots)]
        band = f"{line_through([*upper, *lower])}Z"
    at = None if limit is None else y(limit)
    return LineChart(title, note, dots, band, at, low, high, last, decimals_for(high - low))
