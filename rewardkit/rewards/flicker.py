"""Flicker: brightness that jitters from frame to frame, negated."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Shaped
from torch import Tensor

from rewardkit.pixels import coarse_luminance, smooth_root
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import TemporalReward

CELLS = 4  # rows of the grid: flicker is of large areas, motion of small ones
JITTER_GAIN = 6**0.5  # root of 1 + 4 + 1: independent jitter comes out this much stronger in a second difference
DARK = 0.05  # of luminance, added to a cell's brightness: black cells do not count as jittering without limit
FLOOR = 1e-4  # of luminance: keeps the root's gradient finite in a still video


class Flicker(TemporalReward):
    """Minus the jitter of brightness, in percent of the brightness: 0 is steady, -5 plainly flickers.

    It looks at second differences in time over a grid of 4 rows, so a fade or a thing that moves evenly
    through the picture costs little, and stillness is not the only way up, as it is with plain frame
    differences. Hard cuts count as flicker. Give it consecutive frames, at least 3.

    Source: intensity flicker as local fluctuation of gain, van Roosmalen, Lagendijk & Biemond, "Correction of
    intensity flicker in old film sequences", IEEE Trans. Circuits and Systems for Video Technology 9(7),
    1999. Measuring it by the second difference of cell brightness is ours.
    """

    card = RewardCard(
        name="flicker",
        summary="minus the jitter of brightness from frame to frame",
        source="flicker as local gain, van Roosmalen et al., IEEE TCSVT 9(7), 1999; by second differences (ours)",
        code_licence="Apache-2.0",
        score_range=(None, 0.0),
        unit="percent of the brightness, standard deviation",
        video_level=True,
        frames="all",
    )
    takes_bytes = True

    def forward(
        self, video: Shaped[Tensor, "batch frame 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " batch"]:
        """Minus the flicker of each video of at least 3 consecutive frames; prompts are not read."""
        del prompts
        cells = coarse_luminance("flicker", video, CELLS, frames=3)
        jitter = cells[:, 2:] - 2 * cells[:, 1:-1] + cells[:, :-2]
        strength = smooth_root(jitter.square().mean(1), FLOOR) / JITTER_GAIN
        return -100 * (strength / (cells.mean(1).abs() + DARK)).mean((-2, -1))
