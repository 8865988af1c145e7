"""Tensors that still lie in a checkpoint file, so that memory never holds a whole file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stored:
    """A tensor whose shape is known; `read` brings its numbers, each time anew."""

    shape: torch.Size
    read: Callable[[], Tensor]


Tensors = dict[str, Stored]


def in_memory(tensor: Tensor) -> Stored:
    """One that was read already."""
    return Stored(tensor.shape, lambda: tensor)


def derived(change: Callable[..., Tensor], *parts: Stored) -> Stored:
    """What `change` makes of `parts`, which are read when the result is."""
    like = change(*(torch.empty(part.shape, device="meta") for part in parts))
    return Stored(like.shape, lambda: change(*(part.read() for part in parts)))


def part(tensors: Tensors, under: str) -> Tensors:
    """Those whose names begin with `under`, without it."""
    return {name.removeprefix(under): value for name, value in tensors.items() if name.startswith(under)}
