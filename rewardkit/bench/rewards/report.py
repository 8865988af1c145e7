"""The report on several rewards: what to take, what they see, how stable they are, what they cost."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

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
from rewardkit.bench.rewards.scores import AS_IS, Found
from rewardkit.bench.rewards.stability import Stability
from rewardkit.errors import RewardFailedError
from rewardkit.scoring.change import LEAST_PAIRS, Change, measure_change
from rewardkit.scoring.verdict import sentence

_SEEN, _BLIND = 0.9, 0.6
"""Shares of steps in which a score falls: from the one on a defect counts as seen, below the other as hardly seen."""
_SHOWN = 6


def report_rewards(found: Found) -> Result:
    """All sections, and the answer.

    Raises:
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
        self.changes = self._changes()
        self.leaderboard = self._leaderboard()

    def result(self) -> Result:
        """Most important first."""
        sections = [Section(title="Which reward", blocks=[self.leaderboard, *self.agreement.blocks()])]
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
        """From the first to the second set, of every reward that has a pair with two scores."""
        found = {}
        for name, one in self.scores.items():
            scores = one.values()
            pairs = [(a, b) for a, b in self.videos.pairs if a in scores and b in scores]
            if pairs:
                found[name] = measure_change(name, pairs, scores.__getitem__, self.suite.seed)
        return found

    def _compared(self) -> Iterable[Block]:
        assert self.suite.compare is not None
        before, after = self.suite.compare
        yield Forest(
            slug="sets",
            title=f"{after} against {before}",
            note=f"Share of {self.videos.paired_by}s in which {after} scores higher, a tie counting half; the line "
            "is chance.",
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
                Column(name=f"{self.videos.paired_by}s won", unit="percent"),
            ],
            rows=rows,
        )
        yield self._side_by_side(before, after)

    def _side_by_side(self, before: str, after: str) -> Films:
        name = next(iter(self.changes))
        rows = [
            FilmRow(
                title=self.videos.prompts.get(first) or first.name,
                films=[self.found.shown(name, side, path) for side, path in ((before, first), (after, second))],
            )
            for first, second in spread_over(self.videos.pairs, _SHOWN)
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
            times = [[row.decode_ms for row in scored], [row.model_ms for row in scored]]
            peak = None if one.peak_bytes is None else Estimate(value=one.peak_bytes / 2**20)
            cells = [_median(some) for some in times]
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
            times = [row.model_ms for row in one.rows.get(AS_IS, {}).values()]
            cells: list[Cell] = [self.agreement.decided(name)] if labelled else []
            cells += [
                None if share is None else f"{share.value:.0f} of {share.count}",
                self.stability.least(one),
                _median(times),
            ]
            rows.append([name, *cells])
        if labelled:
            rows.sort(key=lambda row: -row[1].value if isinstance(row[1], Estimate) else 1.0)
        columns = [Column(name="reward", unit="text")]
        columns += [Column(name=f"agrees with {self.videos.labels}", unit="percent", best="high")] if labelled else []
        columns += [
            Column(name="defects seen", unit="text", note=f"falls in {_SEEN:.0%} of steps or more"),
            Column(
                name="least of the ranking left",
                best="high",
                note="over resolutions, codecs and, where all have them, samplers",
            ),
            Column(name="model, ms a video", best="low"),
        ]
        return Table(slug="leaderboard", title="At a glance", columns=columns, rows=rows)

    def _headline(self) -> list[str]:
        told = self.agreement.headline()
        told += self._sets_in_words()
        first = str(self.leaderboard.rows[0][0])
        fallen = self.response.fallen[first]
        blind = [defect for defect, share in fallen.items() if share is not None and share.value < _BLIND]
        if blind:
            told.append(f"{first} hardly sees {', '.join(blind)}: it falls in less than {_BLIND:.0%} of steps.")
        return told

    def _sets_in_words(self) -> list[str]:
        """A sentence for each reward that tells the two sets apart, and one for all others."""
        if self.suite.compare is None or not self.changes:
            return []
        before, after = self.suite.compare
        noun, unclear = self.videos.paired_by, [n for n, change in self.changes.items() if change.outcome == "unclear"]
        most = max(change.pairs for change in self.changes.values())
        if most < LEAST_PAIRS:
            few = f"{most} {noun}{'' if most == 1 else 's'}"
            return [f"{few} are too few to tell {after} from {before}: at least {LEAST_PAIRS} are needed."]
        told = [f"{sentence(change, (before, after), noun)}." for n, change in self.changes.items() if n not in unclear]
        return [*told, f"{after} cannot be told from {before} on {', '.join(unclear)}."] if unclear else told

    def _warnings(self) -> list[str]:
        """One sentence a reward, with how many in which way; and what of the suite is used nowhere."""
        told = list(self.videos.left_out)
        for name, one in self.scores.items():
            failed = {variant: sentences for variant, sentences in one.failed.items() if sentences}
            if failed:
                ways = ", ".join(f"{v} {len(s)} of {len(s) + len(one.rows[v])}" for v, s in failed.items())
                first = next(iter(failed.values()))[0]
                told.append(f"{name} has no score of some videos, which are left out ({ways}): {first}")
            if self.videos.pairs and name not in self.changes:
                told.append(f"{name} has scores of no pair of {' and '.join(self.suite.compare or ())}")
        return told

    def _tried(self) -> str:
        return f"On {len(self.videos.tried)} of {len(self.videos.all)} videos."


def _median(milliseconds: Sequence[float | None]) -> Estimate | None:
    known = [number for number in milliseconds if number is not None]
    return Estimate(value=statistics.median(known), count=len(known)) if known else None
