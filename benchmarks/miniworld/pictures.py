"""Single pictures of the mini world as training data for its rewards: the right one, a wrong one, and both damaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from films import FRAMES, SIZE
from jaxtyping import Float
from numpy.typing import NDArray

from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.spoiling import spoil
from rewardkit.miniworld.truth import COLOURS, QUALITIES, SHAPES, Truth, sample_truths

Pictures = Float[np.ndarray, "picture size size 3"]
Change = Callable[[Pictures, np.random.Generator], Pictures]


class Twins(NamedTuple):
    """Films that differ in colour or in shape, and are alike in all else.

    Attributes:
        right, wrong: (film, frame, size, size, 3) as uint8.
        right_truths, wrong_truths: what they show.
    """

    right: NDArray[np.uint8]
    wrong: NDArray[np.uint8]
    right_truths: list[Truth]
    wrong_truths: list[Truth]


def draw_twins(count: int, seed: int) -> Twins:
    """`count` good films, each with a twin that has another colour or another shape."""
    random = np.random.default_rng([seed, 1])
    rights = [dataclasses.replace(truth, quality="good") for truth in sample_truths(count, seed)]
    wrongs = [another(truth, random) for truth in rights]
    return Twins(_films(rights, seed), _films(wrongs, seed), rights, wrongs)


def another(truth: Truth, random: np.random.Generator) -> Truth:
    """The same with another colour or another shape."""
    if random.random() < 0.3:  # colours are learned sooner than shapes
        return dataclasses.replace(truth, colour=random.choice([word for word in COLOURS if word != truth.colour]))
    return dataclasses.replace(truth, shape=random.choice([word for word in SHAPES if word != truth.shape]))


def _films(truths: list[Truth], seed: int) -> NDArray[np.uint8]:
    drawn = [(draw(truth, FRAMES, SIZE, seed * 10**6 + n) * 255).round().byte() for n, truth in enumerate(truths)]
    return torch.stack(drawn).permute(0, 1, 3, 4, 2).contiguous().numpy()


def _soft(pictures: Pictures, random: np.random.Generator) -> Pictures:
    """As an autoencoder leaves them: fine edges lost."""
    del random
    around = np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (around[:, :-2] + 2 * around[:, 1:-1] + around[:, 2:]) / 4
    return np.asarray((rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4)


def _harsh(pictures: Pictures, random: np.random.Generator) -> Pictures:
    """Edges drawn too hard."""
    return 2 * pictures - _soft(pictures, random)


def _glaring(pictures: Pictures, random: np.random.Generator) -> Pictures:
    """Too much contrast."""
    del random
    return 1.5 * pictures - 0.1


def _blotched(pictures: Pictures, random: np.random.Generator) -> Pictures:
    """Soft spots of colour, as wide as an autoencoder's latents."""
    coarse = random.standard_normal((len(pictures), SIZE // 4, SIZE // 4, 3))
    return pictures + 0.08 * _soft(coarse.repeat(4, axis=1).repeat(4, axis=2), random)


def _spoiling(quality: str) -> Change:
    return lambda pictures, random: spoil(pictures, quality, random)  # type: ignore[arg-type]


CHANGES: dict[str, tuple[Change, float, float]] = {
    **{quality: (_spoiling(quality), 1.0, 3.0 if quality == "blurred" else 1.0) for quality in QUALITIES[1:]},
    "soft": (_soft, 0.5, 2.0),
    "harsh": (_harsh, 0.5, 1.0),
    "glaring": (_glaring, 0.5, 1.0),
    "blotched": (_blotched, 0.7, 1.0),
}
"""What can be done to a picture, how bad it is at full strength (1 for the world's own spoilings), and how often it is
done, relatively: what blur does is the hardest to see."""
BADNESS, OFTEN = np.array([numbers for _, *numbers in CHANGES.values()]).T


def draw_strengths(count: int, random: np.random.Generator) -> Float[np.ndarray, "picture change"]:
    """How strongly each change is applied to each picture: mostly one, sometimes a little of a second, or none."""
    rows = np.arange(count)
    strengths = np.zeros((count, len(CHANGES)))
    second = 0.3 * random.random(count) * (random.random(count) < 0.3)
    strengths[rows, random.choice(len(CHANGES), count, p=OFTEN / OFTEN.sum())] = second
    first = np.clip(random.uniform(-0.25, 1.25, count), 0, 1)  # a sixth untouched, a sixth at full strength
    strengths[rows, random.choice(len(CHANGES), count, p=OFTEN / OFTEN.sum())] = first
    return strengths


def damaged(
    pictures: Pictures, strengths: Float[np.ndarray, "picture change"], random: np.random.Generator
) -> Pictures:
    """Every picture blended with its changed self, one change after the other."""
    for strength, (change, *_) in zip(strengths.T, CHANGES.values(), strict=True):
        touched = strength > 0
        some = pictures[touched]
        pictures = pictures.copy()
        pictures[touched] = some + strength[touched, None, None, None] * (change(some, random) - some)
    return np.clip(pictures, 0, 1)
