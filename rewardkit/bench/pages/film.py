"""Films that play in a page: animated pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from rewardkit.bench.pages.thumbnails import as_image, data_uri, read_frames, spread_over
from rewardkit.errors import RewardkitError
from rewardkit.video import VideoFile, open_video

MAX_FRAMES = 32
"""Most frames that play; of more an even choice, first and last among them, in the same time."""

_MAX_WIDTH, _SMALL = 256, 96
_QUALITY = 72
_FPS = 8.0  # of what has no clock
_MILLISECONDS = 160  # a frame of the page of a fine-tuning


@dataclass(frozen=True)
class PlayedFilm:
    """A film of the page.

    Attributes:
        uri: the animated picture.
        still: its first frame.
        width, height: in pixels of the picture.
        small: whether it has so few pixels that they are shown as they are.
        frames: which frames of the video play.
        num_frames: of the whole video.
    """

    uri: str
    still: str
    width: int
    height: int
    small: bool
    frames: tuple[int, ...]
    num_frames: int


def read_film(path: Path) -> PlayedFilm | str:
    """The video at `path` as an animated picture of at most 256 pixels width; what is wrong where it cannot be read."""
    try:
        with open_video(path) as video:
            numbers = spread_over(range(video.info.num_frames), MAX_FRAMES)
            pictures = list(_shrunk(video, numbers))
            total, fps = video.info.num_frames, video.info.fps or _FPS
    # ValueError: a path that no file system can hold, such as one with a NUL
    except (RewardkitError, OSError, ValueError) as error:
        return str(error)
    first = pictures[0]
    small = max(first.width, first.height) <= _SMALL
    uri = _animated(pictures, 1000 * total / fps / len(pictures), small)
    still = _animated(pictures[:1], 0, small)
    return PlayedFilm(uri, still, first.width, first.height, small, tuple(numbers), total)


def animation(film: UInt8[Tensor, "frame 3 height width"], milliseconds: int = _MILLISECONDS) -> str:
    """A film as an animated, lossless WebP picture that repeats for ever, as a data URI."""
    return _animated([as_image(frame) for frame in film], milliseconds, lossless=True)


def _animated(pictures: Sequence[Image.Image], milliseconds: float, lossless: bool) -> str:
    data = io.BytesIO()
    pictures[0].save(
        data,
        "WEBP",
        save_all=len(pictures) > 1,
        append_images=pictures[1:],
        duration=round(milliseconds),
        loop=0,
        lossless=lossless,
        quality=100 if lossless else _QUALITY,
    )
    return data_uri(data.getvalue(), "webp")


def _shrunk(video: VideoFile, numbers: Sequence[int]) -> Iterator[Image.Image]:
    """Those frames, none wider than the page shows."""
    for _, frame in read_frames(video, numbers):
        image = as_image(frame)
        image.thumbnail((_MAX_WIDTH, image.height), Image.Resampling.LANCZOS)  # bounds the width alone
        yield image
