"""A step of fine-tuning the mini world's generator, as large as a point of a curve says."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from one_step import loss_of, set_up
from timing import allocated

from rewardkit import create_backbone, create_reward
from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.lora import LoraSettings, add_lora
from rewardkit.engine.memory import Memory
from rewardkit.engine.objectives import RewardGradient

CHAIN = 50


class Job(NamedTuple):
    """InstructVideo's step: guidance, gradient through the last steps, the `technical` reward of 4 frames."""

    walked: int = 4
    gradient_steps: int = 1
    films: int = 1
    shape: FilmShape = FilmShape(8, 32, 32)
    kept: bool = False  # activations, within the budget that `Memory` has by default


def job(curve: str, line: str, point: int) -> Job:
    """What is done at a point of a curve."""
    match curve:
        case "walked":
            return Job(walked=point)
        case "gradient-steps":
            return Job(walked=8, gradient_steps=point, kept=line == "kept up to 1 GB")
        case "films":
            return Job(films=point)
        case "film-frames":
            return Job(shape=FilmShape(point, 32, 32))
        case _:
            side = math.isqrt(point)
            return Job(shape=FilmShape(8, side, side))


def prepare(curve: str, line: str, point: int) -> Callable[[], None]:
    """The call that goes forward and backward; the optimiser is left out."""
    do, generator = job(curve, line, point), world()
    reward = create_reward("technical", frames="segments:4", device="cpu")
    objective = RewardGradient(tau=do.walked / CHAIN, gradient_steps=f"tail:{do.gradient_steps}")  # type: ignore[arg-type]
    generator.memory = Memory() if do.kept else Memory(activations=0.0)
    bench, group = set_up(generator, reward, objective, CHAIN, do.shape, do.films)

    def step() -> None:
        loss_of(bench, group, objective).backward()  # type: ignore[no-untyped-call]

    return step


def peak(curve: str, line: str, point: int) -> dict[str, float]:
    """Megabytes that torch's allocator gives out beyond the weights, at most."""
    step = prepare(curve, line, point)
    step()  # first calls allocate for good
    return {"megabytes": allocated(step)}


@cache
def world() -> Generator:
    """The generator with its own weights and a LoRA."""
    generator = create_backbone("miniworld", device="cpu")
    add_lora(generator, LoraSettings())
    return generator
