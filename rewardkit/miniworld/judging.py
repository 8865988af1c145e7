"""What is true of a film of the mini world, as rewards: by image analysis alone, no model has a say in it.

They are named by their place, as rewards of users are: `rewardkit.miniworld.judging:Right`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rewardkit.errors import BadInputError
from rewardkit.miniworld.measures import measure
from rewardkit.miniworld.truth import parse_caption
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import TemporalReward


class Right(TemporalReward):
    """1 where colour and direction are as the prompt asks for, 0 where one of them is not."""

    card = RewardCard(
        name="right",
        summary="whether colour and direction are as the prompt asks for, in the mini world",
        source="image analysis, rewardkit.miniworld.measures",
        code_licence="Apache-2.0",
        score_range=(0.0, 1.0),
        unit="share of films",
        needs_prompt=True,
        differentiable=False,
        video_level=True,
        frames="all",
    )

    def forward(
        self, video: Float[Tensor, "batch frame 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " batch"]:
        """One number a film."""
        if prompts is None:
            raise BadInputError("right needs one prompt per video: got none")
        found = [measure(film).agrees(parse_caption(prompt)) for film, prompt in zip(video, prompts, strict=True)]
        return torch.tensor(found, dtype=torch.float32, device=video.device)


class Unmarked(TemporalReward):
    """Minus how opaque the watermark is: 0 without one, -0.4 in a film that was spoiled by it."""

    card = Right.card.model_copy(
        update={
            "name": "unmarked",
            "summary": "minus how opaque the watermark is, in the mini world",
            "score_range": (-1.0, 0.0),
            "unit": "opacity",
            "needs_prompt": False,
        }
    )

    def forward(
        self, video: Float[Tensor, "batch frame 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " batch"]:
        """One number a film; prompts are not read."""
        del prompts
        return torch.tensor([-measure(film).watermark for film in video], dtype=torch.float32, device=video.device)
