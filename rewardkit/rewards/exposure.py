"""Exposure: neither too dark nor too bright."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rewardkit.pixels import as_images, luminance
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward

CENTRE, WIDTH = 0.5, 0.2  # the curve of Mertens et al.
EDGE, SOFTNESS = 0.02, 0.01  # a pixel within 5 grey levels of black or white counts as lost


def well_exposedness(luma: Float[Tensor, "image height width"]) -> Float[Tensor, " image"]:
    """Mertens' curve at the mean luminance, times the share of pixels that are neither black nor white; in [0, 1]."""
    curve = torch.exp(-((luma.mean((-2, -1)) - CENTRE) ** 2) / (2 * WIDTH**2))
    black = torch.sigmoid((EDGE - luma) / SOFTNESS)
    white = torch.sigmoid((luma - (1 - EDGE)) / SOFTNESS)
    return curve * (1 - (black + white).mean((-2, -1)))


class Exposure(ImageReward):
    """Well-exposedness, in [0, 1]: 1 where the mean luminance is 0.5 and no pixel is lost to black or white.

    A night scene scores lower than a day scene: compare takes of one scene, or optimise it within a weighted
    sum.

    Source: the curve exp(-(i - 0.5)^2 / (2 * 0.2^2)) of Mertens, Kautz & Van Reeth, "Exposure fusion",
    Pacific Graphics 2007. There it weighs each pixel, which rewards grey fog; here it judges the mean
    luminance and lost pixels are counted apart, so that contrast is left alone.
    """

    card = RewardCard(
        name="exposure",
        summary="neither too dark nor too bright, no pixels lost to black or white",
        source='well-exposedness, Mertens, Kautz & Van Reeth, "Exposure fusion", Pacific Graphics 2007; at the mean',
        code_licence="Apache-2.0",
        score_range=(0.0, 1.0),
        unit="share of perfect exposure",
    )

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """Well-exposedness of each picture, of any size; prompts are not read."""
        del prompts
        return well_exposedness(luminance(as_images("exposure", images)))
