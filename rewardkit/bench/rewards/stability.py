"""Which rewards say the same, and how scores depend on what should not matter: size, codec, choice of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from rewardkit.bench.result import Cell, Column, Estimate, Heat, Table
from rewardkit.bench.rewards.agreement import correlation, rank_change
from rewardkit.bench.rewards.scores import CODED, Found, Scores

Values = Float[np.ndarray, " video"]


class Stability:
    """Of every reward's scores."""

    def __init__(self, found: Found) -> None:
        self._found, self.scores = found, found.scores
        known = dict.fromkeys(name for one in self.scores.values() for name in one.rows)
        self._ways = [name for name in known if name.startswith(("resolution ", CODED, "frames "))]
        self._shared = [way for way in self._ways if all(way in one.rows for one in self.scores.values())]

    def correlation(self) -> Heat:
        """Between rewards, over all videos."""
        values = {name: one.values() for name, one in self.scores.items()}

        def between(a: Mapping[Path, float], b: Mapping[Path, float]) -> float | None:
            paths = [path for path in a if path in b]
            return correlation(_array(a, paths), _array(b, paths)) if len(paths) > 1 else None

        return Heat(
            slug="correlation",
            title="Correlation between rewards",
            note="Spearman's rho over the videos that both score, as they are.",
            names=list(values),
            values=[[between(a, b) for b in values.values()] for a in values.values()],
        )

    def ranking(self) -> Table:
        """Of each way to read videos."""
        return self._by_way(
            "ranking",
            "How much of the ranking is left",
            "Kendall's tau-b between the videos' scores as they are and read otherwise; 1 is the same order.",
            rank_change,
        )

    def shift(self) -> Table:
        """Of each way to read videos."""

        def moved(clean: Values, other: Values) -> float | None:
            spread = float(clean.std(ddof=1)) if len(clean) > 1 else 0.0
            return float((other - clean).mean()) / spread if spread else None

        return self._by_way(
            "shift",
            "How far scores move",
            "Mean change in standard deviations of the reward over these videos.",
            moved,
        )

    def _by_way(self, slug: str, title: str, note: str, measure: Callable[[Values, Values], float | None]) -> Table:
        rows: list[list[Cell]] = []
        for name, one in self.scores.items():
            cells = [self._measured(one, way, measure) for way in self._ways]
            rows.append([name, *cells])
        columns = [Column(name="reward", unit="text"), *(Column(name=way) for way in self._ways)]
        return Table(slug=slug, title=title, note=note, columns=columns, rows=rows)

    def least(self, one: Scores) -> Estimate | None:
        """The smallest rank correlation over the ways that all rewards can be read in; None without any."""
        found = [self._measured(one, way, rank_change) for way in self._shared]
        known = [estimate.value for estimate in found if estimate is not None]
        return Estimate(value=min(known)) if known else None

    def _measured(self, one: Scores, way: str, measure: Callable[[Values, Values], float | None]) -> Estimate | None:
        """Of the tried videos as they are and read in one way."""
        clean, other = one.clean(way), one.values(way)
        paths = self._found.tried(clean, other)
        value = measure(_array(clean, paths), _array(other, paths)) if len(paths) > 1 else None
        return None if value is None else Estimate(value=value, count=len(paths))


def _array(values: Mapping[Path, float], paths: list[Path]) -> Values:
    return np.array([values[path] for path in paths])
