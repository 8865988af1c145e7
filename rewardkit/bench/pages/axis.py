"""An axis: its range, and round numbers along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rewardkit.bench.pages.numerals import fixed

_ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_ROOM = 0.04  # of the range, beyond what is drawn
_MOST_TICKS = 5


@dataclass(frozen=True)
class Tick:
    """A number of an axis and its place, in per cent of the axis."""

    place: float
    words: str


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, with a little room beyond."""

    low: float
    high: float

    @classmethod
    def around(cls, numbers: list[float]) -> Axis:
        """The axis that holds those of these numbers that are finite."""
        finite = [number for number in numbers if math.isfinite(number)] or [0.0]
        low, high = min(finite), max(finite)
        room = _ROOM * (high - low) or 0.1 * abs(high) or 1.0
        return cls(low - room, high + room)

    def place(self, number: float) -> float:
        """In per cent of the axis."""
        return 100 * (number - self.low) / (self.high - self.low)

    def ticks(self, percent: bool = False) -> list[Tick]:
        """Round numbers along it; in per cent of a share."""
        scale = 100 if percent else 1
        places = _round_numbers(scale * self.low, scale * self.high, _MOST_TICKS)
        return [Tick(self.place(number / scale), fixed(number, _decimals_of(places))) for number in places]


def rounded_up(width: float) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(step * power for step in _ROUND_STEPS if step * power >= width * (1 - 1e-9))


def _round_numbers(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers in [low, high], evenly apart; `high` must be the larger one."""
    step = rounded_up((high - low) / most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * number for number in range(first, last + 1)][:most]


def _decimals_of(places: list[float]) -> int:
    """How many tell these ticks apart."""
    if len(places) < 2:
        return 3
    step = places[1] - places[0]
    return next((decimals for decimals in range(9) if math.isclose(round(step, decimals), step, rel_tol=1e-6)), 9)
