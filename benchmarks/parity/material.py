"""What both sides of a parity check are given: pictures, clips, prompts, and weights made from a seed.

Needs numpy, Pillow and torch, and nothing of rewardkit: it is imported in the environments of the official packages
and in our own, and must give the same bytes in both.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

PROMPTS = (
    "a cat walks on a wall",
    "“Don’t look back”, naïve café — 東京の猫 &amp; dog",
    "",
    " ".join(f"a very long prompt about painted boats and {colour} sails" for colour in ("red", "blue", "green") * 4),
    "a dancing 🦊 under the 🌙",
)
"""Plain, curly quotes and other scripts, empty, longer than any limit here, emoji."""

SIZES = {
    "square": (256, 256),
    "wide": (432, 256),
    "tall": (320, 576),
    "small": (96, 80),
    "exact": (224, 224),
    "longest_224": (224, 160),
    "grey": (240, 180),
    "odd": (301, 227),
}
"""Width and height of each picture."""

CLIP_SIZES = {"wide": (320, 176), "square": (128, 128), "tall": (120, 216)}
CLIP_FRAMES = 8


def pictures() -> dict[str, Image.Image]:
    """The pictures: smooth ground, hard edges and grain; the grey one has a single channel."""
    made = {name: Image.fromarray(_pixels(width, height, name)) for name, (width, height) in SIZES.items()}
    return {name: picture.convert("L") if name == "grey" else picture for name, picture in made.items()}


def clips() -> dict[str, NDArray[np.uint8]]:
    """Clips of 8 frames as (frame, height, width, 3): a picture that drifts and dims."""
    made = {}
    for name, (width, height) in CLIP_SIZES.items():
        still = _pixels(width, height, f"clip {name}").astype(np.int64)
        frames = [np.roll(still, 5 * t, axis=1) * (40 - t) // 40 for t in range(CLIP_FRAMES)]
        made[name] = np.stack(frames).astype(np.uint8)
    return made


def vocabulary(size: int = 30522) -> list[str]:
    """Word pieces in the form of bert-base-uncased's, made of the letters and words of PROMPTS.

    Special tokens stand where BERT's do. Some words are whole, others can only be spelt, some letters are unknown.
    """
    words = sorted({word for prompt in PROMPTS for word in re.findall(r"[a-z]+", prompt.lower())})
    letters = [*"abcdefghijklmnopqrstuvwxyz,;&“”’—", "東", "猫"]
    pieces = [
        *letters,
        *(f"##{letter}" for letter in letters),
        *words[::2],
        *(f"##{word[1:3]}" for word in words[1::2]),
    ]
    made = ["[PAD]", *(f"[unused{number}]" for number in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made += dict.fromkeys(pieces)
    return made + [f"[unused{number}]" for number in range(99, 99 + size - len(made))]


def _pixels(width: int, height: int, name: str) -> NDArray[np.uint8]:
    """Whole numbers throughout, so that every version of numpy gives the same."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    y, x = np.mgrid[:height, :width]
    ground = np.stack([255 * x // width, 255 * y // height, 255 * (x + y) // (width + height)], axis=-1)
    edges = 60 * ((x // 23 + y // 17) % 2)[..., None]
    grain = rng.integers(-25, 26, (height, width, 3))
    colour = rng.integers(-40, 41, 3)
    return np.clip(ground * 3 // 4 + edges + grain + colour, 0, 255).astype(np.uint8)


def weights(layout: Mapping[str, Sequence[int]], gain: float = 1.0) -> dict[str, torch.Tensor]:
    """float32 weights for a layout of key to shape, each drawn from the checksum of its own key.

    Vectors are perturbed too: a fresh layer norm is all ones and zeros, and would hide that one stands in the place of
    another. `gain` scales matrices.
    """
    return {key: _weight(key, tuple(shape), gain) for key, shape in layout.items()}


def _weight(key: str, shape: tuple[int, ...], gain: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    drawn = torch.randn(shape, generator=generator)
    if key.endswith("position_ids"):
        return torch.arange(math.prod(shape)).reshape(shape)
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if not shape:
        return torch.tensor(math.log(100.0))  # the only other scalars are logit scales
    if key.endswith("running_var"):
        return 1 + 0.1 * drawn.abs()
    if len(shape) == 1:
        return 1 + 0.1 * drawn if key.endswith("weight") else 0.1 * drawn
    return drawn * gain / math.sqrt(math.prod(shape[1:]))
