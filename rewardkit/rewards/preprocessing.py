"""From pictures of any size to what a model reads: bit-equal to the official code, or with gradient.

Official scorers resize a uint8 picture with Pillow, which stops gradients. `exact` does the same; `diff` resizes the
float picture with the same filter. They differ by a quarter of a grey level on average, since Pillow rounds and clips
after each of its two passes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from rewardkit.errors import BadInputError
from rewardkit.pixels import as_float, check_images
from rewardkit.rewards.gradient import refuse_gradient, wants_gradient
from rewardkit.rewards.pillow import resize_by_pillow

Way = Literal["exact", "diff"]
Mode = Literal["auto", "exact", "diff"]


class Colours(NamedTuple):
    """Mean and standard deviation of the channels that a model was trained with."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CLIP_COLOURS = Colours((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET_COLOURS = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SIGLIP_COLOURS = Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Fit(ABC):
    """How a picture is brought to the size that a model reads."""

    @abstractmethod
    def exact(self, images: UInt8[Tensor, "image 3 height width"]) -> Tensor:
        """As the official code does, uint8 or float in [0, 1]."""

    @abstractmethod
    def diff(self, images: Float[Tensor, "image 3 height width"]) -> Tensor:
        """The same with gradient, float in [0, 1]."""


@dataclass(frozen=True)
class Crop(Fit):
    """The shorter side to `size`, then the middle square.

    The libraries round differently where the border is odd: torchvision (OpenAI CLIP, ImageReward, BLIP) to the even
    number, transformers (PickScore, MPS) down. For 320x576 that is one row of pixels.
    """

    size: int = 224
    offset: Literal["torchvision", "transformers"] = "torchvision"

    def exact(self, images: UInt8[Tensor, "image 3 height width"]) -> Tensor:
        """By Pillow."""
        return self._middle(resize_by_pillow(images, *self._resized(images)))

    def diff(self, images: Float[Tensor, "image 3 height width"]) -> Tensor:
        """By antialiased interpolation."""
        return self._middle(resize(images, *self._resized(images)))

    def _resized(self, images: Tensor) -> tuple[int, int]:
        height, width = images.shape[-2:]
        longer = int(self.size * max(height, width) / min(height, width))
        return (longer, self.size) if height >= width else (self.size, longer)

    def _middle(self, images: Tensor) -> Tensor:
        over = [side - self.size for side in images.shape[-2:]]
        top, left = (round(by / 2) if self.offset == "torchvision" else by // 2 for by in over)
        return images[..., top : top + self.size, left : left + self.size]


@dataclass(frozen=True)
class CropUnclamped(Fit):
    """The shorter side to `size`, then the middle square: what T2V-Turbo does, on float pixels in both modes.

    Source: Ji4chenLi/t2v-turbo, reward_fn/reward_fn.py, ResizeCropMinSize; there the square is drawn at random, and a
    picture whose shorter side is `size` already is not cropped.
    """

    size: int = 224

    def exact(self, images: UInt8[Tensor, "image 3 height width"]) -> Tensor:
        """The official arithmetic, from pixels rounded to 8 bits."""
        return self.diff(images.float() / 255)

    def diff(self, images: Float[Tensor, "image 3 height width"]) -> Tensor:
        """The same without rounding."""
        scale = self.size / min(images.shape[-2:])
        if scale != 1:
            rows, columns = (round(side * scale) for side in images.shape[-2:])
            images = F.interpolate(images, (rows, columns), mode="bicubic", antialias=True)
        top, left = (round((side - self.size) / 2) for side in images.shape[-2:])
        return images[..., top : top + self.size, left : left + self.size]


@dataclass(frozen=True)
class Squash(Fit):
    """Both sides to `size`, whatever the shape."""

    size: int

    def exact(self, images: UInt8[Tensor, "image 3 height width"]) -> Tensor:
        """By Pillow."""
        return resize_by_pillow(images, self.size, self.size)

    def diff(self, images: Float[Tensor, "image 3 height width"]) -> Tensor:
        """By antialiased interpolation."""
        return resize(images, self.size, self.size)


@dataclass(frozen=True)
class PadToSquare(Fit):
    """The longer side to `size`, black around the rest: what HPSv2 does, on float pixels in both modes.

    `antialias=False` is what torchvision before 0.17 did, and with it the numbers of the paper.

    Source: tgxs002/HPSv2, hpsv2/src/open_clip/transform.py, ResizeMaxSize. There a picture whose longer side is `size`
    already is not padded and crashes; here it is.
    """

    size: int = 224
    antialias: bool = True

    def exact(self, images: UInt8[Tensor, "image 3 height width"]) -> Tensor:
        """The official arithmetic, from pixels rounded to 8 bits."""
        return self.diff(images.float() / 255)

    def diff(self, images: Float[Tensor, "image 3 height width"]) -> Tensor:
        """The same without rounding."""
        height, width = images.shape[-2:]
        scale = self.size / max(height, width)
        rows, columns = round(height * scale), round(width * scale)
        if not (rows and columns):
            raise BadInputError(
                f"a picture of {width}x{height} has no pixel left once its longer side is {self.size}: crop it first"
            )
        if scale != 1:
            images = F.interpolate(images, (rows, columns), mode="bicubic", antialias=self.antialias)
        top, left = (self.size - rows) // 2, (self.size - columns) // 2
        return F.pad(images, (left, self.size - columns - left, top, self.size - rows - top))


@dataclass(frozen=True)
class Native(Fit):
    """The picture at its own size."""

    def exact(self, images: UInt8[Tensor, "image 3 height width"]) -> Tensor:
        """As it is."""
        return images

    def diff(self, images: Float[Tensor, "image 3 height width"]) -> Tensor:
        """As it is."""
        return images


@dataclass(frozen=True)
class Preprocessing:
    """Pictures to model input: fitted, then normalised by the model's colours.

    `auto` is `diff` where the pixels ask for a gradient, else `exact`.
    """

    fit: Fit
    colours: Colours = CLIP_COLOURS
    mode: Mode = "auto"

    def used_for(self, pixels: Tensor) -> Way:
        """Which of the two these pixels go through."""
        if self.mode != "auto":
            return self.mode
        return "diff" if wants_gradient(pixels) else "exact"

    def __call__(
        self, who: str, images: Shaped[Tensor, "image 3 height width"]
    ) -> Float[Tensor, "image 3 rows columns"]:
        """The pictures, float in [0, 1] or uint8, as `who` reads them.

        Raises:
            BadInputError: not pictures, or a gradient is asked for in mode `exact`.
        """
        check_images(who, images)
        if self.used_for(images) == "diff":
            fitted = self.fit.diff(as_float(images))
        else:
            refuse_gradient(f"{who} with preprocess=exact", images)
            fitted = self.fit.exact(images if images.dtype == torch.uint8 else as_bytes(as_float(images)))
        fitted = as_float(fitted).to(images.device, torch.promote_types(images.dtype, torch.float32))
        mean, std = (fitted.new_tensor(values).view(3, 1, 1) for values in self.colours)
        return (fitted - mean) / std


def as_bytes(pixels: Float[Tensor, "*any 3 height width"]) -> UInt8[Tensor, "*any 3 height width"]:
    """Pixels in [0, 1] rounded to 8 bits, as if they had been saved and read again."""
    return (pixels.detach() * 255).round().clamp(0, 255).to(torch.uint8)


def resize(images: Float[Tensor, "image 3 height width"], rows: int, columns: int) -> Tensor:
    """Bicubic, antialiased, clamped to [0, 1] as 8-bit pictures are."""
    if images.shape[-2:] == (rows, columns):
        return images
    return F.interpolate(images, (rows, columns), mode="bicubic", antialias=True).clamp(0, 1)
