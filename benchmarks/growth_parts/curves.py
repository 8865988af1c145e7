"""The curves: what grows, from where to where, and what theory says of time and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from growth_parts.shape import Shape

Family = Literal["scoring", "step"]


class Theory(NamedTuple):
    """Of a line: how its seconds and its megabytes should grow."""

    seconds: Shape
    megabytes: Shape


class Curve(NamedTuple):
    """One thing that grows while all others stay.

    Attributes:
        family: whose cost it is.
        grows: the thing.
        points: its values.
        lines: ways of the same work, by name.
    """

    family: Family
    grows: str
    points: tuple[int, ...]
    lines: Mapping[str, Theory]


LINEAR_CONSTANT, LINEAR_BOTH = Theory("linear", "constant"), Theory("linear", "linear")

CURVES = {
    "videos": Curve(
        "scoring",
        "videos",
        (10, 100, 1_000, 10_000),
        {"scored": LINEAR_CONSTANT, "scored before": LINEAR_BOTH},
    ),
    "clip": Curve(
        "scoring",
        "frames of a clip",
        (30, 60, 120, 240),  # x264 looks 40 frames ahead and spends more on frames that many lean on
        {"the last one read": LINEAR_CONSTANT, "the first four read": Theory("constant", "constant")},
    ),
    "pixels": Curve(
        "scoring",
        "pixels of a frame",
        (144 * 256, 288 * 512, 576 * 1024, 1080 * 1920),
        {"": LINEAR_BOTH},
    ),
    "scored-frames": Curve("scoring", "scored frames of a video", (4, 16, 32, 64), {"": LINEAR_BOTH}),
    "batch": Curve("scoring", "frames in a batch", (4, 16, 32, 64), {"": Theory("constant", "linear")}),
    "walked": Curve("step", "walked steps", (1, 4, 16, 48), {"": LINEAR_CONSTANT}),
    "gradient-steps": Curve(
        "step",
        "steps with gradient (K)",
        (1, 2, 4, 8),
        {
            "computed again": LINEAR_CONSTANT,
            "kept up to 1 GB": Theory("linear", "at most linear"),
        },
    ),
    "films": Curve("step", "films at once", (1, 2, 4, 8), {"": Theory("at most linear", "linear")}),
    "film-frames": Curve("step", "frames of a film", (8, 16, 32, 64), {"": LINEAR_BOTH}),
    "film-pixels": Curve("step", "pixels of a film's frame", (16**2, 32**2, 64**2, 96**2), {"": LINEAR_BOTH}),
}
