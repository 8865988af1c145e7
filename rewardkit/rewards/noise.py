"""Noise: the grain in the quietest parts of the picture, negated."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rewardkit.pixels import as_images, luminance, smooth_root
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward

BLOCK = 8  # pixels: small enough to find quiet spots, large enough for a steady estimate
QUIET = 0.5  # grey levels: blocks quieter than this are all equally quiet
GAIN = 6.0  # root of the mask's summed squares: white noise comes out 6 times as strong
FLOOR = 1e-4  # of luminance: keeps the root's gradient finite in a flat block
LEAST = 3


def noise_level(luma: Float[Tensor, "image height width"]) -> Float[Tensor, " image"]:
    """Standard deviation of the grain in grey levels of 255, taken from the quietest blocks of 8x8 pixels.

    Texture and edges raise the estimate of some blocks, noise that of all: the power mean of exponent -2
    listens to the quiet ones, and still has a gradient everywhere.
    """
    across = luma[..., :-2] - 2 * luma[..., 1:-1] + luma[..., 2:]
    masked = across[..., :-2, :] - 2 * across[..., 1:-1, :] + across[..., 2:, :]
    block = (min(BLOCK, masked.shape[-2]), min(BLOCK, masked.shape[-1]))
    power = F.avg_pool2d(masked.square().unsqueeze(1), block).squeeze(1)
    sigma = smooth_root(power, GAIN * FLOOR) * (255 / GAIN)
    level: Tensor = (sigma + QUIET).pow(-2).mean((-2, -1)).rsqrt() - QUIET
    return level


class Noise(ImageReward):
    """Minus the standard deviation of the grain, in grey levels of 255: 0 is clean, -10 plainly noisy.

    White noise on smooth ground is recovered within 10 %. Fine texture all over (grass, fur) counts as up to
    5 levels. Blur hides noise, so do not optimise it alone. At least 3x3 pixels.

    Source: the mask [1 -2 1; -2 4 -2; 1 -2 1] / 6 of Immerkaer, "Fast noise variance estimation", Computer
    Vision and Image Understanding 64(2), 1996. There its absolute values are averaged over the picture; ours
    takes the root mean square over blocks of 8x8 and favours the quietest blocks, so that texture is not
    taken for noise.
    """

    card = RewardCard(
        name="noise",
        summary="minus the grain in the quietest parts of the picture",
        source='Immerkaer, "Fast noise variance estimation", CVIU 64(2), 1996; in the quietest 8x8 blocks',
        code_licence="Apache-2.0",
        score_range=(None, 0.0),
        unit="grey levels of 255, standard deviation",
    )

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """Minus the noise level of each picture of at least 3x3 pixels; prompts are not read."""
        del prompts
        return -noise_level(luminance(as_images("noise", images, least=LEAST)))
