"""Small pictures of the frames that were scored, read again from the video."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from rewardkit.errors import RewardkitError
from rewardkit.video import VideoFile, open_video

ItemT = TypeVar("ItemT")

MAX_PICTURES = 24
"""Most pictures a strip holds; of more scored frames it shows an even choice, first and last among them."""

_HEIGHT, _MAX_WIDTH = 96, 256
_QUALITY = 82
_BYTES_AT_ONCE = 2**28


@dataclass(frozen=True)
class Thumbnail:
    """One scored frame: its number in the video, counted from 0, and a JPEG as a data URI; size in pixels."""

    frame: int
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Strip:
    """The pictures of one video, in the order of its frames; or the problem, a sentence, and no pictures."""

    pictures: tuple[Thumbnail, ...] = ()
    problem: str | None = None


def read_strip(path: Path, frame_index: Sequence[int]) -> Strip:
    """Thumbnails of those frames of the video at `path`; a video that cannot be read gives its problem."""
    wanted = spread_over(sorted(set(frame_index)), MAX_PICTURES)
    try:
        with open_video(path) as video:
            pictures = [thumbnail(number, frame) for number, frame in read_frames(video, wanted)]
    # ValueError: a path that no file system can hold, such as one with a NUL
    except (RewardkitError, OSError, ValueError) as error:
        return Strip(problem=str(error))
    return Strip(tuple(pictures))


def read_frames(video: VideoFile, index: Sequence[int]) -> Iterator[tuple[int, UInt8[Tensor, "3 height width"]]]:
    """Number and picture of each of those frames, read a few at a time: those of a large video fill gigabytes."""
    at_once = max(1, _BYTES_AT_ONCE // (3 * video.info.height * video.info.width))
    for first in range(0, len(index), at_once):
        numbers = index[first : first + at_once]
        yield from zip(numbers, video.read(numbers), strict=True)


def thumbnail(number: int, frame: UInt8[Tensor, "3 height width"]) -> Thumbnail:
    """Frame `number` as a JPEG of at most 96 pixels height; smaller frames keep their pixels."""
    image = as_image(frame)
    small = image.height <= _HEIGHT
    image.thumbnail((_MAX_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    # few pixels show every fault of JPEG, and cost nothing
    image.save(data, "JPEG", quality=95 if small else _QUALITY, subsampling=0 if small else 2)
    return Thumbnail(number, data_uri(data.getvalue(), "jpeg"), image.width, image.height)


def as_image(frame: UInt8[Tensor, "3 height width"]) -> Image.Image:
    """The frame as Pillow has it."""
    return Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())


def data_uri(data: bytes, kind: str) -> str:
    """A picture file of that kind, such as `png`, for the page to hold in itself."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def spread_over(items: Sequence[ItemT], most: int) -> list[ItemT]:
    """At most `most` of the items, evenly chosen, first and last among them; of one the middle."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[len(items) // 2]]
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
