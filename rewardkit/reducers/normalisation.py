"""Rewards on a common scale, so that their weighted sum means something: HPSv2 lies near 0.27, aesthetic near 5.

Spec strings: `fixed:0.27,0.02` (mean, standard deviation) and `running`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass
from torch import Tensor

from rewardkit.errors import RewardFailedError, UsageError
from rewardkit.reducers.plan import FramePlan
from rewardkit.reducers.reward import Reward, RewardDetail
from rewardkit.reducers.video_reward import TemporalVideoReward, VideoReward
from rewardkit.rewards.interface import FrozenModel
from rewardkit.spec import STRICT_FIELDS, Part


class Scale(Part, ABC):
    """Where the mean and standard deviation of a reward come from."""

    kind: ClassVar[str] = "scale"


@dataclass(frozen=True, config=STRICT_FIELDS)
class Fixed(Scale):
    """Known beforehand: every video is scored on the same scale, in any order."""

    name: ClassVar[str] = "fixed"
    mean: float
    std: PositiveFloat


@dataclass(frozen=True, config=STRICT_FIELDS)
class Running(Scale):
    """Collected from the scores seen so far while in training mode; frozen in evaluation mode."""

    name: ClassVar[str] = "running"


SCALES: dict[str, type[Scale]] = {s.name: s for s in (Fixed, Running)}


class Normalised(Reward):
    """A reward as (score - mean) / standard deviation.

    With a `Running` scale, `train()` lets every call add its finite scores to the statistics before they are used,
    and `eval()` freezes them; they are part of `state_dict`. Statistics carry no gradient. Until two different scores
    have been seen there is no deviation to divide by, and only the mean is taken off.

    Source of the running update: Chan, Golub & LeVeque 1979, parallel variance.
    """

    mean: Tensor
    sum_of_squares: Tensor
    count: Tensor

    def __init__(self, reward: Reward, scale: Scale) -> None:
        super().__init__()
        if not isinstance(reward, VideoReward | TemporalVideoReward):
            raise UsageError(f"cannot normalise {reward.spec}: normalise the single rewards, then add them up")
        self.reward = reward
        self.scale = scale
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("sum_of_squares", torch.zeros(()))

    @property
    def name(self) -> str:
        """The reward's name."""
        return self.reward.name

    @property
    def spec(self) -> str:
        """The reward's spec with `normalise=...`."""
        inner = self.reward.spec
        return f"{inner[:-1]};normalise={self.scale}]" if inner.endswith("]") else f"{inner}[normalise={self.scale}]"

    def models(self) -> list[FrozenModel]:
        """The reward models inside."""
        return self.reward.models()

    def plan_one(self, num_frames: int, generator: torch.Generator) -> FramePlan:
        """The reward's own plan."""
        return self.reward.plan_one(num_frames, generator)

    def judge(
        self,
        frames: Shaped[Tensor, "batch planned 3 height width"],
        prompts: Sequence[str] | None,
        plan: FramePlan,
        batch_size: int | None,
    ) -> RewardDetail:
        """The reward's detail with its score normalised; frames keep their own scale.

        Raises:
            RewardFailedError: in evaluation mode, a running scale that has seen no two different scores.
        """
        detail = self.reward.judge(frames, prompts, plan, batch_size)
        if isinstance(self.scale, Fixed):
            return replace(detail, score=(detail.score - self.scale.mean) / self.scale.std)
        if self.training:
            self._observe(detail.score.detach().float())
        if self.sum_of_squares > 0:
            return replace(detail, score=(detail.score - self.mean) / (self.sum_of_squares / self.count).sqrt())
        if self.training:
            return replace(detail, score=detail.score - self.mean)
        raise RewardFailedError(
            f"{self.name} with a running scale has seen no two different scores: call it in training mode first, "
            "or give normalise=fixed:MEAN,STD"
        )

    def _observe(self, scores: Float[Tensor, " batch"]) -> None:
        scores = scores[scores.isfinite()]
        if len(scores) == 0:
            return
        total = self.count + len(scores)
        shift = scores.mean() - self.mean
        self.sum_of_squares += ((scores - scores.mean()) ** 2).sum() + shift**2 * self.count * len(scores) / total
        self.mean += shift * len(scores) / total
        self.count.copy_(total)
