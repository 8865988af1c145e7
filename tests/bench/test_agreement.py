"""Agreement with people equals what loops, closed forms and scipy say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from rewardkit.bench.rewards.agreement import (
    correlation,
    pairs_from_ratings,
    pairwise_accuracy,
    rank_agreement,
    rank_change,
)
from rewardkit.errors import BadInputError

FEW = 100


def some(count: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int_], NDArray[np.int_]]:
    """Differences on a coarse grid, so that some are equal or zero, preferences that mostly agree, and clusters."""
    random = np.random.default_rng(seed)
    differences = random.integers(-6, 7, size=count) / 4
    preferred = np.sign(np.round(differences + random.normal(0, 1, size=count))).astype(int)
    return differences, preferred, np.arange(count) // 3


def share_right(differences: NDArray[np.float64], preferred: NDArray[np.int_], threshold: float) -> float:
    right = 0
    for difference, people in zip(differences, preferred, strict=True):
        called = 0 if abs(difference) <= threshold else 1 if difference > 0 else -1
        right += called == people
    return right / len(differences)


def best_of_all(differences: NDArray[np.float64], preferred: NDArray[np.int_]) -> tuple[float, float]:
    """Every threshold that makes a difference, one by one."""
    tried = [(share_right(differences, preferred, at), -at) for at in {0.0, *map(abs, differences.tolist())}]
    share, threshold = max(tried)
    return share, -threshold


PAIRS = st.lists(st.tuples(st.integers(-5, 5), st.sampled_from([1, 0, -1])), min_size=1, max_size=12)

# ---- pairs


def test_accuracy_equals_a_loop() -> None:
    differences, preferred, clusters = some(60)
    points = [
        0.5 if difference == 0 else float((difference > 0) == (people > 0))
        for difference, people in zip(differences, preferred, strict=True)
        if people
    ]
    found = pairwise_accuracy(differences, preferred, clusters, resamples=FEW).accuracy
    assert found is not None
    assert found.value == pytest.approx(sum(points) / len(points))
    assert found.count == len(points) < 60


@pytest.mark.parametrize("seed", range(5))
def test_calibration_of_ties_equals_trying_every_threshold(seed: int) -> None:
    differences, preferred, clusters = some(40, seed)
    found = pairwise_accuracy(differences, preferred, clusters, resamples=2)
    assert found.with_ties is not None
    assert (found.with_ties.value, found.threshold) == pytest.approx(best_of_all(differences, preferred))
    assert found.with_ties.count == 40


@given(PAIRS)
def test_calibration_of_ties_equals_trying_every_threshold_of_any_pairs(pairs: list[tuple[int, int]]) -> None:
    differences, preferred = np.array([float(d) for d, _ in pairs]), np.array([p for _, p in pairs])
    found = pairwise_accuracy(differences, preferred, range(len(pairs)), resamples=2)
    if (preferred == 0).any():
        assert found.with_ties is not None
        assert (found.with_ties.value, found.threshold) == pytest.approx(best_of_all(differences, preferred))
    else:
        assert found.with_ties is found.threshold is None


@given(PAIRS, st.floats(0.01, 100))
def test_accuracies_do_not_depend_on_the_unit_of_the_reward(pairs: list[tuple[int, int]], unit: float) -> None:
    differences, preferred = np.array([float(d) for d, _ in pairs]), np.array([p for _, p in pairs])
    one, other = (pairwise_accuracy(differences * u, preferred, range(len(pairs)), resamples=20) for u in (1, unit))
    assert one.accuracy == other.accuracy
    assert one.with_ties == other.with_ties
    assert other.threshold == (None if one.threshold is None else pytest.approx(one.threshold * unit))


@given(PAIRS)
def test_an_inverted_reward_is_right_where_the_other_is_wrong(pairs: list[tuple[int, int]]) -> None:
    differences, preferred = np.array([float(d) for d, _ in pairs]), np.array([p for _, p in pairs])
    one, other = (pairwise_accuracy(sign * differences, preferred, range(len(pairs)), resamples=2) for sign in (1, -1))
    if one.accuracy is None or other.accuracy is None:
        assert one.accuracy is other.accuracy is None
    else:
        assert one.accuracy.value + other.accuracy.value == pytest.approx(1)


@given(PAIRS)
def test_naming_the_second_first_changes_nothing(pairs: list[tuple[int, int]]) -> None:
    differences, preferred = np.array([float(d) for d, _ in pairs]), np.array([p for _, p in pairs])
    assert pairwise_accuracy(differences, preferred, range(len(pairs)), resamples=20) == pairwise_accuracy(
        -differences, -preferred, range(len(pairs)), resamples=20
    )


def test_a_perfect_reward_is_always_right() -> None:
    _, preferred, clusters = some(30)
    found = pairwise_accuracy(preferred * 2.0, preferred, clusters, resamples=FEW)
    assert found.accuracy is not None
    assert found.with_ties is not None
    assert (found.accuracy.value, found.accuracy.low, found.accuracy.high) == (1, 1, 1)
    assert (found.with_ties.value, found.threshold) == (1, 0)


def test_constant_scores_are_right_in_half_and_tie_where_people_do() -> None:
    _, preferred, clusters = some(30)
    found = pairwise_accuracy(np.zeros(30), preferred, clusters, resamples=FEW)
    assert found.accuracy is not None
    assert found.with_ties is not None
    assert found.accuracy.value == 0.5
    assert found.with_ties.value == pytest.approx(np.mean(preferred == 0))


def test_people_who_only_tie_decide_no_pair() -> None:
    found = pairwise_accuracy(np.array([0.5, -0.2]), np.array([0, 0]), ["a", "b"], resamples=FEW)
    assert found.accuracy is None
    assert found.with_ties is not None
    assert (found.with_ties.value, found.threshold) == (1, 0.5)


def test_two_pairs_of_one_prompt_have_no_interval() -> None:
    found = pairwise_accuracy(np.array([0.5, -0.2]), np.array([1, 1]), ["a", "a"]).accuracy
    assert found is not None
    assert (found.value, found.low, found.high, found.count) == (0.5, None, None, 2)


def test_no_pairs_have_no_accuracy() -> None:
    found = pairwise_accuracy(np.array([]), np.array([], dtype=int), [])
    assert found.accuracy is found.with_ties is found.threshold is None


def test_threshold_is_chosen_anew_in_each_resample() -> None:
    differences, preferred, clusters = some(45)
    best, threshold = best_of_all(differences, preferred)
    items = {name: np.flatnonzero(clusters == name) for name in range(15)}
    random = np.random.default_rng(4)
    anew, kept = [], []
    for _ in range(199):
        at = np.concatenate([items[name] for name in random.integers(15, size=15)])
        anew.append(best_of_all(differences[at], preferred[at])[0])
        kept.append(share_right(differences[at], preferred[at], threshold))
    tail = stats.norm.cdf(-math.sqrt(15 / 14) * stats.t.ppf(0.975, 14))
    low, high = np.quantile(anew, [tail, 1 - tail], method="weibull")
    found = pairwise_accuracy(differences, preferred, clusters, seed=4, resamples=199).with_ties
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((best, low, high))
    assert np.mean(kept) < np.mean(anew), "else this test could not fail"


@pytest.mark.parametrize(
    ("differences", "preferred", "clusters", "message"),
    [
        ([0.1, 0.2], [1], [0, 1], "as many of each: got .*'differences': 2, 'preferred': 1"),
        ([0.1, math.nan], [1, 1], [0, 1], "finite differences: number 1 is not"),
        ([0.1, 0.2], [1, 2], [0, 1], r"1, 0 or -1: got \[1, 2\]"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(
    differences: list[float], preferred: list[int], clusters: list[int], message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        pairwise_accuracy(np.array(differences), np.array(preferred), clusters)


# ---- pairs from ratings


def test_pairs_are_all_within_a_prompt_and_no_others() -> None:
    ratings = np.array([3.0, 1.0, 2.0, 2.0, 5.0, 1.0])
    prompts = ["cat", "dog", "cat", "dog", "fish", "cat"]
    found = pairs_from_ratings(ratings, prompts)
    expected = {
        (i, j): int(ratings[i] > ratings[j]) - int(ratings[i] < ratings[j])
        for i in range(6)
        for j in range(i + 1, 6)
        if prompts[i] == prompts[j]
    }
    assert dict(zip(zip(found.first.tolist(), found.second.tolist(), strict=True), found.preferred, strict=True)) == (
        expected
    )
    assert len(found.first) == 4


def test_equal_ratings_prefer_neither() -> None:
    assert pairs_from_ratings(np.array([2.0, 2.0]), ["a", "a"]).preferred.tolist() == [0]


def test_prompts_with_one_video_or_none_have_no_pairs() -> None:
    for count in (0, 2):
        found = pairs_from_ratings(np.arange(count, dtype=float), range(count))
        assert found.first.shape == found.second.shape == found.preferred.shape == (0,)


def test_ratings_as_scores_agree_with_their_own_pairs() -> None:
    ratings = np.random.default_rng(0).integers(1, 6, size=40).astype(float)
    prompts = np.arange(40) // 4
    pairs = pairs_from_ratings(ratings, prompts)
    found = pairwise_accuracy(
        ratings[pairs.first] - ratings[pairs.second], pairs.preferred, prompts[pairs.first], resamples=FEW
    )
    assert found.accuracy is not None
    assert found.with_ties is not None
    assert found.accuracy.value == found.with_ties.value == 1


# ---- ranks


def tau_b(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """From its definition, pair by pair."""
    pairs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i in range(len(a)) for j in range(i)]
    return sum(x * y for x, y in pairs) / math.sqrt(sum(x * x for x, _ in pairs) * sum(y * y for _, y in pairs))


def rho(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation of mean ranks."""
    ranks = [[sum(w < v for w in c) + (sum(w == v for w in c) + 1) / 2 for v in c] for c in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def rated(count: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    scores = random.normal(size=count)
    return scores, np.clip(np.round(3 + scores + random.normal(size=count)), 1, 5)


def test_rank_agreement_equals_definitions_with_ties() -> None:
    scores, ratings = rated(20)
    found = rank_agreement(scores, ratings, range(20), resamples=FEW)
    assert found.kendall is not None
    assert found.spearman is not None
    assert found.kendall.value == pytest.approx(tau_b(scores, ratings), abs=1e-12)
    assert found.spearman.value == pytest.approx(rho(scores, ratings), abs=1e-12)
    assert found.kendall.count == found.spearman.count == 20


def test_rank_intervals_equal_loops_over_clusters() -> None:
    scores, ratings = rated(30)
    clusters = np.arange(30) // 3
    random = np.random.default_rng(4)
    taus, rhos = [], []
    for _ in range(99):
        at = np.concatenate([np.arange(3 * name, 3 * name + 3) for name in random.integers(10, size=10)])
        taus.append(tau_b(scores[at], ratings[at]))
        rhos.append(rho(scores[at], ratings[at]))
    tail = stats.norm.cdf(-math.sqrt(10 / 9) * stats.t.ppf(0.975, 9))
    found = rank_agreement(scores, ratings, clusters, seed=4, resamples=99)
    for estimate, loop in ((found.kendall, taus), (found.spearman, rhos)):
        assert estimate is not None
        assert (estimate.low, estimate.high) == pytest.approx(
            tuple(np.quantile(loop, [tail, 1 - tail], method="weibull")), abs=1e-12
        )


@pytest.mark.parametrize(("sign", "value"), [(1, 1), (-1, -1)])
def test_a_perfect_and_an_inverted_ranking(sign: int, value: int) -> None:
    scores = np.array([0.1, 0.5, 0.2, 0.9, 0.4])
    found = rank_agreement(scores, sign * scores**3, range(5), resamples=FEW)
    for estimate in (found.kendall, found.spearman):
        assert estimate is not None
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((value, value, value))


@pytest.mark.parametrize(
    ("scores", "ratings"),
    [([], []), ([1.0], [2.0]), ([1.0, 2.0], [1.0, 2.0]), ([1.0] * 5, [1.0, 2, 3, 4, 5]), ([1.0, 2, 3], [4.0] * 3)],
)
def test_no_ranking_is_none_not_nan(scores: list[float], ratings: list[float]) -> None:
    a, b = np.array(scores), np.array(ratings)
    found = rank_agreement(a, b, range(len(a)))
    assert found.kendall is found.spearman is None
    assert correlation(a, b) is rank_change(a, b) is None


@given(st.lists(st.tuples(st.integers(-8, 8), st.integers(-3, 3)), min_size=3, max_size=12))
def test_ranks_do_not_change_with_a_monotone_transform(points: list[tuple[int, int]]) -> None:
    a, b = np.array(points, dtype=float).T
    for measure in (correlation, rank_change):
        value = measure(a, b)
        assert measure(np.exp(a / 3) + 2, b**3) == (None if value is None else pytest.approx(value))
        assert measure(-a, b) == (None if value is None else pytest.approx(-value))
        assert measure(b, a) == (None if value is None else pytest.approx(value))


def test_correlation_and_rank_change_equal_definitions() -> None:
    a, b = rated(25, seed=3)
    assert correlation(a, b) == pytest.approx(rho(a, b), abs=1e-12)
    assert rank_change(a, b) == pytest.approx(tau_b(a, b), abs=1e-12)


def test_one_swap_of_neighbours_turns_one_pair_of_ten() -> None:
    assert rank_change(np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 3, 2, 4, 5])) == pytest.approx(1 - 2 / 10)


def test_scores_of_different_lengths_are_refused() -> None:
    with pytest.raises(BadInputError, match=r"as many of each: got .*'a': 3, 'b': 2"):
        correlation(np.zeros(3), np.zeros(2))
