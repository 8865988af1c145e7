"""HPSv2's tower with random weights: how many pictures a second it reads, and how far that is below the roof."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from gpu_parts.jobs import Job, Setting, digits, roof, under_roof
from timing import in_turn, middle
from towers import flops_of_picture, random_reward, random_tower, side_of

from rewardkit import VideoReward
from rewardkit.rewards.similarity import Similarity
from rewardkit.rewards.towers.clip import ClipTower


class Way(NamedTuple):
    """In what precision the tower reads, and whether torch.compile made it."""

    dtype: torch.dtype
    tf32: bool = False
    compiled: bool = False


WAYS = {
    "float32": Way(torch.float32),
    "float32, TF32": Way(torch.float32, tf32=True),
    "bfloat16": Way(torch.bfloat16),
    "float16": Way(torch.float16),
    "bfloat16, compiled": Way(torch.bfloat16, compiled=True),
}


def jobs(setting: Setting) -> list[Job]:
    what = "HPSv2's picture tower by pictures at once; pixels are on the device, their size is the tower's"
    return [
        Job("towers", f"tower, {name}", what, partial(throughput, setting, way), turn=8 if way.compiled else 0)
        for name, way in WAYS.items()
    ]


def throughput(setting: Setting, way: Way) -> dict[str, Any]:
    """Frames a second; compiled, of the biggest batch alone, since every other would be compiled again."""
    with precision("high" if way.tf32 else "highest"), torch.no_grad():
        model = random_tower(setting.architecture, way.dtype, setting.device)
        if way.compiled:
            model.clip.visual.compile()
        side = side_of(setting.architecture)
        pixels = torch.rand(max(setting.batches), 3, side, side, device=setting.device)

        def look(batch: int) -> None:
            for _ in range(setting.frames // batch):
                model.images(pixels[:batch])

        batches = setting.batches[-1:] if way.compiled else setting.batches
        times = in_turn({str(batch): partial(look, batch) for batch in batches}, setting.rounds, setting.device)
        most = roof(way.dtype, setting)
    flops, rates = (
        flops_of_picture(setting.architecture),
        {batch: setting.frames / middle(times[batch]) for batch in times},
    )
    return {
        "gigaflops_of_a_frame": digits(flops / 1e9),
        "frames_a_second": {batch: digits(rate) for batch, rate in rates.items()},
        **under_roof({batch: rate * flops for batch, rate in rates.items()}, most),
    }


def hpsv2(setting: Setting, dtype: torch.dtype, frames: str, weights: str = "equal") -> VideoReward:
    """The reward on such a tower."""
    return random_reward(setting.architecture, dtype, setting.device, frames, weights)


def tower_of(reward: VideoReward) -> ClipTower:
    """The tower in it."""
    model = reward.image_reward
    assert isinstance(model, Similarity)
    assert isinstance(model.tower, ClipTower)
    return model.tower


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Of products of float32: `highest`, or `high`, which is TF32 where a GPU has it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
