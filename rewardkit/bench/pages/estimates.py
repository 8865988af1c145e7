"""Estimates in words: as many decimals as their intervals deserve."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rewardkit.bench.pages.numerals import fixed
from rewardkit.bench.result import Estimate
from rewardkit.scoring.decimals import decimals_for

_DIGITS_OF_INTERVAL = 2


@dataclass(frozen=True)
class Words:
    """A number and the ends of its interval; `sign` is `%` for a share, which all three are in per cent of."""

    value: str
    interval: tuple[str, str] | None
    sign: str

    def __str__(self) -> str:
        value = f"{self.value} {self.sign}".rstrip()
        return f"{value} ({' to '.join(self.interval)})" if self.interval else value


def interval_of(estimate: Estimate) -> tuple[float, float] | None:
    """Its ends; None where there are not both, or one is not finite."""
    low, high = estimate.low, estimate.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return low, high


def in_words(estimates: Sequence[Estimate], percent: bool) -> list[Words]:
    """Those of one column: each with two digits of its interval's width, and where that is nearly so, with the same."""
    own = _decimals(estimates, percent)
    if own and max(own) - min(own) <= 1:
        own = [statistics.median_low(own)] * len(own)
    return [_in_words(estimate, percent, decimals) for estimate, decimals in zip(estimates, own, strict=True)]


def _in_words(estimate: Estimate, percent: bool, decimals: int) -> Words:
    scale, ends = 100 if percent else 1, interval_of(estimate)
    low_high = (fixed(scale * ends[0], decimals), fixed(scale * ends[1], decimals)) if ends else None
    return Words(fixed(scale * estimate.value, decimals), low_high, "%" if percent else "")


def _decimals(estimates: Sequence[Estimate], percent: bool) -> list[int]:
    scale = 100 if percent else 1
    widths = [scale * (ends[1] - ends[0]) if ends else 0.0 for ends in map(interval_of, estimates)]
    bare = [abs(scale * e.value) for e, width in zip(estimates, widths, strict=True) if not width]
    otherwise = _decimals_of_bare([value for value in bare if math.isfinite(value)], percent)
    return [decimals_for(width, _DIGITS_OF_INTERVAL) if width else otherwise for width in widths]


def _decimals_of_bare(values: Sequence[float], percent: bool) -> int:
    """For numbers without an interval: three digits of their middle size, two of a share, none of counts."""
    sizes = [value for value in values if value]
    if not sizes or all(value.is_integer() for value in sizes):
        return 0
    return decimals_for(statistics.median_low(sizes), 2 if percent else 3)
