"""Estimates with their intervals, one below the other: geometry only, the template draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rewardkit.bench.pages.axis import Axis, Tick
from rewardkit.bench.pages.estimates import Words, in_words, interval_of
from rewardkit.bench.result import Forest, ForestRow


@dataclass(frozen=True)
class ForestLine:
    """One estimate: its words, and the places of its value and of the ends of its interval, in per cent."""

    label: str
    words: Words
    place: float | None
    ends: tuple[float, float] | None
    count: int | None


@dataclass(frozen=True)
class ForestChart:
    """The lines by group, over one axis; `reference` is a place on it."""

    groups: dict[str, list[ForestLine]]
    ticks: list[Tick]
    reference: float | None


def forest_chart(forest: Forest) -> ForestChart:
    """The chart of that block."""
    estimates = [row.estimate for row in forest.rows]
    numbers = [e.value for e in estimates] + [end for e in estimates for end in interval_of(e) or ()]
    axis = Axis.around(numbers if forest.reference is None else [*numbers, forest.reference])
    groups: dict[str, list[ForestLine]] = {}
    for row, words in zip(forest.rows, in_words(estimates, forest.percent), strict=True):
        groups.setdefault(row.group, []).append(_line(row, words, axis))
    reference = None if forest.reference is None else axis.place(forest.reference)
    return ForestChart(groups, axis.ticks(forest.percent), reference)


def _line(row: ForestRow, words: Words, axis: Axis) -> ForestLine:
    value, ends = row.estimate.value, interval_of(row.estimate)
    return ForestLine(
        row.label,
        words,
        axis.place(value) if math.isfinite(value) else None,
        (axis.place(ends[0]), axis.place(ends[1])) if ends else None,
        row.estimate.count,
    )
