"""How much each scored frame counts. Spec strings: `equal`, `attenuate:1.0`, `attenuate:1.0,normalise=true`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat
from pydantic.dataclasses import dataclass
from torch import Tensor

from rewardkit.spec import STRICT_FIELDS, Part

REFERENCE_FRAMES = 16
"""Length of the clips for which InstructVideo chose its rate."""

SMALLEST_WEIGHT = 1e-30
"""exp(-rate * distance) reaches zero in float32 ninety frames out; a weight must stay positive to be normalised."""


class FrameWeights(Part, ABC):
    """Gives every scored frame a positive weight."""

    kind: ClassVar[str] = "frame weighting"

    @abstractmethod
    def weights(
        self, index: Int[Tensor, "batch frame"], num_frames: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch frame"]:
        """The weight of each frame `index` in videos of `num_frames` frames."""


@dataclass(frozen=True, config=STRICT_FIELDS)
class Equal(FrameWeights):
    """Every frame counts 1."""

    name: ClassVar[str] = "equal"

    def weights(
        self, index: Int[Tensor, "batch frame"], num_frames: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch frame"]:
        """Ones."""
        return torch.ones(index.shape, device=index.device)


@dataclass(frozen=True, config=STRICT_FIELDS)
class Attenuate(FrameWeights):
    """Weight each frame by exp(-rate * distance to the middle frame), frame t // 2 (temporally attenuated reward, TAR).

    Keeps the reward from pulling every frame towards one good still. `rate` is per frame: at 0.1 a frame ten away
    counts 0.37. Weights are not renormalised unless `normalise` (then their mean is 1, so that `mean` becomes
    sum(w * r) / sum(w)): the source's score therefore shrinks with the rate. `length_scaled` counts distance in
    sixteenths of the clip, which equals the source for its 16 frames and keeps long videos from ignoring all but a
    few frames.

    Source: InstructVideo, arXiv:2312.12490, eq. 7-8; the middle as in ali-vilab/VGen@4014d1f utils/reward/reward.py.
    """

    name: ClassVar[str] = "attenuate"
    rate: NonNegativeFloat = 1.0
    normalise: bool = False
    length_scaled: bool = False

    def weights(
        self, index: Int[Tensor, "batch frame"], num_frames: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch frame"]:
        """exp(-rate * |index - num_frames // 2|), never below 1e-30."""
        distance = (index - (num_frames // 2)[:, None]).abs().float()
        if self.length_scaled:
            distance = distance * REFERENCE_FRAMES / num_frames[:, None]
        if self.normalise:
            weights = torch.softmax(-self.rate * distance, dim=1) * index.shape[1]
        else:
            weights = torch.exp(-self.rate * distance)
        return weights.clamp_min(SMALLEST_WEIGHT)


WEIGHTS: dict[str, type[FrameWeights]] = {w.name: w for w in (Equal, Attenuate)}
