"""Pixels of chosen frames: which latents they are of, and how a causal decoder is stepped through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import checkpoint

from rewardkit.engine.noise import Latents


def latent_of(frames: Int[Tensor, "*any"], ratio: int) -> Int[Tensor, "*any"]:
    """The latent that each frame is of: the first has one frame, all others `ratio`."""
    return (frames + ratio - 1) // ratio


def take(
    film: Float[Tensor, "batch channel frame height width"], frames: Int[Tensor, "batch chosen"] | None
) -> Float[Tensor, "batch chosen channel height width"]:
    """The chosen frames of each film, or all."""
    by_frame = film.transpose(1, 2)
    if frames is None:
        return by_frame
    return by_frame[torch.arange(len(film), device=film.device)[:, None], frames.to(film.device)]


class Steps(ABC):
    """A causal decoder as a function: some latents and what it remembers, to frames and what it then remembers."""

    @abstractmethod
    def sizes(self, total: int) -> list[int]:
        """How many of `total` latents each step takes."""

    @abstractmethod
    def __call__(
        self, z: Latents, memory: Any
    ) -> tuple[Float[Tensor, "batch 3 film_frame film_height film_width"], Any]:
        """The frames of the next latents. Memory is None at first, and is never changed in place."""


def step_through(
    decoder: Steps, z: Latents, chosen: set[int], window: bool, save: bool
) -> Float[Tensor, "batch 3 film_frame film_height film_width"]:
    """The film up to the last of the chosen latents.

    Args:
        decoder: the same latents always give the same frames, however far it is stepped.
        z: the whole film's latents.
        chosen: latents whose frames are wanted.
        window: gradient goes to chosen latents only, and into none through what the decoder remembers; all values are
            the same, and memory holds the graph of the chosen steps alone. ChopGrad, arXiv:2603.17812, has the idea.
        save: keep the input of each step, and compute the rest again on the way back.
    """
    film, memory, start, last = [], None, 0, max(chosen)
    for size in decoder.sizes(z.shape[2]):
        if start > last:
            break
        wanted = not chosen.isdisjoint(range(start, start + size))
        with torch.set_grad_enabled(torch.is_grad_enabled() and (wanted or not window)):
            some = z[:, :, start : start + size]
            if save and torch.is_grad_enabled():
                frames, memory = checkpoint(decoder, some, memory, use_reentrant=False)
            else:
                frames, memory = decoder(some, memory)
        if window:
            memory = tree_map_only(Tensor, Tensor.detach, memory)
        film.append(frames)
        start += size
    return torch.cat(film, dim=2)
