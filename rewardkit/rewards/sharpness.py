"""Sharpness: how much of the picture's edges a further blur would take away."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from rewardkit.pixels import as_images, luminance
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward
from rewardkit.rewards.noise import noise_level

WINDOW = 9  # pixels of the blur to compare with, as in the paper
FLOOR = 0.004  # one grey level a pixel: a picture with weaker edges than this counts as blurred
LEAST = WINDOW + 1


def edge_sharpness(
    luma: Float[Tensor, "image height width"], noise: Float[Tensor, " image"]
) -> Float[Tensor, " image"]:
    """Share of squared edge strength that a blur over 9 pixels would take away, less the share that is noise.

    `noise` is the noise level in grey levels of 255. In [0, 1) for edges and texture; down to -1 for patterns
    as fine as single pixels, which count as noise.
    """
    return (_along(luma, noise / 255, -1) + _along(luma, noise / 255, -2)) / 2


def _along(luma: Tensor, noise: Tensor, axis: int) -> Tensor:
    steps = luma.shape[axis] - WINDOW
    edge = luma.narrow(axis, WINDOW // 2 + 1, steps) - luma.narrow(axis, WINDOW // 2, steps)
    # Two neighbouring box means differ by the pixel that enters and the one that leaves: no filter needed
    blurred = (luma.narrow(axis, WINDOW, steps) - luma.narrow(axis, 0, steps)) / WINDOW
    lost = (edge.abs() - blurred.abs()).clamp(min=0).square().mean((-2, -1))
    return (lost - noise.square()) / (edge.square().mean((-2, -1)) + FLOOR * FLOOR)


class Sharpness(ImageReward):
    """Share of edge strength that a further blur would take away: 0 when blurred, 0.6 to 0.8 when crisp.

    It compares the picture with itself, so contrast hardly matters. Noise would pass for sharpness: the level found by
    the `noise` reward is taken off, so that noise lowers the score until it drowns the picture. Over-sharpening does
    raise it: optimise it within `technical` or a weighted sum. Measured at the picture's own resolution, at least 10x10
    pixels.

    Source: 1 - blur of Crete, Dolmiere, Ladret & Nicolas, "The blur effect: perception and estimation with a
    new no-reference perceptual blur metric", SPIE 6492, 2007. Ours: squares for absolute values, the mean of
    the two directions for the worse one, a floor of one grey level, and the noise taken off.
    """

    card = RewardCard(
        name="sharpness",
        summary="how much of the picture's edges a further blur would take away",
        source='1 - blur, Crete et al., "The blur effect", SPIE 6492, 2007; squared edges, less the noise',
        code_licence="Apache-2.0",
        score_range=(-1.0, 1.0),
        unit="share of squared edge strength",
    )

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """Sharpness of each picture of at least 10x10 pixels; prompts are not read."""
        del prompts
        luma = luminance(as_images("sharpness", images, least=LEAST))
        return edge_sharpness(luma, noise_level(luma))
