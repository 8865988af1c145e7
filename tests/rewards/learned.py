"""The learned rewards with small random weights in the official layouts, as the parity check builds them."""

from __future__ import annotations

import copy
import dataclasses
import functools
import tempfile
from pathlib import Path

import golden
import ours
import torch
from torch import Tensor

from rewardkit.rewards.interface import ImageReward, TemporalReward
from rewardkit.rewards.preprocessing import Mode

NAMES = sorted(set(ours.CHECKS) - set(ours.LANGUAGE_MODELS))  # those have tests of their own
Model = ImageReward | TemporalReward


@functools.cache
def _built(name: str) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        return ours.build(name, Path(folder))


def model(name: str, mode: Mode = "auto", dtype: torch.dtype | None = None) -> Model:
    """The reward of a golden file; its own copy where it is cast."""
    built = _built(name)
    found = copy.copy(built) if dtype is None else copy.deepcopy(built).to(dtype)
    assert found.preprocessing is not None
    found.preprocessing = dataclasses.replace(found.preprocessing, mode=mode)
    return found


def pixels(reward: Model, height: int = 70, width: int = 100, items: int = 2) -> Tensor:
    """Smooth pictures or clips between 0.2 and 0.8, where no clamp cuts the gradient; height is not width."""
    shape = (items, 8, 3) if isinstance(reward, TemporalReward) else (items, 3)
    coarse = torch.rand((*shape, height // 10, width // 10), generator=torch.Generator().manual_seed(1))
    flat = coarse.flatten(0, -4)
    large = torch.nn.functional.interpolate(flat, (height, width), mode="bilinear", align_corners=False)
    return (0.2 + 0.6 * large).view(*shape, height, width)


def score(reward: Model, images: Tensor, prompts: tuple[str, ...] = ("a red boat", "two cats on a wall")) -> Tensor:
    """Scores, with prompts where the reward needs them."""
    given = [prompts[i % len(prompts)] for i in range(len(images))] if reward.card.needs_prompt else None
    scores: Tensor = reward(images, given)
    return scores


__all__ = ["NAMES", "golden", "model", "ours", "pixels", "score"]
