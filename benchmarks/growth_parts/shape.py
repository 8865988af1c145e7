"""What theory says of a curve, how far what was found is from it, and the words for both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

Shape = Literal["linear", "constant", "at most linear"]
LINEAR_WITHIN, CONSTANT_WITHIN = 0.15, 0.15


class Found(NamedTuple):
    """How a cost grows.

    Attributes:
        theory: what it should be.
        measure: of a linear cost the exponent, 1 where it is linear, of a constant one the greatest cost over the
            first; None where the cost does not grow at all and so has no exponent.
        met: whether the measure is as near to 1 as the tolerances above say; below 1 is met where less is as good.
    """

    theory: Shape
    measure: float | None
    met: bool


def judge(theory: Shape, points: Sequence[float], costs: Sequence[float]) -> Found:
    """Compares costs at growing points with theory."""
    if theory == "constant":
        measure = round(max(costs[1:]) / costs[0], 2)
        return Found(theory, measure, measure <= 1 + CONSTANT_WITHIN)
    power = exponent(points, costs)
    if power is None:
        return Found(theory, None, theory == "at most linear")
    least = 1 - LINEAR_WITHIN if theory == "linear" else -math.inf
    return Found(theory, round(power, 2), least <= round(power, 2) <= 1 + LINEAR_WITHIN)


def exponent(points: Sequence[float], costs: Sequence[float]) -> float | None:
    """The power p in cost = fixed + a * (point - first)^p, over the upper half of the points; None without growth.

    What the smallest point costs is taken off first: a line has exponent 1 whatever there is to do besides.
    """
    upper = slice(len(points) // 2, None)
    grown = [cost - costs[0] for cost in costs[upper]]
    if min(grown) <= 0:
        return None
    xs = [math.log(point - points[0]) for point in points[upper]]
    ys = [math.log(cost) for cost in grown]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    along = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True))
    return along / sum((x - middle_x) ** 2 for x in xs)
