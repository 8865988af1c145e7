"""How well rewards agree with people, or with a truth that stands in for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from rewardkit.bench.films.scores import bounded
from rewardkit.bench.pages.estimates import in_words
from rewardkit.bench.result import Block, Cell, Column, Estimate, FilmRow, Films, Forest, ForestRow, Table
from rewardkit.bench.rewards.agreement import (
    PairwiseAccuracy,
    RankAgreement,
    pairs_from_ratings,
    pairwise_accuracy,
    rank_agreement,
)
from rewardkit.bench.rewards.labels import Preference
from rewardkit.bench.rewards.scores import Found, Scores
from rewardkit.scoring.bootstrap import cluster_bootstrap
from rewardkit.scoring.change import LEAST_PAIRS

_SHOWN = 6


class Agreement:
    """Of every reward; empty where nobody said which videos are better."""

    def __init__(self, found: Found) -> None:
        self._found, self._labels, self._seed = found, found.videos.labels, found.suite.seed
        self.accuracy = {name: self._accuracy(one) for name, one in found.scores.items()}
        self._ranks = {name: self._ranked(one) for name, one in found.scores.items()}

    @property
    def known(self) -> bool:
        """Whether there is any to report."""
        return any(found is not None for found in self.accuracy.values())

    def decided(self, name: str) -> Estimate | None:
        """The share of decided pairs in which a reward is right."""
        found = self.accuracy[name]
        return found.accuracy if found else None

    def _pairs(self, scored: Mapping[Path, float]) -> tuple[list[Preference], list[str]]:
        """Preferences whose two videos have a score, and the prompt of each; those of ratings among them."""
        pairs = list(self._found.videos.preferences)
        videos = self._found.videos
        rated = [path for path in videos.ratings if path in scored and videos.prompts.get(path)]
        if rated:
            ratings = np.array([videos.ratings[path] for path in rated])
            made = pairs_from_ratings(ratings, [videos.prompts[path] for path in rated])
            pairs += [
                Preference(rated[a], rated[b], int(preferred))
                for a, b, preferred in zip(made.first, made.second, made.preferred, strict=True)
            ]
        known = [pair for pair in pairs if pair.first in scored and pair.second in scored]
        return known, [videos.cluster(pair.first) for pair in known]

    def _accuracy(self, one: Scores) -> PairwiseAccuracy | None:
        scored = one.values()
        pairs, prompts = self._pairs(scored)
        if not pairs:
            return None
        differences = np.array([scored[pair.first] - scored[pair.second] for pair in pairs])
        preferred = np.array([pair.preferred for pair in pairs])
        found = pairwise_accuracy(differences, preferred, prompts, seed=self._seed)
        decided = {prompt for prompt, pair in zip(prompts, pairs, strict=True) if pair.preferred}
        return found.model_copy(update={"accuracy": bounded(found.accuracy, len(decided))})

    def _ranked(self, one: Scores) -> RankAgreement | None:
        scored = one.values()
        rated = [path for path in self._found.videos.ratings if path in scored]
        if not rated:
            return None
        scores = np.array([scored[path] for path in rated])
        ratings = np.array([self._found.videos.ratings[path] for path in rated])
        return rank_agreement(scores, ratings, [self._found.videos.cluster(path) for path in rated], seed=self._seed)

    def blocks(self) -> Iterable[Block]:
        """Accuracies, numbers, and pairs in which the best reward is wrong."""
        rows = [
            ForestRow(label=name, estimate=found.accuracy)
            for name, found in self.accuracy.items()
            if found is not None and found.accuracy is not None
        ]
        if not rows:
            return
        rows.sort(key=lambda row: -row.estimate.value)
        yield Forest(
            slug="agreement",
            title=f"Agreement with {self._labels}",
            note=f"Share of pairs in which the reward prefers what {self._labels} prefer; the line is chance. "
            "Intervals are over prompts, all pairs of a prompt drawn together.",
            percent=True,
            reference=0.5,
            rows=rows,
        )
        yield from self._numbers()
        yield self._disagreements(rows[0].label)

    def _numbers(self) -> Iterable[Table]:
        """Where there is more to say than who prefers what."""
        rows: list[list[Cell]] = []
        for name, found in self.accuracy.items():
            ranks, threshold = self._ranks[name], found.threshold if found else None
            tie = None if threshold is None else Estimate(value=threshold)
            with_ties = found.with_ties if found else None
            rows.append([name, with_ties, tie, *((ranks.kendall, ranks.spearman) if ranks else (None, None))])
        table = Table(
            slug="agreement-numbers",
            title=f"Ties and ratings of {self._labels}",
            note="With ties: three-way accuracy after tie calibration (Deutsch, Foster and Freitag, arXiv:2305.14324). "
            "Tau and rho are over all rated videos.",
            columns=[
                Column(name="reward", unit="text"),
                Column(name="with ties", unit="percent", best="high", note="a small difference is a tie, too"),
                Column(name="tie below", note="difference, chosen for the most agreement"),
                Column(name="Kendall's tau-b", best="high"),
                Column(name="Spearman's rho", best="high"),
            ],
            rows=rows,
        ).filled()
        if len(table.columns) > 1:
            yield table

    def _disagreements(self, name: str) -> Films:
        """Pairs that the best reward orders otherwise, or the clearest ones where there are none."""
        scored = self._found.scores[name].values()
        pairs, _ = self._pairs(scored)
        margin = {id(pair): pair.preferred * (scored[pair.first] - scored[pair.second]) for pair in pairs}
        decided = sorted((pair for pair in pairs if pair.preferred), key=lambda pair: margin[id(pair)])
        wrong = [pair for pair in decided if margin[id(pair)] < 0][:_SHOWN]
        rows = []
        for pair in wrong or decided[: _SHOWN // 2]:
            better, worse = (pair.first, pair.second)[:: pair.preferred]
            films = [
                self._found.shown(name, f"preferred: {better.name}", better),
                self._found.shown(name, worse.name, worse),
            ]
            rows.append(FilmRow(title=self._found.videos.prompts.get(better) or better.name, films=films))
        return Films(
            slug="disagreements",
            title=f"Where {name} disagrees with {self._labels}" if wrong else f"Where {name} agrees least",
            note="" if wrong else f"{name} orders every decided pair as {self._labels} do.",
            curve_of=name,
            rows=rows,
        )

    def headline(self) -> list[str]:
        """Who agrees best, in one sentence; none where nobody was asked."""
        ranked = sorted(
            ((found.accuracy, name) for name, found in self.accuracy.items() if found and found.accuracy),
            key=lambda pair: -pair[0].value,
        )
        return [self._best(ranked)] if ranked else []

    def _best(self, ranked: Sequence[tuple[Estimate, str]]) -> str:
        best, name = ranked[0]
        words = in_words([best], percent=True)[0]
        between = f" (95 %: {' to '.join(words.interval)} %)" if words.interval else ""
        told = f"{name} agrees best with {self._labels}: {words.value} % of {best.count} decided pairs{between}"
        if len(ranked) > 1:
            other, second = ranked[1]
            ahead = self._ahead(name, second)
            told += f"; {second} follows with {in_words([other], percent=True)[0].value} %"
            told += f" of {other.count}" if other.count != best.count else ""
            if ahead is None or ahead[0] <= 0:
                told += ", which cannot be told apart"
        prompts = len(set(self._pairs(self._found.scores[name].values())[1]))
        if prompts < LEAST_PAIRS:
            told += f"; too few prompts to conclude ({prompts}, at least {LEAST_PAIRS} are needed)"
        return f"{told}."

    def _ahead(self, name: str, second: str) -> tuple[float, float] | None:
        """By how much one reward is right more often than another, over the pairs that both scored."""
        scores = [self._found.scores[name].values(), self._found.scores[second].values()]
        shared = {path: 0.0 for path in scores[0] if path in scores[1]}
        pairs, prompts = self._pairs(shared)
        decided = [number for number, pair in enumerate(pairs) if pair.preferred]
        right = [
            [
                (np.sign(pair.preferred * (one[pair.first] - one[pair.second])) + 1) / 2
                for pair in (pairs[n] for n in decided)
            ]
            for one in scores
        ]
        gap = np.array(right[0]) - np.array(right[1])
        return cluster_bootstrap([prompts[n] for n in decided], lambda items: float(gap[items].mean()), seed=self._seed)
