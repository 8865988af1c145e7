"""Films from prompts, by the same walk that fine-tuning takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from jaxtyping import Float
from torch import Tensor

from rewardkit.engine.denoise import Guidance, Words, walk
from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.lora import lora_at
from rewardkit.engine.noise import Latents, Levels, draw_noise
from rewardkit.engine.reward_guidance import Pull, RewardGuidance, pulled_walk
from rewardkit.errors import BadInputError, UsageError


@torch.no_grad()
def generate(
    generator: Generator,
    prompts: Sequence[str],
    *,
    steps: int = 20,
    guidance: float | None = None,
    noise: Latents | None = None,
    seed: int = 0,
    shape: FilmShape | None = None,
    lora_strength: float = 1.0,
    lora_from: float = 1.0,
    batch_size: int = 8,
    words: Callable[[Sequence[str]], Words] | None = None,
    reward_guidance: RewardGuidance | None = None,
) -> Float[Tensor, "batch frame 3 height width"]:
    """One film a prompt, on the CPU, RGB in [0, 1].

    Film i starts from noise of its own that depends on `seed` and i alone, so that the same call before and after
    fine-tuning gives pairs, and no batch size changes a film but by rounding.

    Args:
        generator: from `create_backbone`.
        prompts: one a film.
        steps: of the walk.
        guidance: scale; None is the backbone's own.
        noise: to start from, instead of `seed`'s.
        seed: of the noise.
        shape: of the films; None is the backbone's own.
        lora_strength: how much of the LoRA counts; 0 is the base model.
        lora_from: the share of the chain, from its end, in which the LoRA is on: 0.5 leaves the first half to the base.
        batch_size: films made at once.
        words: reads prompts, such as a `WordCache`; None lets the generator embed them.
        reward_guidance: pulls films towards a reward.

    Raises:
        BadInputError: no prompts, an empty one, or noise of another shape.
        UsageError: numbers that make no sense.
    """
    check_prompts(prompts)
    check_numbers(guidance, lora_strength, lora_from, batch_size)
    shape = shape or generator.default_shape
    size = generator.latent_shape(shape)
    if noise is None:
        seeds = [torch.Generator().manual_seed(film_seed(seed, number)) for number in range(len(prompts))]
        noise = draw_noise(size, seeds)
    if noise.shape != (len(prompts), *size):
        wanted = (len(prompts), *size)
        raise BadInputError(
            f"{generator.name} needs noise of {wanted} for {len(prompts)} prompts: got {tuple(noise.shape)}"
        )
    levels = generator.levels(steps, shape)
    pulled = frozenset() if reward_guidance is None else reward_guidance.chosen(len(levels))
    scale = Guidance(guidance)
    read, made = words or _reader(generator), []
    for start in range(0, len(prompts), batch_size):
        some = prompts[start : start + batch_size]
        told = read(some)
        latents = noise[start : start + batch_size].to(next(iter(told.empty.values())).device)
        for first, part, strength in _stretches(levels, lora_strength, lora_from):
            chosen = frozenset(number - first for number in pulled if first <= number < first + len(part))
            with lora_at(generator, strength) if strength != 1 else ExitStack():
                if reward_guidance is None:
                    latents = walk(generator, latents, part, told, scale)
                else:
                    pull = Pull(reward_guidance, some, shape.frames, chosen)
                    latents = pulled_walk(generator, latents, part, told, scale, pull)
        made.append(generator.decode(latents).cpu())
    return torch.cat(made)


def _reader(generator: Generator) -> Callable[[Sequence[str]], Words]:
    empty = generator.embed([""])

    def read(prompts: Sequence[str]) -> Words:
        size = len(prompts)
        return Words(
            generator.embed(prompts), {name: part.expand(size, *part.shape[1:]) for name, part in empty.items()}
        )

    return read


def film_seed(seed: int, number: int) -> int:
    """The seed of film `number` in a run seeded with `seed`."""
    return (seed * 1_000_003 + number) % 2**63


def check_prompts(prompts: Sequence[str]) -> None:
    """Refuses what is not a list of prompts with words in them.

    Raises:
        BadInputError: no prompts, or an empty one.
    """
    if isinstance(prompts, str) or not prompts:
        raise BadInputError(f"needs a list of prompts, one a film: got {prompts!r}")
    blank = [number for number, prompt in enumerate(prompts) if not prompt.strip()]
    if blank:
        raise BadInputError(f"prompt {blank[0] + 1} of {len(prompts)} is empty: leave it out or write one")


def check_numbers(guidance: float | None, lora_strength: float, lora_from: float, batch_size: int) -> None:
    """Refuses numbers that `generate` cannot take.

    Raises:
        UsageError: one makes no sense.
    """
    if guidance is not None and not 0 <= guidance < math.inf:
        raise UsageError(f"guidance is 0 or more: got {guidance}")
    if not math.isfinite(lora_strength):
        raise UsageError(f"lora_strength is a finite number: got {lora_strength}")
    if not 0 <= lora_from <= 1:
        raise UsageError(f"lora_from is a share of the chain, 0 to 1: got {lora_from}")
    if batch_size < 1:
        raise UsageError(f"batch_size is at least 1: got {batch_size}")


def _stretches(levels: Levels, strength: float, share: float) -> list[tuple[int, Levels, float]]:
    """The walk cut where the LoRA sets in: the number of each stretch's first step, its levels, the LoRA's strength."""
    late = round(share * len(levels))
    early = len(levels) - late
    cut = ((0, levels[:early], 0.0), (early, levels[early:], strength))
    return [(first, part, s) for first, part, s in cut if len(part)]
