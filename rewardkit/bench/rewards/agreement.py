"""How well a reward agrees with people, with another reward, and with itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rewardkit.bench.result import Estimate
from rewardkit.errors import BadInputError
from rewardkit.scoring.bootstrap import Clusters, Items, cluster_bootstrap

Values = Float[np.ndarray, " video"]
Preferences = Int[np.ndarray, " pair"]

_FEWEST = 3  # two videos rank alike or inversely, whatever they are


@dataclass(frozen=True)
class RatingPairs:
    """Pairs of videos of one prompt, and which of each people rate higher.

    Attributes:
        first, second: positions of the videos.
        preferred: 1 where the first is rated higher, -1 where the second is, 0 where both are equal.
    """

    first: Int[np.ndarray, " pair"]
    second: Int[np.ndarray, " pair"]
    preferred: Int[np.ndarray, " pair"]


class PairwiseAccuracy(BaseModel):
    """How often a reward orders pairs as people do. Shares in [0, 1].

    Attributes:
        accuracy: over the pairs that people decide, equal scores counting half; chance is 0.5. None without such pairs.
        with_ties: over all pairs, the reward calling a tie where scores differ by `threshold` at most; None where
            people call none.
        threshold: the one that makes `with_ties` largest, the smallest of several; in the reward's unit.
    """

    model_config = ConfigDict(frozen=True)

    accuracy: Estimate | None
    with_ties: Estimate | None
    threshold: float | None


class RankAgreement(BaseModel):
    """How alike scores and ratings rank videos, in [-1, 1]; None where there is no ranking.

    Attributes:
        kendall: tau-b, which counts pairs.
        spearman: rho, the correlation of ranks.
    """

    model_config = ConfigDict(frozen=True)

    kendall: Estimate | None
    spearman: Estimate | None


def pairs_from_ratings(ratings: Values, prompts: Clusters) -> RatingPairs:
    """All pairs of videos with one prompt: n (n - 1) / 2 of n videos.

    Raises:
        BadInputError: a rating is not finite, or there is not one for each prompt.
    """
    _check("pairs_from_ratings", ratings=ratings, prompts=prompts)
    _, prompt = np.unique(np.asarray(prompts), return_inverse=True)
    found = [np.empty((2, 0), dtype=np.intp)]
    for number in range(prompt.max(initial=-1) + 1):
        videos = np.flatnonzero(prompt == number)
        found.append(videos[np.stack(np.triu_indices(len(videos), k=1))])
    first, second = np.concatenate(found, axis=1)
    return RatingPairs(first=first, second=second, preferred=np.sign(ratings[first] - ratings[second]).astype(np.int_))


def pairwise_accuracy(
    differences: Float[np.ndarray, " pair"],
    preferred: Int[np.ndarray, " pair"],
    clusters: Clusters,
    *,
    seed: int = 0,
    resamples: int = 2_000,
) -> PairwiseAccuracy:
    """How often a reward orders pairs as people do, without and with ties.

    Args:
        differences: score of the first minus score of the second.
        preferred: 1 where people prefer the first, -1 the second, 0 neither.
        clusters: of each pair; drawn whole for the 95 % intervals, the threshold chosen anew each time.
        seed, resamples: of the bootstrap.

    The threshold is chosen on the pairs that it is judged on, so `with_ties` is a little too high for few of them.

    Source: Deutsch, Foster and Freitag, Ties Matter, EMNLP 2023, arXiv:2305.14324, acc*_eq.

    Raises:
        BadInputError: lengths differ, a difference is not finite, or a preference is none of 1, 0 and -1.
    """
    _check("pairwise_accuracy", differences=differences, preferred=preferred, clusters=clusters)
    if not np.isin(preferred, (1, 0, -1)).all():
        raise BadInputError(f"pairwise_accuracy needs preferences of 1, 0 or -1: got {sorted(set(preferred.tolist()))}")
    decided = int(np.count_nonzero(preferred))
    resampling = _Resampling(clusters, seed, resamples)
    accuracy = resampling.estimate(lambda at: _accuracy(differences[at], preferred[at]), decided)
    if decided == len(preferred):
        return PairwiseAccuracy(accuracy=accuracy, with_ties=None, threshold=None)
    return PairwiseAccuracy(
        accuracy=accuracy,
        with_ties=resampling.estimate(lambda at: _calibrated(differences[at], preferred[at])[0], len(preferred)),
        threshold=_calibrated(differences, preferred)[1],
    )


def rank_agreement(
    scores: Values,
    ratings: Values,
    clusters: Clusters,
    *,
    seed: int = 0,
    resamples: int = 2_000,
) -> RankAgreement:
    """How alike scores and people's ratings rank all videos, those of different prompts too.

    The 95 % intervals draw whole clusters, such as prompts. Takes two seconds for 300 videos.

    Raises:
        BadInputError: lengths differ, or a number is not finite.
    """
    _check("rank_agreement", scores=scores, ratings=ratings, clusters=clusters)
    resampling = _Resampling(clusters, seed, resamples)
    return RankAgreement(
        kendall=resampling.estimate(lambda at: _kendall(scores[at], ratings[at]), len(scores)),
        spearman=resampling.estimate(lambda at: _spearman(scores[at], ratings[at]), len(scores)),
    )


def correlation(a: Values, b: Values) -> float | None:
    """Spearman's rho between two rewards over the same videos; None for fewer than 3, or where one is constant.

    Raises:
        BadInputError: lengths differ, or a number is not finite.
    """
    _check("correlation", a=a, b=b)
    return _none_for_nan(_spearman(a, b))


def rank_change(a: Values, b: Values) -> float | None:
    """Kendall's tau-b between two scorings of the same videos: 1 where, say, other frames keep the ranking.

    None for fewer than 3 videos, or where one scoring is constant.

    Raises:
        BadInputError: lengths differ, or a number is not finite.
    """
    _check("rank_change", a=a, b=b)
    return _none_for_nan(_kendall(a, b))


def _check(who: str, **columns: Clusters | NDArray[np.float64]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise BadInputError(f"{who} needs as many of each: got {lengths}")
    for name, column in columns.items():
        values = np.asarray(column)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise BadInputError(f"{who} needs finite {name}: number {np.flatnonzero(~np.isfinite(values))[0]} is not")


@dataclass(frozen=True)
class _Resampling:
    clusters: Clusters
    seed: int
    resamples: int

    def estimate(self, statistic: Callable[[Items], float], count: int) -> Estimate | None:
        """The statistic of all items with its interval; None where it is nan."""
        value = statistic(np.arange(len(self.clusters)))
        if np.isnan(value):
            return None
        interval = cluster_bootstrap(self.clusters, statistic, seed=self.seed, resamples=self.resamples)
        return Estimate.within(value, interval, count)


def _accuracy(differences: Values, preferred: Preferences) -> float:
    decided = preferred != 0
    if not decided.any():
        return math.nan
    return float((np.sign(differences[decided]) * preferred[decided] + 1).mean() / 2)


def _calibrated(differences: Values, preferred: Preferences) -> tuple[float, float]:
    """Largest share of pairs called as people call them, and the smallest threshold that gives it."""
    size = np.abs(differences)
    order = np.argsort(size)
    size, tied = size[order], preferred[order] == 0
    right = (np.sign(differences) * preferred > 0)[order]
    # with the first k pairs called ties, those of them that people tie and the others in right order are right
    correct = np.concatenate([[0], np.cumsum(tied)]) + right.sum() - np.concatenate([[0], np.cumsum(right)])
    thresholds = np.concatenate([[0.0], size])
    # equal sizes are called alike: all with the last of them, exact ties already at 0
    possible = np.append(thresholds[1:] > thresholds[:-1], True)
    best = np.flatnonzero(possible)[np.argmax(correct[possible])]
    return float(correct[best] / len(size)), float(thresholds[best])


def _kendall(a: Values, b: Values) -> float:
    from scipy.stats import kendalltau  # type: ignore[import-untyped]

    return float(kendalltau(a, b, method="asymptotic").statistic) if _can_rank(a, b) else math.nan


def _spearman(a: Values, b: Values) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if _can_rank(a, b) else math.nan


def _can_rank(a: Values, b: Values) -> bool:
    return len(a) >= _FEWEST and bool(np.ptp(a) > 0 and np.ptp(b) > 0)


def _none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
