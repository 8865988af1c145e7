"""A step of a training up to its backward pass, taken by hand as the engine takes it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rewardkit import VideoReward
from rewardkit.engine.denoise import Words
from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.lora import lora_weights
from rewardkit.engine.objectives import Objective
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.trial import Bench, Group

PROMPT = "a red circle moves left"


def set_up(
    generator: Generator,
    reward: VideoReward,
    objective: Objective,
    steps: int,
    shape: FilmShape,
    films: int = 1,
    words: Words | None = None,
    device: str = "cpu",
) -> tuple[Bench, Group]:
    """Films that start at random latents; what a step keeps of one is measured, as where a training begins.

    Args:
        steps: of the whole chain.
        words: as the denoiser reads them; None for the generator's own of `PROMPT` and of no prompt.
    """
    prompts, place = [PROMPT] * films, torch.device(device)
    words = words or Words(generator.embed(prompts), generator.embed([""] * films))
    clean = torch.randn(films, *generator.latent_shape(shape), generator=torch.Generator().manual_seed(1)).to(place)
    bench = Bench(generator, reward, generator.levels(steps, shape), shape, place)
    if generator.memory.activations:
        one = Words(*({name: tensor[:1] for name, tensor in told.items()} for told in (words.prompts, words.empty)))
        bench = replace(bench, kept_a_film=bench.kept_by_a_step(one, objective.scale()))
    return bench, Group(prompts, words, clean, [f"film {number}" for number in range(films)], "step")


def loss_of(bench: Bench, group: Group, objective: Objective) -> Tensor:
    """What the step goes backward from; the LoRA's gradients are gone."""
    for weight in lora_weights(bench.generator).values():
        weight.grad = None
    ((loss,),) = map(list, objective.updates(bench, [group], PromptStatistics()))
    return loss.value
