"""How scores are spread: counts in bins with round borders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardkit.bench.pages.axis import rounded_up

_FEWEST_BINS, _MOST_BINS = 10, 30


@dataclass(frozen=True)
class Histogram:
    """Counts between neighbouring `borders`; one border more than counts."""

    borders: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def highest(self) -> int:
        """The largest count."""
        return max(self.counts)

    def share(self, value: float) -> float:
        """Where `value` lies between the outer borders, in [0, 1]."""
        return (value - self.borders[0]) / (self.borders[-1] - self.borders[0])


def histogram(scores: Sequence[float]) -> Histogram | None:
    """The histogram of finite scores; None when there is nothing to spread: fewer than two different scores.

    Bins have the width of Freedman and Diaconis (1981), but about 10 to 30 of them span the scores, and widths are
    rounded up to 1, 2, 2.5 or 5 times a power of ten.
    """
    if len(set(scores)) < 2:
        return None
    values = np.asarray(scores, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    lower, upper = np.quantile(values, [0.25, 0.75])
    width = float(2 * (upper - lower) / len(values) ** (1 / 3))
    step = rounded_up(min(max(width, (high - low) / _MOST_BINS), (high - low) / _FEWEST_BINS))
    first = math.floor(low / step)
    borders = step * np.arange(first, max(math.floor(high / step), first) + 2)
    counts, _ = np.histogram(values, borders)
    return Histogram(tuple(borders.tolist()), tuple(counts.tolist()))
