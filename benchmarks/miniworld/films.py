"""Films of the mini world as training data: drawn once, kept as bytes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.truth import Truth, caption, sample_truths

FRAMES, SIZE = 8, 32


def films(count: int, seed: int) -> tuple[Tensor, list[Truth]]:
    """(film, frame, 3, size, size) as uint8, half of them good, and what they show."""
    truths = sample_truths(count, seed)
    drawn = [(draw(truth, FRAMES, SIZE, seed * 10**6 + n) * 255).round().byte() for n, truth in enumerate(truths)]
    return torch.stack(drawn), truths


def captions(truths: Sequence[Truth]) -> list[str]:
    """The prompt of each film."""
    return [caption(truth) for truth in truths]


def as_signed(pixels: Tensor) -> Tensor:
    """Bytes as the autoencoder reads them, in [-1, 1]."""
    return pixels.float() / 127.5 - 1
