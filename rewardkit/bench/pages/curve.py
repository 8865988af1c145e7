"""Per-frame scores as a small curve: geometry only, the template draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rewardkit.scoring.rows import PartScore, ScoreRow

WIDTH, HEIGHT = 1000, 100
"""The curve's own units; the page stretches them to the room there is."""

_LEAST_SHARE = 0.2


@dataclass(frozen=True)
class FrameScore:
    """One scored frame: number in the video, score, weight, and its weight against the heaviest, in [0, 1]."""

    frame: int
    score: float
    weight: float
    share: float


@dataclass(frozen=True)
class Dot:
    """A frame's place on the curve: x to the right, y downwards, in the curve's units."""

    x: float
    y: float
    of: FrameScore


@dataclass(frozen=True)
class Curve:
    """The scores of one reward over the frames of one video, from frame 0 to `last`, between `low` and `high`."""

    dots: tuple[Dot, ...]
    low: float
    high: float
    last: int

    @property
    def path(self) -> str:
        """The line through all dots, as SVG path data."""
        return line_through([(dot.x, dot.y) for dot in self.dots])


def line_through(places: Sequence[tuple[float, float]]) -> str:
    """The line through all places (x, y), as SVG path data."""
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def frame_scores(part: PartScore | ScoreRow) -> list[FrameScore]:
    """The finite per-frame scores; none for a reward that judges whole videos or a row whose lists disagree."""
    scores, frames = part.per_frame or [], part.frame_index or []
    weights = part.weights or [1.0] * len(scores)
    if not len(scores) == len(frames) == len(weights):
        return []
    heaviest = max((abs(w) for w in weights if math.isfinite(w)), default=0.0)
    return [
        FrameScore(frame, score, weight, min(abs(weight) / heaviest, 1.0) if heaviest else 0.0)
        for frame, score, weight in zip(frames, scores, weights, strict=True)
        if math.isfinite(score) and math.isfinite(weight)
    ]


def draw_curve(scores: Sequence[FrameScore], num_frames: int | None, overall: float) -> Curve | None:
    """The curve of one video; None without scores.

    `overall` is the range of per-frame scores over all videos: the curve's own range is at least a fifth of that, so
    that a steady video looks steady.
    """
    if not scores:
        return None
    low, high = min(s.score for s in scores), max(s.score for s in scores)
    missing = max(overall * _LEAST_SHARE - (high - low), 0.0)
    bottom, top = low - missing / 2, high + missing / 2
    return curve_between(bottom, top, scores, num_frames)


def curve_between(low: float, high: float, scores: Sequence[FrameScore], num_frames: int | None) -> Curve:
    """The curve of one video on an axis from `low` to `high`; at least one score."""
    last = max([(num_frames or 1) - 1, *(s.frame for s in scores)])
    dots = tuple(
        Dot(
            x=WIDTH * (s.frame / last if last else 0.5),
            y=HEIGHT * ((high - s.score) / (high - low) if high > low else 0.5),
            of=s,
        )
        for s in scores
    )
    return Curve(dots, low, high, last)
