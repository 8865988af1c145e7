"""The best of several films of each prompt, by a reward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rewardkit.engine.generate import check_prompts, generate
from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.reward_guidance import RewardGuidance
from rewardkit.engine.trial import film_noise, seeded
from rewardkit.errors import RewardFailedError, UsageError
from rewardkit.reducers.reward import Reward


@dataclass(frozen=True, eq=False)
class BestOf:
    """The best film of each prompt, and how all of its films scored.

    Attributes:
        films: on the CPU, RGB in [0, 1].
        seeds: of these films; `generate_folder` and `rewardkit generate` make the same film of a prompt and seed.
        scores: of all films, in the order of the seeds that were given.
    """

    films: Float[Tensor, "prompt frame 3 height width"]
    seeds: Int[Tensor, " prompt"]
    scores: Float[Tensor, "prompt seed"]


@torch.no_grad()
def best_of(
    generator: Generator,
    reward: Reward,
    prompts: Sequence[str],
    seeds: Sequence[int] = range(4),
    *,
    steps: int = 20,
    guidance: float | None = None,
    shape: FilmShape | None = None,
    lora_strength: float = 1.0,
    batch_size: int = 8,
    reward_guidance: RewardGuidance | None = None,
) -> BestOf:
    """Makes a film of each prompt and seed, and keeps the best of each prompt; of equal ones the first.

    No weights change: what this gains is a bound for what fine-tuning on the same reward has to beat at the same cost.
    Memory holds a batch of films beside the best.

    Args:
        generator: from `create_backbone`.
        reward: it need not be differentiable.
        prompts: one a film to keep.
        seeds: of the films to choose from.
        steps: of each walk.
        guidance: scale; None is the backbone's own.
        shape: of the films; None is the backbone's own.
        lora_strength: how much of the LoRA counts; 0 is the base model.
        batch_size: films made at once.
        reward_guidance: pulls films towards a reward, which may be another one.

    Raises:
        BadInputError: no prompts, or an empty one.
        UsageError: no seeds, or numbers that make no sense.
        RewardFailedError: a score is not a finite number.
    """
    check_prompts(prompts)
    if not seeds:
        raise UsageError("best_of needs at least one seed")
    shape = shape or generator.default_shape
    size = generator.latent_shape(shape)
    scores = torch.full((len(prompts), len(seeds)), -torch.inf)
    best: list[Tensor | None] = [None] * len(prompts)
    wanted = [(number, place) for number in range(len(prompts)) for place in range(len(seeds))]
    for start in range(0, len(wanted), batch_size):
        some = wanted[start : start + batch_size]
        told = [prompts[number] for number, _ in some]
        noise = film_noise(size, [(prompts[number], seeds[place]) for number, place in some])
        films = generate(
            generator, told, steps=steps, guidance=guidance, noise=noise, shape=shape, lora_strength=lora_strength,
            batch_size=batch_size, reward_guidance=reward_guidance,
        )  # fmt: skip
        for film, prompt, (number, place) in zip(films, told, some, strict=True):
            random = seeded("best of", prompt, seeds[place])
            score = float(reward(film[None], [prompt], generator=random))
            if not math.isfinite(score):
                raise RewardFailedError(f"{reward.name} gave {score} for {prompt!r}, seed {seeds[place]}")
            if score > float(scores[number].max()):
                best[number] = film
            scores[number, place] = score
    chosen = torch.tensor(list(seeds))[scores.argmax(dim=1)]
    return BestOf(torch.stack([film for film in best if film is not None]), chosen, scores)
