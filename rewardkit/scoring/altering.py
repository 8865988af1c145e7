"""Videos scored otherwise than they are: other frames in their places, or spoiled pictures. Nothing is written."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Int
from torch import Tensor

from rewardkit.types import Frames


class Alteration(ABC):
    """A change between decoding and scoring; only the planned frames are decoded and changed.

    Attributes:
        spec: what is done, with its settings; rows made with different specs do not belong in one file.
    """

    spec: str

    def order(self, num_frames: int) -> Int[Tensor, " frame"]:
        """Which frame of the video stands at each place; each at its own where this is not overridden."""
        return torch.arange(num_frames)

    @abstractmethod
    def pictures(self, frames: Frames) -> Frames:
        """The frames, uint8, changed; as many, all of one size."""
