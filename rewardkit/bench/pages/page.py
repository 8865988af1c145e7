"""What the report shows, worked out from rows: the template only lays it out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rewardkit.bench.pages.curve import Curve, FrameScore, draw_curve, frame_scores
from rewardkit.bench.pages.histogram import Histogram, histogram
from rewardkit.bench.pages.thumbnails import Strip
from rewardkit.scoring.decimals import decimals_for
from rewardkit.scoring.pairing import has_score
from rewardkit.scoring.rows import PartScore, ScoreRow


@dataclass(frozen=True)
class PartView:
    """One reward's result for one video: the only one, or one of a weighted sum's.

    Attributes:
        name: the reward's spec.
        colour: which of the page's colours is its own.
        score: None when the video failed.
        decimals: how many its scores are shown with.
        by_frame: its score of each frame.
        curve: None for a reward that judges whole videos.
    """

    name: str
    colour: int
    score: float | None
    decimals: int
    by_frame: Mapping[int, FrameScore]
    curve: Curve | None


@dataclass(frozen=True)
class RowView:
    """One video. `order` is its place in the file, `place` in [0, 1] where its score lies from worst to best."""

    row: ScoreRow
    order: int
    place: float
    parts: tuple[PartView, ...]
    strip: Strip | None

    @property
    def left_out(self) -> str | None:
        """One sentence where the strip shows fewer frames than were looked at."""
        looked_at, own = len(set(self.row.frame_index or [])), len(pictured_frames(self.row))
        shown = len(self.strip.pictures) if self.strip else 0
        if shown == looked_at:
            return None
        if shown == own:
            return f"The {own} frames that have a score of their own, of {looked_at} looked at."
        return f"{shown} of {own} scored frames, evenly chosen."


@dataclass(frozen=True)
class Page:
    """The whole report. Statistics are of videos with a score; None where there is none."""

    reward: str
    rows: tuple[RowView, ...]
    scored: int
    decimals: int
    mean: float | None
    median: float | None
    deviation: float | None
    low: float | None
    high: float | None
    histogram: Histogram | None
    without_pictures: int


@dataclass(frozen=True)
class _Scale:
    """How one reward's scores spread over all videos: range of per-frame scores, and decimals to show."""

    overall: float
    decimals: int


def pictured_frames(row: ScoreRow) -> list[int]:
    """The frames that have a score of their own; where none has, all that the reward looked at."""
    own = {score.frame for part in _results(row).values() for score in frame_scores(part)}
    return sorted(own or set(row.frame_index or []))


def build_page(reward: str, rows: Sequence[ScoreRow], strips: Mapping[int, Strip]) -> Page:
    """The page for these rows, best first and failed last. `strips` holds the pictures by place in `rows`."""
    scores = [row.score for row in rows if has_score(row) and row.score is not None]
    low, high = (min(scores), max(scores)) if scores else (None, None)
    scales = _scales(rows)
    views = [
        RowView(row, order, _place(row, low, high), _parts(row, scales), strips.get(order))
        for order, row in enumerate(rows)
    ]
    views.sort(key=lambda view: -(view.row.score or 0.0) if has_score(view.row) else math.inf)
    return Page(
        reward=reward,
        rows=tuple(views),
        scored=len(scores),
        decimals=_decimals(scores),
        mean=statistics.fmean(scores) if scores else None,
        median=statistics.median(scores) if scores else None,
        deviation=statistics.stdev(scores) if len(scores) > 1 else None,
        low=low,
        high=high,
        histogram=histogram(scores),
        without_pictures=sum(has_score(row) and order not in strips for order, row in enumerate(rows)),
    )


def _place(row: ScoreRow, low: float | None, high: float | None) -> float:
    if row.score is None or low is None or high is None or not has_score(row):
        return 0.0
    return (row.score - low) / (high - low) if high > low else 1.0


def _results(row: ScoreRow) -> Mapping[str, PartScore | ScoreRow]:
    """Each reward's result by its spec: a weighted sum's parts, or the row itself."""
    return row.parts or {row.reward: row}


def _parts(row: ScoreRow, scales: Mapping[str, _Scale]) -> tuple[PartView, ...]:
    views = []
    for colour, (name, part) in enumerate(_results(row).items()):
        scores, scale = frame_scores(part), scales[name]
        curve = draw_curve(scores, row.num_frames, scale.overall)
        views.append(PartView(name, colour, part.score, scale.decimals, {s.frame: s for s in scores}, curve))
    return tuple(views)


def _scales(rows: Sequence[ScoreRow]) -> dict[str, _Scale]:
    """Each reward's scale, from what it gave all videos."""
    totals: dict[str, list[float]] = {}
    frames: dict[str, list[float]] = {}
    for row in rows:
        for name, part in _results(row).items():
            scored = [part.score] if part.score is not None and math.isfinite(part.score) else []
            totals.setdefault(name, []).extend(scored)
            frames.setdefault(name, []).extend(s.score for s in frame_scores(part))
    return {name: _Scale(_range(frames[name]), _decimals(totals[name] + frames[name])) for name in totals}


def _range(numbers: Sequence[float]) -> float:
    return max(numbers) - min(numbers) if numbers else 0.0


def _decimals(numbers: Sequence[float]) -> int:
    """Decimals that tell the numbers apart: by their range, or by their size when all are equal."""
    return decimals_for(_range(numbers) or max(map(abs, numbers), default=0.0))
