"""Backbones side by side: the same prompts and seeds through each, or folders of films made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rewardkit.bench.films.entries import Judged, Shown, Values, failures, film_rows, judge_entries, missing, shares
from rewardkit.bench.films.filming import ALL, prompt_splits, with_all
from rewardkit.bench.films.scores import change_of, difference_in, mean_of, win_rate_in
from rewardkit.bench.names import label
from rewardkit.bench.provenance import provenance
from rewardkit.bench.result import (
    Cell,
    Column,
    Estimate,
    Films,
    Forest,
    ForestRow,
    Result,
    Section,
    Table,
)
from rewardkit.bench.suites import BackbonesSuite
from rewardkit.reducers.create import named_cards
from rewardkit.scoring.change import Change
from rewardkit.scoring.verdict import sentence

_SHOWN_PROMPTS = 3


def benchmark_backbones(suite: BackbonesSuite, out: Path, show: Shown) -> Result:
    """Films and judges; what is in `out` already is not made again.

    Raises:
        UsageError: an entry, reward or prompt file that makes no sense, or films in `out` that were made otherwise.
    """
    for reward in suite.rewards:
        named_cards(reward)  # a wrong name ends it before anything is made
    splits = prompt_splits(suite.films)
    prompts = [prompt for some in splits.values() for prompt in some]
    judged = judge_entries(suite.entries, prompts, suite.films, suite.rewards, suite, out, show)
    return _Report(suite, splits, judged, out).result()


class _Report:
    def __init__(
        self, suite: BackbonesSuite, splits: Mapping[str, Sequence[str]], judged: Mapping[str, Judged], out: Path
    ) -> None:
        self.suite, self.judged, self.out = suite, judged, out
        self.prompts = [prompt for some in splits.values() for prompt in some]
        self.splits = with_all(splits)
        self.values = {name: one.measures(self.prompts) for name, one in judged.items()}
        self.measures = list(dict.fromkeys(measure for found in self.values.values() for measure in found))
        self.shares = shares(judged.values())
        self.first, *self.others = judged
        self.changes = {entry: {m: self._change(entry, m) for m in self.measures} for entry in self.others}

    def result(self) -> Result:
        """Most important first."""
        sections = [Section(title="Which one", blocks=[self._means(), *([self._differences()] if self.others else [])])]
        if len(self.splits) > 1:
            sections.append(Section(title="By split of the prompts", blocks=[self._by_split()]))
        sections += [
            Section(title="The same prompts and seeds", blocks=[self._films()]),
            Section(title="Cost", blocks=[self._cost()]),
        ]
        return Result(
            kind="backbones",
            title=self.suite.title or "Backbones side by side",
            headline=self._headline(),
            warnings=[
                *missing(self.judged, self.prompts, self.suite.films.film_seeds),
                *failures(self.judged),
            ],
            sections=sections,
            made=provenance(self.suite),
        )

    def _of(self, entry: str, measure: str, split: str = ALL) -> Values:
        wanted = set(self.splits.get(split, self.prompts))
        return {p: v for p, v in self.values[entry].get(measure, {}).items() if p in wanted}

    def _mean(self, entry: str, measure: str, split: str = ALL) -> Estimate | None:
        return mean_of(self._of(entry, measure, split), self.suite.seed, measure in self.shares)

    def _change(self, entry: str, measure: str) -> Change | None:
        """From the first entry, over all prompts."""
        return change_of(measure, self._of(self.first, measure), self._of(entry, measure), self.suite.seed)

    def _means(self) -> Table:
        rows: list[list[Cell]] = [
            [entry, *(self._mean(entry, measure) for measure in self.measures)] for entry in self.judged
        ]
        return Table(
            slug="means",
            title="Means over all prompts",
            note="With 95 % intervals over prompts; a prompt counts by the mean of its films.",
            columns=[
                Column(name="entry", unit="text"),
                *(Column(name=label(name), best="high") for name in self.measures),
            ],
            rows=rows,
        )

    def _differences(self) -> Forest:
        """As shares of prompts, since measures have units of their own."""
        rows = []
        for measure in self.measures:
            for entry in self.others:
                change = self.changes[entry][measure]
                if change is not None:
                    rows.append(ForestRow(label=entry, group=label(measure), estimate=win_rate_in(change)))
        return Forest(
            slug="against-first",
            title=f"Against {self.first}, prompt by prompt",
            note=f"Share of prompts in which the other is higher than {self.first}, a tie counting half; the line "
            "is chance.",
            percent=True,
            reference=0.5,
            rows=rows,
        )

    def _by_split(self) -> Table:
        rows: list[list[Cell]] = []
        for measure in self.measures:
            for entry in self.judged:
                cells = [self._mean(entry, measure, split) for split in self.splits]
                difference = difference_in(self.changes[entry][measure]) if entry != self.first else None
                rows.append([label(measure), entry, *cells, difference])
        return Table(
            slug="splits",
            title="Means by split",
            note=f"The last column is the difference from {self.first} over all prompts, pair by pair.",
            columns=[
                Column(name="measure", unit="text"),
                Column(name="entry", unit="text"),
                *(Column(name=split) for split in self.splits),
                Column(name=f"minus {self.first}"),
            ],
            rows=rows,
        )

    def _films(self) -> Films:
        reward, seed = self.suite.rewards[0], self.suite.films.film_seeds[0]
        return Films(
            slug="films",
            title="Films of one prompt and seed",
            note="Backbones of one latent shape start from the same noise.",
            curve_of=reward,
            rows=film_rows(self.judged, self.splits, _SHOWN_PROMPTS, seed, reward, self.out),
        )

    def _cost(self) -> Table:
        rows: list[list[Cell]] = []
        for name, one in self.judged.items():
            peak = None if one.cost.peak_bytes is None else Estimate(value=one.cost.peak_bytes / 2**20)
            seconds = None if one.cost.seconds is None else Estimate(value=one.cost.seconds)
            rows.append([name, seconds, peak])
        return Table(
            slug="cost",
            title="Cost of a film",
            note=f"{self.suite.films.steps} steps, {self.suite.films.batch_size} films at once, written to files; peak "
            "memory beyond the weights. A dash: made elsewhere.",
            columns=[
                Column(name="entry", unit="text"),
                Column(name="seconds a film", best="low"),
                Column(name="peak memory, MiB", best="low"),
            ],
            rows=rows,
        )

    def _headline(self) -> list[str]:
        """Each entry against the first, by the first reward; and what else moved."""
        reward, told = self.suite.rewards[0], []
        for entry in self.others:
            main = self.changes[entry][reward]
            if main is None:
                told.append(f"{self.first} and {entry} have no prompt of which both films are scored by {reward}.")
                continue
            moved = [
                _in_words(change)
                for change in self.changes[entry].values()
                if change is not None and change.name != reward and change.outcome != "unclear"
            ]
            said = [sentence(main, (self.first, entry), "prompt"), *([", ".join(moved)] if moved else [])]
            told.append(f"{'; '.join(said)}.")
        if not self.others:
            told.append(
                f"{self.first} alone: {len(self.prompts)} prompts, measured by {', '.join(self.suite.rewards)}."
            )
        return told


def _in_words(change: Change) -> str:
    """How far something moved, and how much of it that is; not where it was near zero before."""
    share = change.relative
    told = f"{label(change.name)} {change.outcome} by {abs(change.difference):.3g}"
    return told if share is None or abs(share) > 1 else f"{told} ({abs(share):.0%})"
