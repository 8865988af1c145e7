"""The plan: which frames of which video a reward will look at, known before anything is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from rewardkit.errors import BadInputError


@dataclass(frozen=True, eq=False)
class FramePlan:
    """Which frames to decode, and for a sum of rewards which of those each reward looks at.

    Attributes:
        index: frames to decode, counted from 0 and ascending; a row is filled up with its last frame where the
            rewards of a sum need fewer frames of one video than of another.
        num_frames: length of each whole video.
        parts: one plan a reward of a sum; empty for a single reward.
    """

    index: Int[Tensor, "batch frame"]
    num_frames: Int[Tensor, " batch"]
    parts: tuple[FramePlan, ...] = field(default=())

    @classmethod
    def union(cls, parts: Sequence[FramePlan]) -> FramePlan:
        """One plan that decodes every frame that any of `parts` needs, each once."""
        rows = [torch.unique(torch.cat([p.index[row] for p in parts])) for row in range(len(parts[0].index))]
        longest = max(len(row) for row in rows)
        filled = [torch.cat([row, row[-1:].expand(longest - len(row))]) for row in rows]
        return cls(torch.stack(filled), parts[0].num_frames, tuple(parts))

    @classmethod
    def stack(cls, plans: Sequence[FramePlan]) -> FramePlan:
        """The plan of several batches of videos as one batch.

        Raises:
            BadInputError: a reward looks at more frames of one video than of another.
        """
        if plans[0].parts:
            return cls.union([cls.stack(same_part) for same_part in zip(*(p.parts for p in plans), strict=True)])
        sizes = sorted({p.index.shape[1] for p in plans})
        if len(sizes) > 1:
            raise BadInputError(
                f"these videos give between {sizes[0]} and {sizes[-1]} frames each, and a batch needs equally many: "
                "score videos of different lengths one by one, or take as many frames of each"
            )
        return cls(torch.cat([p.index for p in plans]), torch.cat([p.num_frames for p in plans]))

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames to decode, then frames of each part; videos of equal shape can share a batch."""
        return (self.index.shape[1], *(size for part in self.parts for size in part.shape))

    def to(self, device: torch.device) -> FramePlan:
        """The same plan with its tensors on `device`."""
        moved = tuple(part.to(device) for part in self.parts)
        return FramePlan(self.index.to(device), self.num_frames.to(device), moved)

    def take(
        self, video: Shaped[Tensor, "batch frame 3 height width"]
    ) -> Shaped[Tensor, "batch planned 3 height width"]:
        """The planned frames of whole videos."""
        return _gather(video, self.index.to(video.device))

    def take_part(
        self, frames: Shaped[Tensor, "batch planned 3 height width"], part: FramePlan
    ) -> Shaped[Tensor, "batch frame 3 height width"]:
        """The frames of `part` out of the planned frames."""
        return _gather(frames, torch.searchsorted(self.index, part.index).to(frames.device))

    def check(self, frames: Shaped[Tensor, "batch planned 3 height width"]) -> None:
        """Refuses frames that were not decoded after this plan."""
        if frames.shape[:2] != self.index.shape:
            raise BadInputError(
                f"the plan asks for {tuple(self.index.shape)} (videos, frames), got {tuple(frames.shape[:2])}: "
                "decode exactly plan.index, or call without a plan to give whole videos"
            )


def _gather(
    video: Shaped[Tensor, "batch frame 3 height width"], index: Int[Tensor, "batch chosen"]
) -> Shaped[Tensor, "batch chosen 3 height width"]:
    batch, frames = video.shape[:2]
    if index.shape[1] == frames and bool((index == torch.arange(frames, device=index.device)).all()):
        return video  # all frames in order: nothing to copy
    return video[torch.arange(batch, device=index.device)[:, None], index]
