"""The ways in which films from the web are spoiled, each the same to the eye at every picture size.

A film here is an array (frame, height, width, 3), RGB, float in [0, 1], with square pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from rewardkit.miniworld.truth import Quality

Film = Float[np.ndarray, "frame size size 3"]

_CONTRAST_LEFT = 0.3
_GREY = 0.65
_BLUR_SIGMA = 0.045
_NOISE_SIGMA = 0.12
_MARK_OPACITY = 0.4
_DARKENING = 0.3

_MARK = """
###.###.#.#.....
#.#..#..#.#.....
###..#...#......
#....#..#.#.....
#...###.#.#.....
................
................
................
#.#.....###.###.
#.#.....#.#..#..
.#......###..#..
#.#.....#....#..
#.#.....#...###.
................
................
................
"""


def spoil(film: Film, quality: Quality, random: np.random.Generator) -> Film:
    """The film in that quality; `random` draws the noise."""
    return _SPOILERS[quality](film, random)


def _wash_out(film: Film, random: np.random.Generator) -> Film:
    del random
    return _GREY + _CONTRAST_LEFT * (film - 0.5)


def _blur(film: Film, random: np.random.Generator) -> Film:
    """Gaussian of `_BLUR_SIGMA` picture sides; the edge is held, so that no black creeps in."""
    del random
    place = (np.arange(film.shape[1]) + 0.5) / film.shape[1]
    kernel = np.exp(-0.5 * ((place[:, None] - place) / _BLUR_SIGMA) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    return np.asarray(np.einsum("yh,fhwc,xw->fyxc", kernel, film, kernel, optimize=True))


def _watermark(film: Film, random: np.random.Generator) -> Film:
    del random
    opacity = _MARK_OPACITY * mark(film.shape[1])[:, :, None]
    return film * (1 - opacity) + opacity


def _noise(film: Film, random: np.random.Generator) -> Film:
    return film + _NOISE_SIGMA * random.standard_normal(film.shape)


def _darken(film: Film, random: np.random.Generator) -> Film:
    del random
    return film * _DARKENING


def mark(size: int) -> Float[np.ndarray, "size size"]:
    """How much of each pixel the watermark's letters cover: a 32 x 32 stencil, resized by exact areas."""
    tile = np.array([[letter == "#" for letter in line] for line in _MARK.split()], dtype=float)
    stencil = np.tile(tile, (2, 2))
    edges = np.arange(size + 1)[:, None] * len(stencil) / size
    covered = np.clip(edges - np.arange(len(stencil)), 0, 1)
    share = np.diff(covered, axis=0) * size / len(stencil)
    return np.asarray(share @ stencil @ share.T)


_SPOILERS: Mapping[Quality, Callable[[Film, np.random.Generator], Film]] = {
    "good": lambda film, random: film,
    "washed out": _wash_out,
    "blurred": _blur,
    "watermarked": _watermark,
    "noisy": _noise,
    "dark": _darken,
}
