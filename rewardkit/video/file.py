"""What every reader of video files gives, whatever the format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from jaxtyping import UInt8

from rewardkit.errors import BadInputError, OverLimitError, UnreadableVideoError
from rewardkit.types import Frames

Picture = UInt8[np.ndarray, "height width 3"]
"""One frame as decoders lay it out: RGB, uint8."""


@dataclass(frozen=True)
class VideoInfo:
    """Length, rate and size of a video, as it is shown (after rotation).

    Attributes:
        num_frames: frames that decoding from the start shows.
        fps: mean frames a second; None where the format has no clock (arrays, folders of pictures).
        width, height: in stored pixels; pixels that are not square stay as they are.
    """

    num_frames: int
    fps: float | None
    width: int
    height: int


def unreadable(
    path: Path, problem: str, kind: type[UnreadableVideoError] = UnreadableVideoError
) -> UnreadableVideoError:
    """The error that says, in one sentence on one line, what is wrong with `path`."""
    return kind(f"{str(path)!r} {problem}")


def check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Refuse frames without pixels or of more than `max_pixels`, before anything that size is allocated."""
    if width <= 0 or height <= 0:
        raise unreadable(path, f"has frames of {width}x{height} pixels, or of a size over the limit of {max_pixels}")
    if width * height > max_pixels:
        raise unreadable(
            path,
            f"has frames of {width}x{height} pixels, over the limit of {max_pixels}: scale it down first",
            OverLimitError,
        )


def check_length(path: Path, num_frames: int, max_frames: int | None) -> None:
    """Refuse a video of more than `max_frames` frames."""
    if max_frames is not None and num_frames > max_frames:
        problem = f"has more than {max_frames} frames, which is the limit: cut it, or raise --max-frames"
        raise unreadable(path, problem, OverLimitError)


class FrameReader(ABC):
    """One open video, here or in another process. Use it as a context manager, from one thread at a time.

    Attributes:
        path: the file or folder.
        info: length, rate and size. Set right while frames are read, if the length that a container announces
            proves wrong.
    """

    path: Path
    info: VideoInfo

    @abstractmethod
    def read(self, index: Sequence[int]) -> Frames:
        """Exactly the frames at `index`, in that order: uint8 RGB, (len(index), 3, height, width)."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def read_planned(self, plan: Callable[[int], Sequence[int]]) -> Frames:
        """The frames that `plan` chooses of as many as there are; where fewer or more turn up, it chooses again."""
        while True:
            info = self.info
            try:
                frames = self.read(plan(info.num_frames))
            except BadInputError:
                if self.info == info:
                    raise
                continue  # the file announced other frames than it has
            if self.info == info:
                return frames

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class VideoFile(FrameReader):
    """A video that is read here."""

    def read(self, index: Sequence[int]) -> Frames:
        """Exactly the frames at `index`, in that order: uint8 RGB, (len(index), 3, height, width).

        `index` counts from 0; it need not be sorted and may repeat. Each frame is decoded once and only these
        frames are held. Raises UnreadableVideoError for a frame that is not there or cannot be decoded.
        """
        self._check(index)
        out = np.empty((len(index), 3, self.info.height, self.info.width), dtype=np.uint8)
        places: dict[int, list[int]] = {}
        for place, number in enumerate(index):
            places.setdefault(number, []).append(place)
        for number, picture in self._pictures(sorted(places)):
            if picture.shape != (self.info.height, self.info.width, 3):
                height, width = picture.shape[:2]
                expected = f"{self.info.width}x{self.info.height}"
                raise unreadable(self.path, f"changes its size from {expected} to {width}x{height} at frame {number}")
            for place in places[number]:
                # by numpy: torch would start threads of its own, which fight with those of other files
                out[place] = picture.transpose(2, 0, 1)
        return torch.from_numpy(out)

    def _check(self, index: Sequence[int]) -> None:
        wrong = [number for number in index if not 0 <= number < self.info.num_frames]
        if wrong:
            raise unreadable(self.path, f"has no frame {wrong[0]}: it has {self.info.num_frames}, counted from 0")

    @abstractmethod
    def _pictures(self, wanted: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """Number and picture of each wanted frame. `wanted` is sorted, without repeats, and in range.

        A number given twice counts with its last picture.
        """
