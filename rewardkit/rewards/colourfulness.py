"""Colourfulness: how vivid and varied the colours are."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from rewardkit.pixels import as_images, opponents, smooth_root
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward

FLOOR = 1e-3  # a quarter of a grey level: keeps the roots' gradients finite in a grey picture


class Colourfulness(ImageReward):
    """Colourfulness on the paper's scale: 15 slightly, 33 moderately, 45 averagely, 59 quite, 82 highly colourful.

    A grey picture scores 0.3. Noise with its own draw per channel raises it, as does over-saturation: weigh
    it against other rewards when optimising.

    Source: Hasler & Suesstrunk, "Measuring colourfulness in natural images", Human Vision and Electronic
    Imaging VIII, SPIE 5007, 2003: the metric M3 of the opponent colours rg = R - G and yb = (R + G) / 2 - B,
    0 to 255.
    """

    card = RewardCard(
        name="colourfulness",
        summary="how vivid and varied the colours are",
        source='Hasler & Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007, 2003',
        code_licence="Apache-2.0",
        score_range=(0.0, None),
        unit="the paper's scale: 15 slightly, 45 averagely, 82 highly colourful",
    )

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """Colourfulness of each picture, of any size; prompts are not read."""
        del prompts
        red_green, yellow_blue = opponents(as_images("colourfulness", images))
        axes = (-2, -1)
        spread = red_green.var(axes, correction=0) + yellow_blue.var(axes, correction=0)
        offset = red_green.mean(axes) ** 2 + yellow_blue.mean(axes) ** 2
        return 255 * (smooth_root(spread, FLOOR) + 0.3 * smooth_root(offset, FLOOR))
