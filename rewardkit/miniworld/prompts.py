"""Prompts of the mini world for fine-tuning, and those that it is judged by: the splits of InstructVideo's paper.

A fine-tuning sees half of the pairings of six colours with four shapes. The base generator knows all of them: as in the
paper, what is new is new to the fine-tuning alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from rewardkit.miniworld.truth import COLOURS, DIRECTIONS, SHAPES, SPEEDS, Colour, Shape, Truth

_SEEN_COLOURS: tuple[Colour, ...] = COLOURS[:6]
_SEEN_SHAPES: tuple[Shape, ...] = SHAPES[:4]


def training_truths() -> list[Truth]:
    """Every seen pairing in every direction and speed: 192."""
    return [
        Truth(colour, shape, direction, speed)
        for colour, shape in _pairings(0)
        for direction in DIRECTIONS
        for speed in SPEEDS
    ]


def judged_truths(each: int = 24) -> dict[str, list[Truth]]:
    """`each` truths a split, 24 at most, evenly drawn: `in-domain` from the training's own, `new combinations` of its
    colours and shapes, and `new things`, whose colour or shape it never saw."""
    return {name: [truths[n * len(truths) // each] for n in range(each)] for name, truths in _splits().items()}


def _splits() -> Mapping[str, list[Truth]]:
    new_colours = [(colour, shape) for colour in COLOURS[6:] for shape in SHAPES[:4]]
    new_shapes = [(colour, shape) for colour in COLOURS[:6] for shape in SHAPES[4:]]
    return {
        "in-domain": _turning(_pairings(0)),
        "new combinations": _turning(_pairings(1)),
        "new things": _turning(new_colours + new_shapes),
    }


def _pairings(parity: int) -> list[tuple[Colour, Shape]]:
    return [
        (colour, shape)
        for a, colour in enumerate(_SEEN_COLOURS)
        for b, shape in enumerate(_SEEN_SHAPES)
        if (a + b) % 2 == parity
    ]


def _turning(pairings: list[tuple[Colour, Shape]]) -> list[Truth]:
    """Two prompts a pairing, in directions that go round."""
    return [
        Truth(colour, shape, DIRECTIONS[(3 * number + 4 * again) % 8], SPEEDS[(number // 2 + again) % 2])
        for number, (colour, shape) in enumerate(pairings)
        for again in range(2)
    ]
