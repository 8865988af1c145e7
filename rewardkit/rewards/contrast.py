"""Contrast: how far apart bright and dark lie."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from rewardkit.pixels import as_images, luminance, smooth_root
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward

FLOOR = 1e-3  # a quarter of a grey level: what a flat picture scores


def rms_contrast(luma: Float[Tensor, "image height width"]) -> Float[Tensor, " image"]:
    """Standard deviation of luminance over the picture, in [0.001, 0.5]."""
    return smooth_root(luma.var((-2, -1), correction=0), FLOOR)


class Contrast(ImageReward):
    """Standard deviation of luminance: 0 for a flat picture, 0.5 for half black and half white.

    Everyday footage has 0.1 to 0.3. Noise raises it a little (variances add), so it is not for optimising
    alone.

    Source: RMS contrast as in E. Peli, "Contrast in complex images", J. Opt. Soc. Am. A 7(10), 1990, with the
    root smoothed at a quarter of a grey level so that a flat picture has a gradient.
    """

    card = RewardCard(
        name="contrast",
        summary="how far apart bright and dark lie",
        source='RMS contrast, E. Peli, "Contrast in complex images", J. Opt. Soc. Am. A 7(10), 1990',
        code_licence="Apache-2.0",
        score_range=(0.0, 0.5),
        unit="standard deviation of luminance, which runs from 0 to 1",
    )

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """RMS contrast of each picture, of any size; prompts are not read."""
        del prompts
        return rms_contrast(luminance(as_images("contrast", images)))
