"""Pixel arithmetic that several rewards share: checked input, luminance, opponent colour, coarse pictures.

Pixels are RGB in [0, 1] as stored (gamma-coded), not linear light: all measures here were published for
stored values.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from rewardkit.errors import BadInputError

RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Shares of the primaries in luminance, ITU-R BT.601."""

FRAMES_AT_ONCE = 8


def as_float(pixels: Tensor) -> Tensor:
    """Pixels as float32 in [0, 1], or float64 where they already are.

    uint8 is divided by 255; float16 and bfloat16 are widened, because sums over a picture need more than 11
    bits.

    Raises:
        BadInputError: the pixels are of another type.
    """
    if pixels.dtype in (torch.float32, torch.float64):
        return pixels
    if pixels.dtype in (torch.float16, torch.bfloat16):
        return pixels.float()
    if pixels.dtype == torch.uint8:
        return pixels.float() / 255
    raise BadInputError(f"pixels need to be uint8 or float in [0, 1]: these are {pixels.dtype}")


def as_images(who: str, images: Shaped[Tensor, "image 3 height width"], least: int = 1) -> Tensor:
    """`images` as float, checked: four axes, three channels, at least `least` pixels high and wide.

    Raises:
        BadInputError: with `who` needs them in the sentence.
    """
    check_images(who, images, least)
    return as_float(images)


def check_images(who: str, images: Shaped[Tensor, "image 3 height width"], least: int = 1) -> None:
    """Refuses what is not pictures; see `as_images`."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise BadInputError(f"{who} needs pictures of shape (image, 3, height, width): got {tuple(images.shape)}")
    _check_size(who, images, least)


def _check_size(who: str, pixels: Tensor, least: int) -> None:
    height, width = pixels.shape[-2:]
    if min(height, width) < least:
        raise BadInputError(f"{who} needs at least {least}x{least} pixels: these are {width}x{height}")


def luminance(pixels: Float[Tensor, "*any 3 height width"]) -> Float[Tensor, "*any height width"]:
    """How bright each pixel is, in [0, 1]: the luma of ITU-R BT.601."""
    red, green, blue = pixels.unbind(-3)
    return RED * red + GREEN * green + BLUE * blue


def opponents(pixels: Float[Tensor, "*any 3 height width"]) -> tuple[Tensor, Tensor]:
    """Red against green, and yellow against blue, each in [-1, 1] and zero for grey."""
    red, green, blue = pixels.unbind(-3)
    return red - green, (red + green) / 2 - blue


def smooth_root(square: Tensor, floor: float) -> Tensor:
    """sqrt(square + floor^2): a root whose gradient stays finite at zero. `floor` is in the root's unit."""
    return torch.sqrt(square + floor * floor)


def coarse_luminance(
    who: str, video: Shaped[Tensor, "batch frame 3 height width"], rows: int, frames: int
) -> Float[Tensor, "batch frame row column"]:
    """Luminance averaged over cells: `rows` rows (fewer where the video has fewer), as square as they come.

    On so coarse a grid motion is small against the structures that move, codec noise averages out, and
    256x256 and 1080p give like numbers. A uint8 video is shrunk a few frames at a time and never stands in memory
    as float.

    Raises:
        BadInputError: with `who` needs it in the sentence: not a video, fewer than `frames` frames, below 4x4 pixels.
    """
    if video.ndim != 5 or video.shape[2] != 3:
        raise BadInputError(f"{who} needs video of shape (batch, frame, 3, height, width): got {tuple(video.shape)}")
    if video.shape[1] < frames:
        raise BadInputError(f"{who} needs at least {frames} frames: this video has {video.shape[1]}")
    _check_size(who, video, 4)
    height, width = video.shape[-2:]
    rows = min(rows, height)
    columns = min(max(1, round(rows * width / height)), width)
    chunks = torch.split(video, FRAMES_AT_ONCE, dim=1) if video.dtype == torch.uint8 else [video]
    small = [F.adaptive_avg_pool2d(luminance(as_float(chunk)), (rows, columns)) for chunk in chunks]
    return torch.cat(small, dim=1)
