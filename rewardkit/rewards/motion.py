"""Motion: how far things move from one frame to the next."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Shaped
from torch import Tensor

from rewardkit.pixels import coarse_luminance, smooth_root
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import TemporalReward

ROWS = 64  # of the grid on which motion is measured: steps of up to 1.5 % of the height are seen in full
CONTRAST_FLOOR = 0.02  # of luminance: a picture flatter than five grey levels has no motion to speak of
EDGE_FLOOR = 0.01  # of a frame's contrast, per cell: a smooth root


def normal_flow(coarse: Float[Tensor, "batch frame row column"]) -> Float[Tensor, " batch"]:
    """Mean displacement along the gradient, in cells a frame, each cell weighed by its squared gradient."""
    axes = (-2, -1)
    spread = smooth_root(coarse.var(axes, correction=0, keepdim=True), CONTRAST_FLOOR)
    # A frame's own mean and contrast are taken out: a change of exposure is flicker, not motion
    frames = (coarse - coarse.mean(axes, keepdim=True)) / spread
    change = (frames[:, 1:] - frames[:, :-1])[..., 1:-1, 1:-1].abs()
    between = (frames[:, 1:] + frames[:, :-1]) / 2
    down = (between[..., 2:, 1:-1] - between[..., :-2, 1:-1]) / 2
    right = (between[..., 1:-1, 2:] - between[..., 1:-1, :-2]) / 2
    gradient = down.square() + right.square()
    moved = (change * smooth_root(gradient, EDGE_FLOOR)).mean((-3, -2, -1))
    return moved / (gradient.mean((-3, -2, -1)) + EDGE_FLOOR**2)


class Motion(TemporalReward):
    """Amount of motion, in percent of the picture's height a frame: 0 is frozen, 1 lively.

    More is better here only in that a generator tuned on pictures tends to freeze: use it as a guard or with
    a small weight. A change of exposure alone does not count. Motion is underestimated beyond some 3 % a
    frame, and cuts and temporal noise count as motion. Give it consecutive frames, at least 2.

    Source: normal flow |I_t| / |grad I|, the part of the motion that brightness constancy determines, Horn &
    Schunck, "Determining optical flow", Artificial Intelligence 17, 1981; measured on 64 rows and averaged
    with weights |grad I|^2, so that flat parts do not count.
    """

    card = RewardCard(
        name="motion",
        summary="how far things move from frame to frame",
        source='normal flow, Horn & Schunck, "Determining optical flow", Artificial Intelligence 17, 1981',
        code_licence="Apache-2.0",
        score_range=(0.0, None),
        unit="percent of the picture's height a frame",
        video_level=True,
        frames="all",
    )
    takes_bytes = True

    def forward(
        self, video: Shaped[Tensor, "batch frame 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " batch"]:
        """Amount of motion in each video of at least 2 consecutive frames; prompts are not read."""
        del prompts
        coarse = coarse_luminance("motion", video, ROWS, frames=2)
        return 100 / coarse.shape[-2] * normal_flow(coarse)
