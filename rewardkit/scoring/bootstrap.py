"""How sure a mean, or any other statistic, is: 95 % intervals from resampling, wide enough for few values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

Interval = tuple[float, float]
Clusters = Sequence[str] | Sequence[int] | NDArray[np.str_] | NDArray[np.int_]
"""What belongs together, such as the prompt of each item."""
Items = Int[np.ndarray, " drawn"]
"""Positions of items, some more than once."""

_DRAWN_AT_ONCE = 2_000_000


def bootstrap_interval(
    values: Float[np.ndarray, " value"], *, seed: int = 0, resamples: int = 10_000
) -> Interval | None:
    """The expanded 95 % percentile interval of the mean; None for a single value. Takes 40 MB at most.

    Means of resampled values stay in their range, and 2 or 3 values give just that. A range of n values holds the
    centre of a symmetric distribution in 1 - 2**(1 - n) of cases: 50 % for 2, 94 % for 5. Conclude nothing from fewer
    than 6.

    Source: Hesterberg, What Teachers Should Know About the Bootstrap, arXiv:1411.5279, expanded percentile interval.
    """
    count = len(values)
    if count < 2:
        return None
    if (values == values[0]).all():  # a mean of equal numbers may differ from them in the last digit
        return float(values[0]), float(values[0])
    random = np.random.default_rng(seed)
    at_once = max(1, _DRAWN_AT_ONCE // count)
    means = [
        values[random.integers(count, size=(min(at_once, resamples - done), count))].mean(axis=1)
        for done in range(0, resamples, at_once)
    ]
    return _expanded_interval(np.concatenate(means), count)


def cluster_bootstrap(
    clusters: Clusters,
    statistic: Callable[[Items], float],
    *,
    seed: int = 0,
    resamples: int = 2_000,
) -> Interval | None:
    """The expanded 95 % percentile interval of any statistic over items that hang together in clusters.

    Whole clusters are drawn, such as all videos of one prompt: items of one cluster tell less than as many strangers.
    None for fewer than 2 clusters, and where more than half of the resamples leave the statistic undefined. Fewer than
    6 clusters allow no conclusion, as in `bootstrap_interval`. A statistic at its limit, such as no mistake in any
    item, stays there in every resample: its interval is that one number.

    Args:
        clusters: the cluster of each item.
        statistic: from the positions of drawn items; nan where it is undefined. Called once a resample.
        seed: the same draws for every statistic.
        resamples: draws of as many clusters as there are.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8, strategy 1; expanded after
    Hesterberg, arXiv:1411.5279.
    """
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    count = len(names)
    if count < 2:
        return None
    items, sizes = np.argsort(cluster, kind="stable"), np.bincount(cluster)
    starts = np.cumsum(sizes) - sizes
    random = np.random.default_rng(seed)
    found = np.empty(resamples)
    for number in range(resamples):
        drawn = random.integers(count, size=count)
        found[number] = statistic(items[_stretches(starts[drawn], sizes[drawn])])
    defined = found[~np.isnan(found)]
    return None if 2 * len(defined) < resamples else _expanded_interval(defined, count)


def _stretches(starts: Int[np.ndarray, " stretch"], sizes: Int[np.ndarray, " stretch"]) -> Items:
    """start, start + 1, ... of each stretch, one after the other."""
    ends = np.cumsum(sizes)
    return np.repeat(starts - ends + sizes, sizes) + np.arange(ends[-1])


def _expanded_interval(found: Float[np.ndarray, " resample"], count: int) -> Interval:
    from scipy.special import ndtr, stdtrit  # type: ignore[import-untyped]

    # resampling knows a spread smaller by sqrt((count - 1) / count), and takes it for the true one, as the t does not
    tail = ndtr(-math.sqrt(count / (count - 1)) * stdtrit(count - 1, 0.975))
    # weibull: the k-th of B draws is the quantile k / (B + 1), so that few draws do not make the interval narrow
    low, high = np.quantile(found, [tail, 1 - tail], method="weibull")
    return float(low), float(high)
