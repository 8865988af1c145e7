"""The report on several rewards: what to take, what they see, how stable they are, what they cost."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable
from pathlib import Path

from rewardkit.bench.films.scores import difference_in, mean_of, win_rate_in
from rewardkit.bench.pages.thumbnails import spread_over
from rewardkit.bench.provenance import provenance
from rewardkit.bench.result import (
    Block,
    Cell,
    Column,
    Estimate,
    FilmRow,
    Films,
    Forest,
    ForestRow,
    Result,
    Section,
    Table,
)
from rewardkit.bench.rewards.people import Agreement
from rewardkit.bench.rewards.response import Response
from rewardkit.bench.rewards.scores import AS_IS, Found, Scores
from rewardkit.bench.rewards.stability import Stability
from rewardkit.errors import RewardFailedError, UsageError
from rewardkit.scoring.change import Change, measure_change
from rewardkit.scoring.pairing import pair_rows
from rewardkit.scoring.rows import ScoreRow
from rewardkit.scoring.verdict import sentence

_SEEN, _BLIND = 0.9, 0.6
"""Shares of steps in which a score falls: from the one on a defect counts as seen, below the other as hardly seen."""
_SHOWN = 6


def report_rewards(found: Found) -> Result:
    """All sections, and the answer.

    Raises:
        UsageError: sets to compare that share no prompt.
        RewardFailedError: nothing has a score.
    """
    return _Report(found).result()


class _Report:
    def __init__(self, found: Found) -> None:
        self.found, self.suite, self.videos, self.scores = found, found.suite, found.videos, found.scores
        if not any(one.values() for one in self.scores.values()):
            name, one = next(iter(self.scores.items()))
            raise RewardFailedError(f"no reward could score a video; {name} says: {one.failed[AS_IS][0]}")
        self.agreement, self.response, self.stability = Agreement(found), Response(found), Stability(found)
        self.noun = "pair"
        self.changes = self._changes()

    def result(self) -> Result:
        """Most important first."""
        sections = [Section(title="Which reward", blocks=[self._leaderboard(), *self.agreement.blocks()])]
        if self.changes:
            sections.append(Section(title="Is the second set better?", blocks=[*self._compared()]))
        sections += [
            Section(title="What each sees", note=self._tried(), blocks=[self.response.curves(), self.response.table()]),
            Section(title="Which say the same", blocks=[self.stability.correlation()]),
            Section(
                title="How stable they are",
                note=self._tried(),
                blocks=[self.stability.ranking(), self.stability.shift()],
            ),
            Section(title="Spread and cost", blocks=[self._spread(), self._cost()]),
        ]
        return Result(
            kind="rewards",
            title=self.suite.title or "Rewards side by side",
            headline=self._headline(),
            warnings=self._warnings(),
            sections=[section for section in sections if section.blocks],
            made=provenance(self.suite),
        )

    def _changes(self) -> dict[str, Change]:
        if self.suite.compare is None:
            return {}
        found = {}
        for name, one in self.scores.items():
            sides = [self._rows(one, side) for side in self.suite.compare]
            if all(sides):
                pairing = pair_rows(*sides)
                self.noun = "prompt" if pairing.paired_by == "prompt" else "pair"
                found[name] = measure_change(name, pairing.pairs, lambda row: row.score or 0.0, self.suite.seed)
        if not found:
            raise UsageError(f"no reward scored videos of both {' and '.join(self.suite.compare)}")
        return found

    def _rows(self, one: Scores, side: str) -> list[ScoreRow]:
        rows = one.rows.get(AS_IS, {})
        return [rows[path] for path in self.videos.sets[side] if path in rows]

    def _compared(self) -> Iterable[Block]:
        assert self.suite.compare is not None
        before, after = self.suite.compare
        yield Forest(
            slug="sets",
            title=f"{after} against {before}",
            note=f"Share of {self.noun}s in which {after} scores higher, a tie counting half; the line is chance.",
            percent=True,
            reference=0.5,
            rows=[ForestRow(label=name, estimate=win_rate_in(change)) for name, change in self.changes.items()],
        )
        rows: list[list[Cell]] = [
            [
                name,
                Estimate(value=change.mean_before),
                Estimate(value=change.mean_after),
                difference_in(change),
                win_rate_in(change),
            ]
            for name, change in self.changes.items()
        ]
        yield Table(
            slug="sets-numbers",
            title=f"{after} against {before}, in numbers",
            columns=[
                Column(name="reward", unit="text"),
                Column(name=before),
                Column(name=after),
                Column(name="difference"),
                Column(name=f"{self.noun}s won", unit="percent"),
            ],
            rows=rows,
        )
        yield self._side_by_side(before, after)

    def _side_by_side(self, before: str, after: str) -> Films:
        name = next(iter(self.changes))
        one = self.scores[name]
        pairs = pair_rows(self._rows(one, before), self._rows(one, after)).pairs
        rows = [
            FilmRow(
                title=first.prompt or Path(first.path).name,
                films=[
                    self.found.shown(name, side, Path(os.path.abspath(row.path)))
                    for side, row in ((before, first), (after, second))
                ],
            )
            for first, second in spread_over(pairs, _SHOWN)
        ]
        return Films(slug="side-by-side", title="Side by side", curve_of=name, rows=rows)

    def _spread(self) -> Table:
        rows: list[list[Cell]] = []
        for name, one in self.scores.items():
            values = list(one.values().values())
            mean = mean_of({str(path): value for path, value in one.values().items()}, self.suite.seed)
            deviation = statistics.stdev(values) if len(values) > 1 else None
            numbers = [deviation, min(values, default=None), max(values, default=None)]
            rows.append([name, mean, *(None if n is None else Estimate(value=n, count=len(values)) for n in numbers)])
        return Table(
            slug="spread",
            title="Scores of all videos",
            columns=[
                Column(name="reward", unit="text"),
                *(Column(name=what) for what in ("mean", "standard deviation", "lowest", "highest")),
            ],
            rows=rows,
        )

    def _cost(self) -> Table:
        rows: list[list[Cell]] = []
        for name, one in self.scores.items():
            scored = one.rows.get(AS_IS, {}).values()
            times = [
                [ms for row in scored if (ms := getattr(row, what)) is not None] for what in ("decode_ms", "model_ms")
            ]
            peak = None if one.peak_bytes is None else Estimate(value=one.peak_bytes / 2**20)
            cells = [Estimate(value=statistics.median(some), count=len(some)) if some else None for some in times]
            rows.append([name, *cells, peak])
        return Table(
            slug="cost",
            title="Cost of a video",
            note="Medians, where the videos were first scored as they are; memory beyond what the process held before "
            "the reward was loaded.",
            columns=[
                Column(name="reward", unit="text"),
                Column(name="decoding, ms"),
                Column(name="model, ms", best="low"),
                Column(name="peak memory, MiB", best="low"),
            ],
            rows=rows,
        )

    def _leaderboard(self) -> Table:
        labelled = self.agreement.known
        rows: list[list[Cell]] = []
        for name, one in self.scores.items():
            seen = [estimate.value for estimate in self.response.fallen[name].values() if estimate is not None]
            share = Estimate(value=sum(value >= _SEEN for value in seen), count=len(seen)) if seen else None
            times = [row.model_ms for row in one.rows.get(AS_IS, {}).values() if row.model_ms is not None]
            cells: list[Cell] = [self.agreement.decided(name)] if labelled else []
            cells += [
                None if share is None else f"{share.value:.0f} of {share.count}",
                self.stability.least(one),
                Estimate(value=statistics.median(times)) if times else None,
            ]
            rows.append([name, *cells])
        if labelled:
            rows.sort(key=lambda row: -row[1].value if isinstance(row[1], Estimate) else 1.0)
        columns = [Column(name="reward", unit="text")]
        columns += [Column(name=f"agrees with {self.videos.labels}", unit="percent", best="high")] if labelled else []
        columns += [
            Column(name="defects seen", unit="text", note=f"falls in {_SEEN:.0%} of steps or more"),
            Column(name="least of the ranking left", best="high", note="over resolutions, codecs and samplers"),
            Column(name="model, ms a video", best="low"),
        ]
        return Table(slug="leaderboard", title="At a glance", columns=columns, rows=rows)

    def _headline(self) -> list[str]:
        told = self.agreement.headline()
        if self.suite.compare and self.changes:
            before, after = self.suite.compare
            told += [f"{sentence(change, (before, after), self.noun)}." for change in self.changes.values()]
        first = str(self._leaderboard().rows[0][0])
        fallen = self.response.fallen[first]
        blind = [defect for defect, share in fallen.items() if share is not None and share.value < _BLIND]
        if blind:
            told.append(f"{first} hardly sees {', '.join(blind)}: it falls in less than {_BLIND:.0%} of steps.")
        return told

    def _warnings(self) -> list[str]:
        told = []
        for name, one in self.scores.items():
            for variant, failed in one.failed.items():
                total = len(failed) + len(one.rows[variant])
                told.append(
                    f"{name}, {variant}: {len(failed)} of {total} videos have no score and are left out: {failed[0]}"
                )
        return told

    def _tried(self) -> str:
        return f"On {len(self.videos.tried)} of {len(self.videos.all)} videos."
