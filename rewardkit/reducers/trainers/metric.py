"""A reward as a metric of torchmetrics: the mean over all videos, of all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from rewardkit.reducers.reward import Reward
from rewardkit.reducers.trainers.films import as_films, score_films


class RewardMetric(Metric):
    """See `Reward.as_metric`."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, reward: Reward, **options: Any) -> None:
        super().__init__(**options)
        self._held = (reward,)  # no submodule: checkpoints of a training must not hold a judge's weights
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, films: object, prompts: Sequence[str] | None = None) -> None:
        """Scores a batch of films and adds it up."""
        scores, _ = score_films(self._held[0], as_films(films), prompts)
        self.total += scores.sum(dtype=torch.float64).to(self.total.device)
        self.count += len(scores)

    def compute(self) -> Tensor:
        """The mean over all films since the last reset, as float32; NaN where there was none."""
        return (self.total / self.count).float()
