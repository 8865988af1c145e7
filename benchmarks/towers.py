"""Rewards on CLIP towers with random weights: made where they run, nothing is downloaded or read."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from rewardkit import VideoReward, create_reward
from rewardkit.rewards.hpsv2 import CARD
from rewardkit.rewards.preprocessing import Fit, PadToSquare, Preprocessing
from rewardkit.rewards.similarity import Similarity
from rewardkit.rewards.towers.clip import Architecture, ClipTower, OpenAITokenizer, configuration


def random_tower(architecture: Architecture, dtype: torch.dtype = torch.float32, device: str = "cpu") -> ClipTower:
    """The package's own, seeded: the same in every precision but for rounding."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        with torch.device(device):
            made = ClipTower(configuration(architecture))
    for weight in made.parameters():
        if weight.ndim:  # single numbers stay wide, as where a checkpoint is read
            weight.data = weight.data.to(dtype)
    return made.requires_grad_(False).eval()


def random_reward(
    architecture: Architecture,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    frames: str = "uniform:4",
    weights: str = "equal",
    fit: Fit | None = None,
) -> VideoReward:
    """HPSv2 on such a tower, or with another fit the cosine of CLIP."""
    tower = random_tower(architecture, dtype, device)
    preprocessing = Preprocessing(fit or PadToSquare(side_of(architecture)))
    model = Similarity(CARD, tower, OpenAITokenizer(), preprocessing)
    model.loaded_from = {"checkpoint/random": "0" * 64}  # else score_folder would digest all weights in each call
    reward = create_reward(model, frames=frames, weights=weights)
    assert isinstance(reward, VideoReward)
    return reward


def side_of(architecture: Architecture) -> int:
    """Pixels of a side that the tower reads."""
    side: int = configuration(architecture)["vision_cfg"]["image_size"]
    return side


def flops_of_picture(architecture: Architecture) -> int:
    """Counted on meta tensors: the fused kernel that runs instead hides its products from the counter."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        ClipTower(configuration(architecture)).eval().images(torch.empty(1, 3, *2 * [side_of(architecture)]))
    count: int = counter.get_total_flops()
    return count
