"""Smoothness: how well each frame lies between its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Shaped
from torch import Tensor

from rewardkit.pixels import coarse_luminance, smooth_root
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import TemporalReward

ROWS = 16  # of the grid: coarse, so that a moving edge is a ramp that two neighbours can predict
FLOOR = 0.002  # of luminance: changes below half a grey level count as stillness, not as judder
ROOT_FLOOR = 1e-4  # of luminance: keeps the residual's gradient finite where motion is perfect


class Smoothness(TemporalReward):
    """Minus the share of the change between frames that their neighbours do not explain, in [-1, 0].

    0 is even motion or stillness, -0.4 to -0.7 lively footage, -0.87 unrelated frames, -1 every other frame held.
    The residual is set against the change itself, both summed over time: slowing down or holding still for a while is
    not the way up, even motion is. Cuts and temporal noise count as judder. Give it consecutive frames, at least 3.

    Source: motion smoothness of VBench, Huang et al., CVPR 2024, arXiv:2311.17982, which drops frames and compares them
    with interpolated ones. Ours interpolates by the mean of the two neighbours on 16 rows, without a network, and
    divides by the change.
    """

    card = RewardCard(
        name="smoothness",
        summary="minus the share of change that neighbouring frames do not explain",
        source="idea of VBench motion smoothness, Huang et al., CVPR 2024, arXiv:2311.17982; linear interpolation",
        code_licence="Apache-2.0",
        score_range=(-1.0, 0.0),
        unit="share of the change between frames",
        video_level=True,
        frames="all",
    )
    takes_bytes = True

    def forward(
        self, video: Shaped[Tensor, "batch frame 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " batch"]:
        """Minus the judder of each video of at least 3 consecutive frames; prompts are not read."""
        del prompts
        coarse = coarse_luminance("smoothness", video, ROWS, frames=3)
        change = coarse[:, 1:] - coarse[:, :-1]
        size = smooth_root(change.square().mean((-2, -1)), FLOOR)
        # Twice the distance of a frame from the mean of its neighbours is how much the change itself changes
        turn = smooth_root((change[:, 1:] - change[:, :-1]).square().mean((-2, -1)), ROOT_FLOOR)
        return -turn.sum(1) / (size[:, 1:] + size[:, :-1]).sum(1)
