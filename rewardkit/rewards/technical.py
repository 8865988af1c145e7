"""Technical quality: sharpness, noise, contrast, exposure and blockiness in one bounded score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rewardkit.pixels import as_images, luminance
from rewardkit.rewards.blockiness import LEAST, grid_strength
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.contrast import rms_contrast
from rewardkit.rewards.exposure import well_exposedness
from rewardkit.rewards.interface import ImageReward
from rewardkit.rewards.noise import QUIET, noise_level
from rewardkit.rewards.sharpness import edge_sharpness

CELL = 4  # pixels: contrast is taken between cells, so that noise and fine texture do not pass for it


class Curve(NamedTuple):
    """How a measure becomes a part of the score: weight * sigmoid((measure - centre) / width)."""

    centre: float
    width: float
    weight: float


# Written by `python benchmarks/calibrate_technical.py`; clips, versions and commit: its results/ file
CURVES = {
    "sharpness": Curve(0.365, 0.309, 0.34),
    "noise": Curve(-2.056, 1.059, 0.1),
    "contrast": Curve(-2.645, 0.733, 0.19),
    "exposure": Curve(0.524, 0.362, 0.1),
    "blockiness": Curve(-0.496, 0.412, 0.27),
}


def measures(luma: Float[Tensor, "image height width"]) -> dict[str, Tensor]:
    """The five measures, one number a picture each, higher is better, on scales where equal steps look about equal."""
    noise = noise_level(luma)
    cells = F.avg_pool2d(luma.unsqueeze(1), CELL).squeeze(
        1
    )  # contrast of cells: noise and fine texture do not add to it
    return {
        "sharpness": edge_sharpness(luma, noise),
        "noise": -torch.log(noise + QUIET),
        "contrast": torch.log(rms_contrast(cells)),
        "exposure": well_exposedness(luma),
        "blockiness": -grid_strength(luma),
    }


class Technical(ImageReward):
    """Technical quality in (0, 1): falls with blur, noise, JPEG, low contrast and darkening. The embedded default.

    Clean footage scores 0.72 to 0.78, with one defect at its plainest 0.55 to 0.65. Five measures, each on its own
    S-shaped curve, so that none can be driven without limit and all keep a gradient: sharpness with noise taken off
    (0.34 of the score), blockiness (0.27), log contrast (0.19), exposure (0.1), log noise (0.1). `parts` gives the five
    summands. It says nothing of content, beauty or motion. At least 16x16 pixels, at the picture's own resolution.

    Measured: benchmarks/results/technical_truth.json. Very mild blur (sigma 0.5 pixels) of pictures that are all
    grass or fur can score higher, since the same pixels could be noise. Optimised without restraint it over-sharpens:
    +0.07 after 100 steps of Adam on the pixels themselves.

    Source: the measures as their own rewards name them (Crete 2007, Immerkaer 1996, Peli 1990, Mertens 2007,
    Wang 2002); the combination is ours, its constants fitted by benchmarks/calibrate_technical.py.
    """

    card = RewardCard(
        name="technical",
        summary="sharpness, noise, contrast, exposure and blockiness in one bounded score",
        source="sharpness, noise, contrast, exposure, blockiness as their cards say; combination ours, fitted by "
        "benchmarks/calibrate_technical.py",
        code_licence="Apache-2.0",
        score_range=(0.0, 1.0),
        unit="0 spoiled in every way, 0.75 average clean footage",
    )

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """The score of each picture of at least 16x16 pixels; prompts are not read."""
        del prompts
        return torch.stack(list(self.parts(images).values())).sum(0)

    def parts(self, images: Float[Tensor, "image 3 height width"]) -> dict[str, Tensor]:
        """What each measure adds to the score, between 0 and its weight: says why a picture scores as it does."""
        measured = measures(luminance(as_images("technical", images, least=LEAST)))
        return {
            name: curve.weight * torch.sigmoid((measured[name] - curve.centre) / curve.width)
            for name, curve in CURVES.items()
        }
