"""Intervals cover the truth as often as they say, and equal those of others where those are right."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from rewardkit.scoring import bootstrap
from rewardkit.scoring.bootstrap import Interval, bootstrap_interval, cluster_bootstrap
from rewardkit.scoring.change import win_rate_interval

SIMULATIONS = 1_000
# k of B draws is the quantile k / (B + 1), so that few draws make an interval noisy, not narrow
RESAMPLES = 500
FEWER_RESAMPLES = 199


def coverage(truth: float, interval: Callable[[np.random.Generator, int], Interval | None]) -> float:
    random = np.random.default_rng(8)
    found = [interval(random, seed) for seed in range(SIMULATIONS)]
    assert None not in found
    return sum(low <= truth <= high for low, high in found) / SIMULATIONS


def plain_tail(count: int) -> float:
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * stats.t.ppf(0.975, count - 1))


# ---- how often it holds the truth: 1,000 simulations of 95 % have a deviation of 0.7 %


@pytest.mark.parametrize("count", [12, 40])
def test_mean_of_a_normal_is_covered(count: int) -> None:
    def interval(random: np.random.Generator, seed: int) -> Interval | None:
        return bootstrap_interval(random.normal(0.1, 1, size=count), seed=seed, resamples=RESAMPLES)

    assert 0.93 <= coverage(0.1, interval) <= 0.97


def test_plain_percentiles_would_fail_the_coverage_test() -> None:
    def interval(random: np.random.Generator, seed: int) -> Interval:
        values = random.normal(0.1, 1, size=12)
        means = values[random.integers(12, size=(RESAMPLES, 12))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        return low, high

    assert coverage(0.1, interval) < 0.93


def test_share_of_zeros_and_ones_is_covered() -> None:
    def interval(random: np.random.Generator, seed: int) -> Interval | None:
        return bootstrap_interval((random.random(100) < 0.7).astype(float), seed=seed, resamples=RESAMPLES)

    assert 0.93 <= coverage(0.7, interval) <= 0.97


@pytest.mark.parametrize(("count", "least"), [(8, 0.84), (20, 0.92), (100, 0.93)])
def test_win_rates_are_covered(count: int, least: float) -> None:
    # exact: simulations would blur that what can occur is discrete, whence 0.937 for a rate of 0.7 of 100
    found = [win_rate_interval(wins, 0, count - wins) for wins in range(count + 1)]
    covered = [
        sum(stats.binom.pmf(k, count, rate) for k, (low, high) in enumerate(found) if low <= rate <= high)
        for rate in np.linspace(0.02, 0.98, 97)
    ]
    assert 0.945 <= np.mean(covered) <= 0.96
    assert min(covered) >= least


@pytest.mark.parametrize("rates", [(0.5, 0.3, 0.2), (0.3, 0.6, 0.1)])
def test_win_rates_with_ties_are_covered(rates: tuple[float, float, float]) -> None:
    chances = {
        (wins, ties, 30 - wins - ties): stats.multinomial.pmf([wins, ties, 30 - wins - ties], 30, rates)
        for wins in range(31)
        for ties in range(31 - wins)
    }
    found = {outcome: win_rate_interval(*outcome) for outcome in chances}
    truth = rates[0] + rates[1] / 2
    assert 0.94 <= sum(chances[o] for o, (low, high) in found.items() if low <= truth <= high) <= 0.96


def test_mean_of_items_that_hang_together_is_covered_by_drawing_clusters() -> None:
    clusters = np.repeat(np.arange(30), 3)

    def interval(random: np.random.Generator, seed: int) -> Interval | None:
        items = random.normal(0.1, 1, size=30)[clusters] + random.normal(0, 0.5, size=90)
        return cluster_bootstrap(clusters, lambda at: items[at].mean(), seed=seed, resamples=FEWER_RESAMPLES)

    assert 0.93 <= coverage(0.1, interval) <= 0.97


def test_drawing_items_one_by_one_would_fail_the_coverage_test() -> None:
    clusters = np.repeat(np.arange(30), 3)

    def interval(random: np.random.Generator, seed: int) -> Interval | None:
        items = random.normal(0.1, 1, size=30)[clusters] + random.normal(0, 0.5, size=90)
        return bootstrap_interval(items, seed=seed, resamples=RESAMPLES)

    assert coverage(0.1, interval) < 0.85


def test_spearman_of_a_bivariate_normal_is_covered() -> None:
    count, rho = 60, 0.5
    truth = 6 / math.pi * math.asin(rho / 2)

    def interval(random: np.random.Generator, seed: int) -> Interval | None:
        x = random.normal(size=count)
        y = rho * x + math.sqrt(1 - rho**2) * random.normal(size=count)
        statistic = spearman_of_drawn(x, y)
        return cluster_bootstrap(range(count), statistic, seed=seed, resamples=FEWER_RESAMPLES)

    assert 0.93 <= coverage(truth, interval) <= 0.97


def spearman_of_drawn(x: NDArray[np.float64], y: NDArray[np.float64]) -> Callable[[NDArray[np.intp]], float]:
    """Spearman's rho as a function of drawn positions, from how often each is drawn: ten times as fast as scipy's."""
    order_x = np.argsort(x)
    place_y = np.argsort(np.argsort(y[order_x]))
    place_x, order_y = np.argsort(order_x), np.argsort(place_y)
    middle = (len(x) + 1) / 2

    def statistic(at: NDArray[np.intp]) -> float:
        times = np.bincount(place_x[at], minlength=len(x))  # in the order of x
        rank_x = np.cumsum(times) - (times - 1) / 2 - middle
        times_y = times[order_y]
        rank_y = (np.cumsum(times_y) - (times_y - 1) / 2 - middle)[place_y]
        weighted = times * rank_x
        return float(weighted @ rank_y / math.sqrt((weighted @ rank_x) * (times @ rank_y**2)))

    return statistic


def test_the_fast_spearman_of_these_tests_is_that_of_scipy() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 60))
    for _ in range(5):
        at = random.integers(60, size=60)
        assert spearman_of_drawn(x, y)(at) == pytest.approx(stats.spearmanr(x[at], y[at]).statistic, abs=1e-12)


# ---- the interval of a mean


def test_interval_equals_a_loop_over_resamples() -> None:
    values = np.random.default_rng(3).normal(size=7)
    draws = np.random.default_rng(5)
    means = sorted(sum(values[i] for i in draws.integers(7, size=7)) / 7 for _ in range(400))
    # the k-th smallest of 400 stands at k / 401
    low, high = (np.interp(q * 401, range(1, 401), means) for q in (plain_tail(7), 1 - plain_tail(7)))
    assert bootstrap_interval(values, seed=5, resamples=400) == pytest.approx((low, high))


def test_interval_does_not_depend_on_how_many_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(size=50)
    whole = bootstrap_interval(values, resamples=999)
    monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", 120)
    assert bootstrap_interval(values, resamples=999) == whole


def test_interval_of_many_values_is_the_percentile_interval_of_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=2_000)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, batch=1_000, rng=np.random.default_rng(1)
    ).confidence_interval
    # each end of 10,000 draws has a deviation of 0.027 standard errors
    assert bootstrap_interval(values) == pytest.approx(tuple(theirs), abs=0.12 * values.std() / math.sqrt(2_000))


@pytest.mark.parametrize("count", [8, 12, 2_000])
def test_interval_of_a_normal_sample_is_that_of_student(count: int) -> None:
    # quantiles of a normal have neither skew nor outliers
    values = np.array([NormalDist(0.3, 2).inv_cdf((i + 0.5) / count) for i in range(count)])
    half = stats.t.ppf(0.975, count - 1) * stats.sem(values)
    # means of few resampled values have lighter tails than a normal, by 5 % at 8
    assert bootstrap_interval(values) == pytest.approx((0.3 - half, 0.3 + half), abs=0.09 * half)


def test_interval_of_zeros_and_ones_is_the_binomial_one() -> None:
    count, share = 40, 0.3
    values = np.array([1.0] * 12 + [0.0] * 28)
    exact = stats.binom.ppf([plain_tail(count), 1 - plain_tail(count)], count, share) / count
    # a quantile of 10,000 draws may land on the next attainable value
    assert bootstrap_interval(values, seed=1) == pytest.approx(tuple(exact), abs=1 / count + 1e-9)


def test_interval_is_as_wide_as_its_values_for_two() -> None:
    assert bootstrap_interval(np.array([0.3, 0.1])) == pytest.approx((0.1, 0.3))


def test_interval_of_equal_values_is_that_value_to_the_last_digit() -> None:
    assert bootstrap_interval(np.full(7, 0.1)) == (0.1, 0.1)
    assert np.full(7, 0.1).mean() != 0.1, "else this test could not fail"


def test_one_value_has_no_interval() -> None:
    assert bootstrap_interval(np.array([1.0])) is None


# ---- the interval of any statistic


def test_clusters_of_one_item_give_the_interval_of_the_mean() -> None:
    values = np.random.default_rng(2).normal(size=15)
    found = cluster_bootstrap(range(15), lambda at: values[at].mean(), seed=3, resamples=400)
    assert found == pytest.approx(bootstrap_interval(values, seed=3, resamples=400))


def test_cluster_interval_equals_a_loop_over_clusters_of_different_sizes() -> None:
    clusters = ["b", "a", "c", "a", "b", "a", "d"]
    values = np.array([1.0, 5.0, 2.0, 6.0, 1.5, 7.0, 3.0])
    members = {name: [i for i, other in enumerate(clusters) if other == name] for name in clusters}
    random = np.random.default_rng(9)
    found = []
    for _ in range(200):
        drawn = [sorted(members)[i] for i in random.integers(4, size=4)]
        found.append(np.median([values[i] for name in drawn for i in members[name]]))
    low, high = (np.interp(q * 201, range(1, 201), sorted(found)) for q in (plain_tail(4), 1 - plain_tail(4)))
    ours = cluster_bootstrap(clusters, lambda at: float(np.median(values[at])), seed=9, resamples=200)
    assert ours == pytest.approx((low, high))


def test_items_of_a_cluster_are_drawn_together() -> None:
    clusters = np.array([0, 1, 0, 2, 1, 0])

    def whole(at: NDArray[np.intp]) -> float:
        times = np.bincount(at, minlength=6)
        assert times[0] == times[2] == times[5]
        assert times[1] == times[4]
        assert times[0] + times[1] + times[3] == 3
        return float(times[0])

    assert cluster_bootstrap(clusters, whole, resamples=100) == (0, 3)


def test_a_statistic_that_is_undefined_in_few_resamples_has_an_interval_of_the_others() -> None:
    # undefined where the first of five is not drawn: in 0.8**5 = 33 % of cases
    found = cluster_bootstrap(range(5), lambda at: 1.0 if 0 in at else math.nan)
    assert found == (1, 1)


def test_a_statistic_that_is_undefined_in_most_resamples_has_no_interval() -> None:
    # the first of five is drawn twice or more in 26 % of cases
    assert cluster_bootstrap(range(5), lambda at: 1.0 if (at == 0).sum() > 1 else math.nan) is None


def test_one_cluster_has_no_interval() -> None:
    assert cluster_bootstrap(["a", "a", "a"], lambda at: float(at.mean())) is None


def test_two_clusters_have_the_range_of_what_they_give() -> None:
    values = np.array([1.0, 2.0, 6.0])
    assert cluster_bootstrap(["a", "a", "b"], lambda at: float(values[at].mean())) == (1.5, 6.0)


def test_same_seed_same_interval() -> None:
    values = np.random.default_rng(2).normal(size=15)
    one, again, other = (cluster_bootstrap(range(15), lambda at: values[at].mean(), seed=seed) for seed in (1, 1, 2))
    assert one == again != other


# ---- the interval of a win rate


@pytest.mark.parametrize(("wins", "losses"), [(8, 0), (0, 8), (12, 8), (1, 1), (71, 25)])
def test_win_rate_interval_without_ties_is_that_of_wilson(wins: int, losses: int) -> None:
    theirs = stats.binomtest(wins, wins + losses).proportion_ci(0.95, method="wilson")
    assert win_rate_interval(wins, 0, losses) == pytest.approx(tuple(theirs), abs=1e-12)


def test_win_rate_interval_with_ties_holds_the_rates_that_a_score_test_allows() -> None:
    wins, ties, losses = 9, 6, 5
    found, tied = (wins + ties / 2) / 20, ties / 20
    allowed = [
        rate
        for rate in np.linspace(0, 1, 100_001)
        if 20 * (found - rate) ** 2 <= 1.959964**2 * (rate * (1 - rate) - tied / 4)
    ]
    assert win_rate_interval(wins, ties, losses) == pytest.approx((allowed[0], allowed[-1]), abs=1e-5)


def test_win_rate_interval_without_a_loss_ends_at_one() -> None:
    assert [win_rate_interval(wins, 0, 0)[1] for wins in range(2, 200)] == [1.0] * 198
    assert [win_rate_interval(0, 0, losses)[0] for losses in range(2, 200)] == [0.0] * 198


def test_win_rate_interval_of_ties_is_a_half() -> None:
    assert win_rate_interval(0, 7, 0) == (0.5, 0.5)


def test_one_pair_has_no_win_rate_interval() -> None:
    assert win_rate_interval(1, 0, 0) is None


# ---- cost


def test_importing_loads_no_scipy() -> None:
    """It takes a second, and most commands compute no interval."""
    code = "import sys, rewardkit.scoring.bootstrap, rewardkit.bench.rewards.agreement as _; "
    code += "print('scipy.special' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
