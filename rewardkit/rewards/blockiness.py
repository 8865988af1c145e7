"""Blockiness: how much the 8x8 grid of JPEG and MPEG shows, negated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rewardkit.pixels import as_images, luminance
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward

BLOCK = 8
FLOOR = 0.001  # of luminance, a quarter of a grey level: a flat picture has no grid
BEND = 0.03  # of the log ratio: boundaries smoother than their surroundings are no merit, or optimising draws them
LEAST = 2 * BLOCK


def grid_strength(luma: Float[Tensor, "image height width"]) -> Float[Tensor, " image"]:
    """log(differences across block boundaries / those within), bent to stay above 0; 0.02 without a grid."""
    excess = torch.stack([_along(luma, -1), _along(luma, -2)])
    return BEND * F.softplus(excess / BEND).mean(0)


def _along(luma: Tensor, axis: int) -> Tensor:
    difference = luma.diff(dim=axis).abs()
    across = difference.index_select(axis, torch.arange(BLOCK - 1, difference.shape[axis], BLOCK, device=luma.device))
    share = across.shape[axis] / difference.shape[axis]
    boundary = across.mean((-2, -1))
    inside = (difference.mean((-2, -1)) - share * boundary) / (1 - share)
    return torch.log((boundary + FLOOR) / (inside + FLOOR))


class Blockiness(ImageReward):
    """Minus the excess of differences across the 8x8 grid: -0.02 to -0.05 is clean, -0.15 is JPEG at quality 80.

    Being a ratio, it does not fall with contrast or size. The grid is looked for where encoders put it: at
    multiples of 8 from the upper left, at the picture's own resolution; after scaling or cropping it is not
    seen. At least 16x16 pixels.

    Source: the terms B (boundaries) and A (activity within) of Wang, Sheikh & Bovik, "No-reference perceptual quality
    assessment of JPEG compressed images", ICIP 2002. Ours is -log(B / A), bent so as not to exceed 0, without their
    zero-crossing rate, which has no gradient, and their fitted exponents.
    """

    card = RewardCard(
        name="blockiness",
        summary="minus how much the 8x8 grid of JPEG and MPEG shows",
        source='B and A of Wang, Sheikh & Bovik, "No-reference ... JPEG compressed images", ICIP 2002; as -log(B / A)',
        code_licence="Apache-2.0",
        score_range=(None, 0.0),
        unit="natural log of the ratio of differences across and within blocks",
    )

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """Minus the blockiness of each picture of at least 16x16 pixels; prompts are not read."""
        del prompts
        return -grid_strength(luminance(as_images("blockiness", images, least=LEAST)))
