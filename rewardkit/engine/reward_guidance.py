"""Films pulled towards a reward while they are made: its gradient moves each step's estimate of the clean film."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rewardkit.engine.denoise import Guidance, Words, below, guided_clean, level_at, walk
from rewardkit.engine.generator import Generator
from rewardkit.engine.gradient_steps import GRADIENT_STEPS, GradientSteps
from rewardkit.engine.noise import Latents, Levels
from rewardkit.engine.trial import seeded
from rewardkit.errors import UsageError
from rewardkit.reducers.finite import check_finite
from rewardkit.reducers.plan import FramePlan
from rewardkit.reducers.reward import Reward
from rewardkit.spec import parse_part


@dataclass(frozen=True, eq=False)
class RewardGuidance:
    """Moves the estimate of clean latents along the reward's gradient in chosen steps of the walk.

    clean' = clean + scale * noise * gradient / rms(gradient): each film is moved by `scale` times what is still
    uncertain of it, whatever the size of the reward. No weights change. A reward that is pulled at like this is
    exploited sooner or later: look at the films, and at a reward that was not pulled at.

    Attributes:
        reward: differentiable; only the frames that it looks at are decoded.
        scale: root mean square of the move, in units of the level's noise; 0.05 to 0.5 are usual.
        steps: which, as of an objective: `tail:10`, `uniform:5`, `steps:0,5,-1`. Early estimates are blurred.
        through: where the gradient is taken. `estimate` is at the estimate of clean latents and costs a decoding;
            `denoiser` goes on through the denoiser to the noisy latents, which follows what it can make of them.

    Raises:
        UsageError: the reward has no gradient, or a number makes no sense.

    Source: the estimate as the place to ask, Universal Guidance, arXiv:2302.07121; the gradient through the denoiser,
    DPS, arXiv:2209.14687; its size bound to the noise, FreeDoM, arXiv:2303.09833.
    """

    reward: Reward
    scale: float = 0.2
    steps: GradientSteps | str = "tail:10"
    through: Literal["estimate", "denoiser"] = "estimate"

    def __post_init__(self) -> None:
        if not self.reward.differentiable:
            raise UsageError(
                f"{self.reward.name} has no gradient to guide by: take another, or the best of several films"
            )
        if not 0 <= self.scale < math.inf:
            raise UsageError(f"scale is 0 or more: got {self.scale}")
        if self.through not in ("estimate", "denoiser"):
            raise UsageError(f"through is estimate or denoiser: got {self.through!r}")

    def chosen(self, steps: int) -> frozenset[int]:
        """The steps of a walk in which films are pulled, counted from 0.

        Raises:
            UsageError: the walk has not as many.
        """
        return parse_part(GradientSteps, self.steps, GRADIENT_STEPS).chosen(steps, seeded("reward guidance"))


@dataclass(frozen=True, eq=False)
class Pull:
    """What films under way are pulled by.

    Attributes:
        guidance: how.
        prompts: one a film.
        num_frames: of each film.
        steps: of the stretch of a walk that is ahead, in which films are pulled.
    """

    guidance: RewardGuidance
    prompts: Sequence[str]
    num_frames: int
    steps: frozenset[int]


def pulled_walk(
    generator: Generator, noisy: Latents, levels: Levels, words: Words, scale: Guidance, pull: Pull
) -> Latents:
    """Walks `noisy` down as `walk` does, pulled in the chosen steps.

    Raises:
        RewardFailedError: a gradient is not finite.
    """
    for number in range(len(levels)):
        if number in pull.steps:
            noisy = below(levels, number, _pulled(generator, noisy, levels, number, words, scale, pull), noisy)
        else:
            noisy = walk(generator, noisy, levels[number : number + 1], words, scale)
    return noisy


def _pulled(
    generator: Generator, noisy: Latents, levels: Levels, number: int, words: Words, scale: Guidance, pull: Pull
) -> Latents:
    """The estimate of clean latents, moved."""
    level, how = level_at(levels, number, noisy), pull.guidance
    # the same frames of every film, so that no film depends on those beside it
    one = how.reward.plan(pull.num_frames, generator=seeded("reward guidance", number))
    plan = FramePlan.stack([one] * len(noisy))
    through_denoiser = how.through == "denoiser"
    with torch.set_grad_enabled(through_denoiser):
        at = noisy.detach().requires_grad_(through_denoiser)
        clean = guided_clean(generator, at, level, words, scale)
    with torch.enable_grad():
        if not through_denoiser:
            at = clean = clean.detach().requires_grad_()
        frames = generator.decode(clean, plan.index.to(clean.device))
        (gradient,) = torch.autograd.grad(how.reward(frames, pull.prompts, plan=plan).sum(), at)
    return clean.detach() + how.scale * level.noise.to(clean) * _unit(gradient, how.reward.name, pull.prompts)


def _unit(gradient: Tensor, who: str, prompts: Sequence[str]) -> Tensor:
    """The gradient of each film with a root mean square of one; of none, none."""
    size = gradient.flatten(1).double().pow(2).mean(dim=1).sqrt()
    check_finite(who, "gradient", size, prompts)
    size = size.clamp(min=torch.finfo(gradient.dtype).tiny).to(gradient)
    return gradient / size.view(-1, *[1] * (gradient.ndim - 1))
