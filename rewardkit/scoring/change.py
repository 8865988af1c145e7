"""How much one reward changed over pairs of scores, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rewardkit.scoring.rows import ScoreRow

LEAST_PAIRS = 6
"""Fewer pairs never tell: all of 5 agree by chance in 2 * 0.5**5 = 6 % of cases."""

_DRAWN_AT_ONCE = 2_000_000

ScoreOf = Callable[[ScoreRow], float]
"""Reads one number off a row."""
Scored = TypeVar("Scored")


class Change(BaseModel):
    """How one reward changed over the pairs. Intervals are 95 %; None for a single pair, which allows none.

    Attributes:
        name: the reward's spec.
        wins, ties, losses: pairs in which `after` scores higher, exactly equal, lower.
        win_rate: share of wins in [0, 1], a tie counting half.
        difference: mean of after minus before, in the reward's own unit.
        outcome: `rose` or `fell` only if `difference_interval` excludes zero, over LEAST_PAIRS or more.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    pairs: int
    wins: int
    ties: int
    losses: int
    win_rate: float
    win_rate_interval: tuple[float, float] | None
    mean_before: float
    mean_after: float
    difference: float
    difference_interval: tuple[float, float] | None
    outcome: Literal["rose", "fell", "unclear"]


def measure_change(
    name: str,
    pairs: Sequence[tuple[Scored, Scored]],
    score: Callable[[Scored], float],
    seed: int = 0,
    resamples: int = 10_000,
) -> Change:
    """The change of the number that `score` reads, from the first to the second of each pair."""
    scores = np.array([[score(before), score(after)] for before, after in pairs])
    difference = scores[:, 1] - scores[:, 0]
    sign = np.sign(difference)
    interval = bootstrap_interval(difference, seed=seed, resamples=resamples)
    mean_before, mean_after = scores.mean(axis=0)
    return Change(
        name=name,
        pairs=len(pairs),
        wins=int((sign > 0).sum()),
        ties=int((sign == 0).sum()),
        losses=int((sign < 0).sum()),
        win_rate=float((sign + 1).mean() / 2),
        win_rate_interval=bootstrap_interval((sign + 1) / 2, seed=seed, resamples=resamples),
        mean_before=float(mean_before),
        mean_after=float(mean_after),
        difference=float(difference.mean()),
        difference_interval=interval,
        outcome=_outcome(len(pairs), interval),
    )


def _outcome(pairs: int, interval: tuple[float, float] | None) -> Literal["rose", "fell", "unclear"]:
    if interval is None or pairs < LEAST_PAIRS or interval[0] <= 0 <= interval[1]:
        return "unclear"
    return "rose" if interval[0] > 0 else "fell"


def bootstrap_interval(
    values: Float[NDArray[np.float64], " pair"], *, seed: int = 0, resamples: int = 10_000
) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of the mean; None for a single value. Takes 40 MB at most."""
    count = len(values)
    if count < 2:
        return None
    random = np.random.default_rng(seed)
    at_once = max(1, _DRAWN_AT_ONCE // count)
    means = [
        values[random.integers(count, size=(min(at_once, resamples - done), count))].mean(axis=1)
        for done in range(0, resamples, at_once)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)
