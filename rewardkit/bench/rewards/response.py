"""What each reward sees: how its score answers to known defects of growing strength."""

from __future__ import annotations

import statistics
from itertools import pairwise

import numpy as np

from rewardkit.bench.defects import WRONG_PROMPT, find_defect, settings_of, spoiled_so
from rewardkit.bench.films.scores import mean_of
from rewardkit.bench.result import Column, Estimate, Line, Panel, Panels, Table
from rewardkit.bench.rewards.scores import COPIED, Found, Scores


class Response:
    """Of every reward to every defect of the suite."""

    def __init__(self, found: Found) -> None:
        self.suite, self.videos, self.scores = found.suite, found.videos, found.scores
        self.fallen = {
            name: {defect: self._fallen(one, defect) for defect in self.suite.defects}
            for name, one in self.scores.items()
        }

    def _variants(self, defect: str) -> list[str]:
        return [spoiled_so(defect, setting) for setting in settings_of(defect)]

    def _fallen(self, one: Scores, defect: str) -> Estimate | None:
        """The share of steps, from clean to mildest and on, in which the score of a video falls."""
        stages = [one.values(name) for name in (COPIED, *self._variants(defect))]
        paths = [path for path in self.videos.tried if all(path in stage for stage in stages)]
        if not paths:
            return None
        per_video = {
            str(path): statistics.fmean(_fell(before[path], after[path]) for before, after in pairwise(stages))
            for path in paths
        }
        return mean_of(per_video, self.suite.seed, is_share=True)

    def curves(self) -> Panels:
        """Score against strength, a panel a defect."""
        panels = []
        for defect in self.suite.defects:
            wrong = "share of words that are another video's"
            lines = [line for name, one in self.scores.items() if (line := self._curve(name, one, defect)) is not None]
            panels.append(
                Panel(
                    title=defect,
                    note=wrong if defect == WRONG_PROMPT else find_defect(defect).unit,
                    x="",
                    x_names=["none", *(f"{setting:g}" for setting in settings_of(defect))],
                    lines=lines,
                )
            )
        return Panels(
            slug="defects",
            title="Score against strength of a defect",
            note="Mean change, in standard deviations of the reward over all videos as they are. A reward that sees "
            "the defect falls; a flat line is blind to it.",
            y="standard deviations",
            panels=[panel for panel in panels if panel.lines],
        )

    def _curve(self, name: str, one: Scores, defect: str) -> Line | None:
        every = one.values()
        clean = one.values(COPIED)
        spread = float(np.std(list(every.values()), ddof=1)) if len(every) > 1 else 0.0
        points = [Estimate(value=0.0, count=len(clean))]
        for variant in self._variants(defect):
            values = one.values(variant)
            moved = {
                str(path): (values[path] - score) / spread for path, score in clean.items() if path in values and spread
            }
            point = mean_of(moved, self.suite.seed)
            if point is None:
                return None
            points.append(point)
        return Line(name=name, x=[float(n) for n in range(len(points))], y=points)

    def table(self) -> Table:
        """Shares of steps in which scores fall."""
        return Table(
            slug="seen",
            title="Share of steps towards worse in which the score falls",
            note="50 % is blind, 100 % never wrong. A dash: the reward reads no prompt, or could not be scored.",
            columns=[
                Column(name="reward", unit="text"),
                *(Column(name=defect, unit="percent", best="high") for defect in self.suite.defects),
            ],
            rows=[[name, *found.values()] for name, found in self.fallen.items()],
        )


def _fell(before: float, after: float) -> float:
    """1 where the score falls; no change counts half, so that a reward which looks elsewhere has a half."""
    return 1.0 if after < before else 0.5 if after == before else 0.0
