"""What is true of a film of the mini world, and the caption that says so."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from rewardkit.errors import BadInputError, UnknownNameError

Colour = Literal["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"]
Shape = Literal["circle", "square", "triangle", "star", "ring", "cross"]
Direction = Literal["right", "down right", "down", "down left", "left", "up left", "up", "up right"]
Speed = Literal["slowly", "quickly"]
Quality = Literal["good", "washed out", "blurred", "watermarked", "noisy", "dark"]

COLOURS: tuple[Colour, ...] = get_args(Colour)
SHAPES: tuple[Shape, ...] = get_args(Shape)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
SPEEDS: tuple[Speed, ...] = get_args(Speed)
QUALITIES: tuple[Quality, ...] = get_args(Quality)

RGB: Mapping[Colour, tuple[float, float, float]] = MappingProxyType(
    {
        "red": (0.91, 0.11, 0.12),
        "orange": (0.98, 0.52, 0.05),
        "yellow": (0.98, 0.91, 0.15),
        "green": (0.12, 0.72, 0.22),
        "cyan": (0.15, 0.85, 0.91),
        "blue": (0.12, 0.25, 0.95),
        "purple": (0.56, 0.16, 0.86),
        "pink": (0.98, 0.40, 0.72),
    }
)
"""Red, green and blue in [0, 1] of each colour before any spoiling; none halfway between two 8-bit levels."""

DISTANCE: Mapping[Speed, float] = MappingProxyType({"slowly": 0.2, "quickly": 0.4})
"""How far a shape travels from first frame to last, in picture sides, whatever the number of frames."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """What a film shows. `quality` is how it looks, and no caption tells: so it is with films from the web.

    Raises:
        UnknownNameError: a word that is not in the vocabulary.
    """

    colour: Colour
    shape: Shape
    direction: Direction
    speed: Speed = "quickly"
    quality: Quality = "good"

    def __post_init__(self) -> None:
        for kind, word, known in (
            ("colour", self.colour, COLOURS),
            ("shape", self.shape, SHAPES),
            ("direction", self.direction, DIRECTIONS),
            ("speed", self.speed, SPEEDS),
            ("quality", self.quality, QUALITIES),
        ):
            if word not in known:
                raise UnknownNameError(kind, word, known)

    @property
    def velocity(self) -> tuple[float, float]:
        """The way from first to last frame in picture sides, as (right, down)."""
        angle = DIRECTIONS.index(self.direction) * math.pi / 4
        return DISTANCE[self.speed] * math.cos(angle), DISTANCE[self.speed] * math.sin(angle)


def caption(truth: Truth) -> str:
    """The sentence for a film: `a red star moving quickly up left`. It tells all but the quality."""
    article = "an" if truth.colour == "orange" else "a"
    return f"{article} {truth.colour} {truth.shape} moving {truth.speed} {truth.direction}"


_CAPTION = re.compile(
    rf"an? ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)}) moving ({'|'.join(SPEEDS)}) ({'|'.join(DIRECTIONS)})"
)


def parse_caption(text: str) -> Truth:
    """The truth that a caption tells, in good quality.

    Raises:
        BadInputError: the text is not a caption of this world.
    """
    match = _CAPTION.fullmatch(text.strip())
    if match is None:
        example = caption(Truth("red", "star", "up left"))
        raise BadInputError(f"not a caption of the mini world: {text!r}; write it as {example!r}")
    colour, shape, speed, direction = match.groups()
    return Truth(colour, shape, direction, speed)  # type: ignore[arg-type]  # the pattern admits known words only


def sample_truths(count: int, seed: int) -> list[Truth]:
    """`count` truths drawn evenly, about half of them good, the rest spoiled; the same on every machine."""
    random = np.random.default_rng(seed)
    spoiled = QUALITIES[1:]
    return [
        Truth(
            COLOURS[random.integers(len(COLOURS))],
            SHAPES[random.integers(len(SHAPES))],
            DIRECTIONS[random.integers(len(DIRECTIONS))],
            SPEEDS[random.integers(len(SPEEDS))],
            "good" if random.integers(2) else spoiled[random.integers(len(spoiled))],
        )
        for _ in range(count)
    ]
