"""Draws films of the mini world from their truth: one coloured shape that moves over a quiet background."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from rewardkit.errors import UsageError
from rewardkit.miniworld.spoiling import spoil
from rewardkit.miniworld.truth import RGB, Shape, Truth

_RADIUS = 0.2
_STRAY = 0.25  # of the room that the way leaves
_MARGIN = 0.03  # one pixel of 32: keeps smooth edges, too, off the border
_LAYOUT, _NOISE = 0, 1  # independent random streams, so that one seed places a shape alike in every quality


def draw(truth: Truth, num_frames: int = 8, size: int = 32, seed: int = 0) -> Float[Tensor, "frame 3 height width"]:
    """A film that shows `truth`: RGB, float32 in [0, 1], `size` pixels wide and high.

    The seed chooses background and place. Films of one seed share both, whatever their colour, shape or
    quality, and look alike at every size (noise is per pixel). Values are multiples of 1/255, as a file would
    hold them: this also makes films equal on all machines, whose cosines differ in the last bit.

    Raises:
        UsageError: no frames, or a picture below 8 pixels.
    """
    if num_frames < 1 or size < 8:
        raise UsageError(f"a film needs at least 1 frame of 8 pixels: got {num_frames} frames of {size}")
    background = _background(size, np.random.default_rng([seed, _LAYOUT]))
    cover = coverage(truth.shape, centres(truth, num_frames, seed), size)[..., None]
    film = background * (1 - cover) + np.array(RGB[truth.colour]) * cover
    film = spoil(film, truth.quality, np.random.default_rng([seed, _NOISE]))
    levels = np.rint(np.clip(film, 0, 1) * 255).astype(np.uint8)
    return torch.from_numpy(levels).permute(0, 3, 1, 2).contiguous().float() / 255


def centres(truth: Truth, num_frames: int = 8, seed: int = 0) -> Float[np.ndarray, "frame 2"]:
    """Where the shape's centre of mass is in each frame: (x, y) from the upper left, in picture sides.

    The whole way, from first to last frame, lies so that the shape never leaves the picture. It begins at the side
    that the shape moves away from, give or take `_STRAY`, and anywhere across: so a still picture, too, tells
    something of the direction, as it does in films of people.
    """
    way = np.array(truth.velocity)
    nearest = _RADIUS + _MARGIN
    room = 1 - 2 * nearest - np.abs(way)
    free = np.random.default_rng([seed, _LAYOUT]).random(2)
    along = way / np.hypot(*way)
    free = np.where(along > 0.1, free * _STRAY, np.where(along < -0.1, 1 - free * _STRAY, free))
    start = nearest + free * room + np.maximum(-way, 0)
    return np.asarray(start + np.linspace(0, 1, num_frames)[:, None] * way)


def _background(size: int, random: np.random.Generator) -> Float[np.ndarray, "size size 3"]:
    """A dim, almost grey tone, plain or with a gentle pattern of three soft waves that does not move."""
    random.random(2)  # the start, which `centres` reads from the same stream
    tone = random.uniform(0.15, 0.4) + random.uniform(-0.03, 0.03, size=3)
    depth = 0.04 * random.integers(2)
    place = (np.arange(size) + 0.5) / size
    waves = np.zeros((size, size))
    for _ in range(3):
        across, down, phase = *random.integers(1, 5, size=2), random.uniform(0, 2 * math.pi)
        waves += np.cos(2 * math.pi * (across * place + down * place[:, None]) + phase)
    return np.asarray(tone + depth / 3 * waves[:, :, None])


def coverage(shape: Shape, places: Float[np.ndarray, "frame 2"], size: int) -> Float[np.ndarray, "frame size size"]:
    """How much of each pixel the shape covers, from the distance of its middle to the shape's edge."""
    place = (np.arange(size) + 0.5) / size
    x = (place[None, None, :] - places[:, 0, None, None]) / _RADIUS
    y = (place[None, :, None] - places[:, 1, None, None]) / _RADIUS
    return np.clip(0.5 - _distance(shape, x, y) * _RADIUS * size, 0, 1)


def _distance(shape: Shape, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance to the edge of a shape that fills the unit circle round its centre; negative inside."""
    if shape == "circle":
        return np.asarray(np.hypot(x, y) - 1)
    if shape == "ring":
        return np.asarray(np.abs(np.hypot(x, y) - 0.76) - 0.24)
    return _polygon_distance(_CORNERS[shape], x, y)


def _polygon_distance(
    corners: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Signed distance to a polygon.

    Source: Inigo Quilez, "2D distance functions", sdPolygon (iquilezles.org/articles/distfunctions2d).
    """
    nearest = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf)
    inside = np.zeros(nearest.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        edge_x, edge_y, from_x, from_y = bx - ax, by - ay, x - ax, y - ay
        along = np.clip((from_x * edge_x + from_y * edge_y) / (edge_x**2 + edge_y**2), 0, 1)
        nearest = np.minimum(nearest, (from_x - edge_x * along) ** 2 + (from_y - edge_y * along) ** 2)
        crosses = (ay > y) != (by > y)
        inside ^= crosses & ((edge_x * from_y < edge_y * from_x) == (edge_y > 0))
    return np.asarray(np.where(inside, -1, 1) * np.sqrt(nearest))


def _on_circle(count: int, radii: tuple[float, ...]) -> NDArray[np.float64]:
    angle = np.arange(count) * 2 * math.pi / count
    radius = np.resize(radii, count)
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], axis=1)


_ARM, _TIP = 0.32, 0.92
_CORNERS = {
    "square": np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.75,
    "triangle": _on_circle(3, (1.0,)),
    "star": _on_circle(10, (1.0, 0.42)),
    "cross": np.array(
        [
            [_ARM, _TIP], [_ARM, _ARM], [_TIP, _ARM], [_TIP, -_ARM], [_ARM, -_ARM], [_ARM, -_TIP],
            [-_ARM, -_TIP], [-_ARM, -_ARM], [-_TIP, -_ARM], [-_TIP, _ARM], [-_ARM, _ARM], [-_ARM, _TIP],
        ]
    ),
}  # fmt: skip
