"""Pillow's bicubic resize of 8-bit pictures on any device, bit for bit: official scorers were trained behind it.

Pillow weighs pixels by whole numbers of 22 binary places, first along rows, then along columns, and rounds and clips to
8 bits after each. Source: python-pillow/Pillow, src/libImaging/Resample.c.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

PLACES = 22
SUPPORT, CURVE = 2.0, -0.5  # of the bicubic filter


def resize_by_pillow(
    images: UInt8[Tensor, "image 3 height width"], rows: int, columns: int
) -> UInt8[Tensor, "image 3 rows columns"]:
    """Bicubic as Pillow does it: by Pillow itself on the CPU, where that is the fastest; elsewhere in one batch."""
    if images.device.type != "cpu":
        return resize_like_pillow(images, rows, columns)
    if images.shape[-2:] == (rows, columns):
        return images
    pictures = images.permute(0, 2, 3, 1).contiguous().numpy()
    small = [
        np.asarray(Image.fromarray(picture).resize((columns, rows), Image.Resampling.BICUBIC)) for picture in pictures
    ]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)


def resize_like_pillow(
    images: UInt8[Tensor, "image 3 height width"], rows: int, columns: int
) -> UInt8[Tensor, "image 3 rows columns"]:
    """Pillow's arithmetic on the pictures' own device."""
    return _along(_along(images, -1, columns), -2, rows)


def _along(images: UInt8[Tensor, "image 3 height width"], axis: int, size: int) -> Tensor:
    if images.shape[axis] == size:
        return images
    places, weights = (part.to(images.device) for part in _taps(images.shape[axis], size))
    shape = [1, 1, 1, 1]
    shape[axis] = size
    total = torch.tensor(1 << (PLACES - 1), dtype=torch.int32, device=images.device)  # a half
    for place, weight in zip(places, weights, strict=True):
        total = total + images.index_select(axis, place) * weight.view(shape)
    return (total >> PLACES).clamp(0, 255).to(torch.uint8)


def _taps(before: int, after: int) -> tuple[Int[Tensor, "tap size"], Int[Tensor, "tap size"]]:
    """The pixels that each new one is made of, and their weights; those of no weight fill up."""
    scale = before / after
    stretch = max(scale, 1.0)
    centre = (torch.arange(after, dtype=torch.float64) + 0.5) * scale
    first, end = (
        (centre + way * SUPPORT * stretch + 0.5).long().clamp(0, before)[:, None] for way in (-1, 1)
    )  # long() cuts towards 0, as in C
    places = first + torch.arange(int((end - first).max()))
    away = ((places - centre[:, None] + 0.5) / stretch).abs()
    near = ((CURVE + 2) * away - (CURVE + 3)) * away * away + 1
    far = (((away - 5) * away + 8) * away - 4) * CURVE
    weights = torch.where(away < 1, near, torch.where(away < SUPPORT, far, 0.0)) * (places < end)
    weights = weights / weights.sum(dim=1, keepdim=True) * 2**PLACES
    whole = (weights + torch.where(weights < 0, -0.5, 0.5)).to(torch.int32)
    return places.clamp(max=before - 1).T, whole.T
