"""Sums of rewards: `0.7 * a + 0.3 * b`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from rewardkit.reducers.plan import FramePlan
from rewardkit.reducers.reward import Reward, RewardDetail
from rewardkit.rewards.interface import FrozenModel


class WeightedSum(Reward):
    """The sum of coefficient * reward. Each reward sees its own frames; all are decoded once.

    Sums inside are spread out. A coefficient of 0 records a reward beside the sum, without gradient.
    """

    def __init__(self, terms: Sequence[tuple[float, Reward]]) -> None:
        super().__init__()
        flat = [
            (coefficient * own, single)
            for coefficient, reward in terms
            for own, single in (reward.terms() if isinstance(reward, WeightedSum) else [(1.0, reward)])
        ]
        self.coefficients = tuple(coefficient for coefficient, _ in flat)
        self.rewards = nn.ModuleList(reward for _, reward in flat)

    def terms(self) -> list[tuple[float, Reward]]:
        """Coefficient and reward, in order."""
        rewards = [reward for reward in self.rewards if isinstance(reward, Reward)]
        return list(zip(self.coefficients, rewards, strict=True))

    @property
    def name(self) -> str:
        """`0.7*a+0.3*b`."""
        return "+".join(_times(coefficient) + reward.name for coefficient, reward in self.terms())

    @property
    def spec(self) -> str:
        """`0.7*a[...]+0.3*b[...]`."""
        return "+".join(_times(coefficient) + reward.spec for coefficient, reward in self.terms())

    def models(self) -> list[FrozenModel]:
        """The reward models of all terms."""
        return [model for _, reward in self.terms() for model in reward.models()]

    @property
    def differentiable(self) -> bool:
        """Whether gradient flows through every term that counts."""
        return all(reward.differentiable for coefficient, reward in self.terms() if coefficient != 0)

    def plan_one(self, num_frames: int, generator: torch.Generator) -> FramePlan:
        """All frames that any term looks at; a term draws the frames that it would draw alone."""
        start = generator.get_state()
        return FramePlan.union([r.plan_one(num_frames, torch.Generator().set_state(start)) for _, r in self.terms()])

    def judge(
        self,
        frames: Shaped[Tensor, "batch planned 3 height width"],
        prompts: Sequence[str] | None,
        plan: FramePlan,
        batch_size: int | None,
    ) -> RewardDetail:
        """Scores every term on its own frames and adds them up."""
        details = []
        for (coefficient, reward), part in zip(self.terms(), plan.parts, strict=True):
            # a reward that does not count needs no graph, and may be one that has no gradient
            with torch.set_grad_enabled(torch.is_grad_enabled() and coefficient != 0):
                details.append(reward.judge(plan.take_part(frames, part), prompts, part, batch_size))
        weighted = [c * detail.score for c, detail in zip(self.coefficients, details, strict=True)]
        names = self._part_names()
        return RewardDetail(torch.stack(weighted).sum(dim=0), plan.index, parts=dict(zip(names, details, strict=True)))

    def _part_names(self) -> list[str]:
        """Short names where they tell the terms apart, else specs, else numbered specs."""
        for labels in ([r.name for _, r in self.terms()], [r.spec for _, r in self.terms()]):
            if max(Counter(labels).values()) == 1:
                return labels
        return [f"{position}:{reward.spec}" for position, (_, reward) in enumerate(self.terms(), start=1)]


def _times(coefficient: float) -> str:
    """A coefficient with all its digits, as `create_reward` reads it: without `+` in an exponent."""
    return "" if coefficient == 1 else repr(coefficient).removesuffix(".0").replace("e+", "e") + "*"
