"""What a film of the mini world truly shows, found by image analysis alone: no model has a say in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from rewardkit.errors import BadInputError
from rewardkit.miniworld.renderer import coverage
from rewardkit.miniworld.spoiling import mark
from rewardkit.miniworld.truth import COLOURS, DIRECTIONS, DISTANCE, RGB, SHAPES, Colour, Direction, Shape, Speed, Truth

Picture = Float[np.ndarray, "size size"]
_BETWEEN_SPEEDS = sum(DISTANCE.values()) / 2
_NEIGHBOURHOOD = 5  # pixels of 32, over which the watermark's surroundings are averaged


@dataclass(frozen=True)
class Measured:
    """What was seen in a film.

    Attributes:
        colour: whose tone the coloured pixels are nearest to.
        shape: whose outline fits the coloured pixels best.
        direction: of the way from first frame to last.
        speed: which of the two the way's length is nearer to.
        distance: length of that way, in picture sides.
        sharpness: the steepest edges, as a share of the shape's contrast; a sharp picture has about 0.5 a pixel.
        watermark: how opaque the watermark is, 0 to 1; 0.4 in a film that was spoiled by it.
    """

    colour: Colour
    shape: Shape
    direction: Direction
    speed: Speed
    distance: float
    sharpness: float
    watermark: float

    def agrees(self, truth: Truth) -> bool:
        """Whether colour and direction are as a prompt asks for."""
        return (self.colour, self.direction) == (truth.colour, truth.direction)


def measure(film: Float[Tensor, "frame 3 size size"]) -> Measured:
    """Measures one film: RGB in [0, 1], square pictures.

    Raises:
        BadInputError: another shape, or a single frame.
    """
    if film.ndim != 4 or film.shape[0] < 2 or film.shape[1] != 3 or film.shape[2] != film.shape[3]:
        raise BadInputError(f"a film is (frame, 3, size, size) with 2 frames or more: got {tuple(film.shape)}")
    pixels = film.detach().to("cpu", torch.float64).permute(0, 2, 3, 1).numpy()
    chroma = pixels - pixels.mean(axis=-1, keepdims=True)
    chroma = chroma - np.median(chroma, axis=(1, 2), keepdims=True)  # the background has a tinge of its own
    strength = np.linalg.norm(chroma, axis=-1)
    strength = np.maximum(strength - 0.25 * strength.max(axis=(1, 2), keepdims=True), 0)
    places = np.stack([_centre(picture) for picture in strength])
    way = _way(places)
    angle = math.atan2(way[1], way[0])
    return Measured(
        _colour(chroma, strength),
        _shape(strength, places),
        DIRECTIONS[round(angle / (math.pi / 4)) % len(DIRECTIONS)],
        "slowly" if np.hypot(*way) < _BETWEEN_SPEEDS else "quickly",
        float(np.hypot(*way)),
        _sharpness(pixels),
        _watermark(pixels),
    )


def _centre(strength: Picture) -> NDArray[np.float64]:
    """Centre of mass as (x, y) in picture sides."""
    place = (np.arange(len(strength)) + 0.5) / len(strength)
    total = strength.sum() + 1e-12
    return np.asarray([(strength.sum(axis=0) * place).sum() / total, (strength.sum(axis=1) * place).sum() / total])


def _way(places: Float[np.ndarray, "frame 2"]) -> NDArray[np.float64]:
    """From first frame to last, along the straight line that fits all of them."""
    time = np.linspace(-0.5, 0.5, len(places))
    return np.asarray(time @ places / (time @ time))


def _colour(chroma: NDArray[np.float64], strength: NDArray[np.float64]) -> Colour:
    seen = (chroma * strength[..., None]).sum(axis=(0, 1, 2))
    tones = np.array([RGB[colour] for colour in COLOURS])
    tones = tones - tones.mean(axis=1, keepdims=True)
    tones /= np.linalg.norm(tones, axis=1, keepdims=True)
    return COLOURS[int((tones @ seen).argmax())]


def _shape(strength: NDArray[np.float64], places: NDArray[np.float64]) -> Shape:
    """By correlation, averaged over frames."""
    fits = []
    for shape in SHAPES:
        outline = coverage(shape, places, strength.shape[1])
        fits.append(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(outline, strength, strict=True)]))
    return SHAPES[int(np.nan_to_num(fits, nan=-1).argmax())]


def _sharpness(pixels: NDArray[np.float64]) -> float:
    steps = np.abs(np.diff(pixels, axis=2)).max(axis=-1)
    span = np.ptp(pixels, axis=(1, 2)).max(axis=-1) + 1e-12
    return float(np.mean(np.quantile(steps, 0.98, axis=(1, 2)) / span))


def _watermark(pixels: NDArray[np.float64]) -> float:
    """The opacity that explains best how the still picture departs from its neighbourhood."""
    still = np.median(pixels, axis=0).mean(axis=-1)
    stencil = mark(len(still)) * (1 - _smoothed(still))
    pattern, found = stencil - _smoothed(stencil), still - _smoothed(still)
    return float(np.clip((pattern * found).sum() / (pattern**2).sum(), 0, 1))


def _smoothed(picture: Picture) -> Picture:
    width = max(1, round(_NEIGHBOURHOOD * len(picture) / 32) // 2)
    padded = np.pad(picture, width, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * width + 1, 2 * width + 1))
    return np.asarray(windows.mean(axis=(-2, -1)))
