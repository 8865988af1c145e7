"""Which frames of a video are looked at. Asked before anything is decoded: a sampler needs only the number of frames.

Every sampler is also a spec string: `all`, `first:4`, `every:8`, `uniform:8`, `segments:4`, `segments:4,pick=first`,
`index:0,4,-1`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Int
from pydantic import BeforeValidator, Field, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from rewardkit.errors import BadInputError
from rewardkit.spec import STRICT_FIELDS, Part, split_numbers


class FrameSampler(Part, ABC):
    """Chooses frames of one video: ascending, unique, in range."""

    kind: ClassVar[str] = "sampler"

    @abstractmethod
    def indices(self, num_frames: int, generator: torch.Generator | None = None) -> Int[Tensor, " frame"]:
        """The chosen frames of a video of `num_frames` >= 1 frames, counted from 0.

        Random samplers draw from `generator` (a CPU generator, so that every machine draws the same).

        Raises:
            BadInputError: the video is too short for what was asked.
        """


@dataclass(frozen=True, config=STRICT_FIELDS)
class All(FrameSampler):
    """Every frame."""

    name: ClassVar[str] = "all"

    def indices(self, num_frames: int, generator: torch.Generator | None = None) -> Int[Tensor, " frame"]:
        """0, 1, ..., num_frames - 1."""
        return torch.arange(num_frames, device="cpu")


@dataclass(frozen=True, config=STRICT_FIELDS)
class First(FrameSampler):
    """The first `count` frames, or all where there are fewer."""

    name: ClassVar[str] = "first"
    count: PositiveInt = 1

    def indices(self, num_frames: int, generator: torch.Generator | None = None) -> Int[Tensor, " frame"]:
        """0, 1, ..., count - 1."""
        return torch.arange(min(self.count, num_frames), device="cpu")


@dataclass(frozen=True, config=STRICT_FIELDS)
class Every(FrameSampler):
    """Frames 0, n, 2n, ..."""

    name: ClassVar[str] = "every"
    n: PositiveInt

    def indices(self, num_frames: int, generator: torch.Generator | None = None) -> Int[Tensor, " frame"]:
        """Every n-th frame from the first on."""
        return torch.arange(0, num_frames, self.n, device="cpu")


@dataclass(frozen=True, config=STRICT_FIELDS)
class Uniform(FrameSampler):
    """The middles of `count` equal stretches, or all frames where there are fewer than `count`."""

    name: ClassVar[str] = "uniform"
    count: PositiveInt

    def indices(self, num_frames: int, generator: torch.Generator | None = None) -> Int[Tensor, " frame"]:
        """floor((i + 1/2) * num_frames / count) for i = 0 ... count - 1."""
        count = min(self.count, num_frames)
        return (2 * torch.arange(count, device="cpu") + 1) * num_frames // (2 * count)


@dataclass(frozen=True, config=STRICT_FIELDS)
class Segments(FrameSampler):
    """One frame out of each of `count` segments: a random one, or its first (segmental sparse sampling, SegVR).

    Segment i is frames floor(i * t / count) up to floor((i + 1) * t / count): equal to the source where count divides
    the number of frames t, and reaching the last frame where it does not (the source never draws the remainder).
    Training draws at random; the paper's metric takes the first of each.

    Source: InstructVideo, arXiv:2312.12490, section 4.3; ali-vilab/VGen@4014d1f utils/reward/reward.py ("TSN").
    """

    name: ClassVar[str] = "segments"
    count: PositiveInt
    pick: Literal["random", "first"] = "random"

    def indices(self, num_frames: int, generator: torch.Generator | None = None) -> Int[Tensor, " frame"]:
        """One frame a segment.

        Raises:
            BadInputError: more segments than frames.
        """
        if num_frames < self.count:
            raise BadInputError(
                f"{self} needs at least {self.count} frames, this video has {num_frames}: "
                f"use segments:{num_frames} or uniform:{self.count}"
            )
        edges = torch.arange(self.count + 1, device="cpu") * num_frames // self.count
        first, length = edges[:-1], edges.diff()
        if self.pick == "first":
            return first
        draw = torch.rand(self.count, generator=generator, dtype=torch.float64, device="cpu")
        return first + (draw * length).long()


@dataclass(frozen=True, config=STRICT_FIELDS)
class Index(FrameSampler):
    """Exactly these frames; -1 is the last."""

    name: ClassVar[str] = "index"
    frames: Annotated[tuple[int, ...], BeforeValidator(split_numbers), Field(min_length=1)]

    def indices(self, num_frames: int, generator: torch.Generator | None = None) -> Int[Tensor, " frame"]:
        """The frames asked for, ascending, each once.

        Raises:
            BadInputError: one of them is not in the video.
        """
        for frame in self.frames:
            if not -num_frames <= frame < num_frames:
                raise BadInputError(f"{self} asks for frame {frame}: this video has {num_frames} frames")
        return torch.tensor(sorted({frame % num_frames for frame in self.frames}), device="cpu")


SAMPLERS: dict[str, type[FrameSampler]] = {s.name: s for s in (All, First, Every, Uniform, Segments, Index)}
