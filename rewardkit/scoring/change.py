"""How much one reward changed over pairs of scores, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict

from rewardkit.scoring.bootstrap import Interval, bootstrap_interval
from rewardkit.scoring.rows import ScoreRow

LEAST_PAIRS = 6
"""Fewer pairs never tell: all of 5 agree by chance in 2 * 0.5**5 = 6 % of cases."""

_Z = NormalDist().inv_cdf(0.975)

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
        relative: difference as a share of the size of `mean_before`; None where scores have both signs, or were all 0.
        outcome: `rose` or `fell` only if `difference_interval` excludes zero, over LEAST_PAIRS or more.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    pairs: int
    wins: int
    ties: int
    losses: int
    win_rate: float
    win_rate_interval: Interval | None
    mean_before: float
    mean_after: float
    difference: float
    difference_interval: Interval | None
    relative: float | None
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
    wins, ties, losses = (int((np.sign(difference) == sign).sum()) for sign in (1, 0, -1))
    interval = bootstrap_interval(difference, seed=seed, resamples=resamples)
    mean_before, mean_after = scores.mean(axis=0)
    return Change(
        name=name,
        pairs=len(pairs),
        wins=wins,
        ties=ties,
        losses=losses,
        win_rate=(wins + ties / 2) / len(pairs),
        win_rate_interval=win_rate_interval(wins, ties, losses),
        mean_before=float(mean_before),
        mean_after=float(mean_after),
        difference=float(difference.mean()),
        difference_interval=interval,
        relative=_relative(scores),
        outcome=_outcome(len(pairs), interval),
    )


def _outcome(pairs: int, interval: Interval | None) -> Literal["rose", "fell", "unclear"]:
    if interval is None or pairs < LEAST_PAIRS or not (interval[0] > 0 or interval[1] < 0):
        return "unclear"
    return "rose" if interval[0] > 0 else "fell"


def win_rate_interval(wins: int, ties: int, losses: int) -> Interval | None:
    """The 95 % score interval of the win rate, a tie counting half; None for a single pair.

    Eight wins of eight allow rates down to 0.68: resampling them would never draw a loss. All ties give 0.5 to 0.5.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927; with the variance
    p (1 - p) - ties / 4 of a win rate p where there are ties.
    """
    count = wins + ties + losses
    if count < 2:
        return None
    rate, tied = (wins + ties / 2) / count, ties / count
    spread = 4 * count * rate * (1 - rate) - count * tied + _Z**2 * (1 - tied)
    middle, half = 2 * count * rate + _Z**2, _Z * math.sqrt(max(spread, 0))
    # rounded: without a loss the end is 1, not a last digit less
    low, high = (round((middle + sign * half) / (2 * (count + _Z**2)), 12) for sign in (-1, 1))
    return low, high


def _relative(scores: Float[np.ndarray, "pair 2"]) -> float | None:
    mean_before, mean_after = scores.mean(axis=0)
    one_sign = (scores >= 0).all() or (scores <= 0).all()
    return float((mean_after - mean_before) / abs(mean_before)) if one_sign and mean_before else None
