"""The walk from noise to a film: gradient through chosen steps, no graph for all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rewardkit.engine.generator import Embedding, Generator, Level
from rewardkit.engine.noise import Latents, Levels


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance: without + scale * (with - without), on the estimate of clean latents.

    Attributes:
        scale: 1 is none, and costs one pass a step instead of two.
        gradient: through which pass it goes: `both`, as in InstructVideo; `conditional`, where the other's estimate of
            the noise is a constant; or `off`, where the one with the prompt carries all of it as if the scale were 1.
    """

    scale: float = 1.0
    gradient: Literal["both", "conditional", "off"] = "both"


@dataclass(frozen=True)
class Words:
    """What the denoiser is told: the prompts, and the empty prompt for guidance."""

    prompts: Embedding
    empty: Embedding


def walk(
    generator: Generator,
    noisy: Latents,
    levels: Levels,
    words: Words,
    guidance: Guidance,
    gradient_steps: frozenset[int] = frozenset(),
) -> Latents:
    """Walks `noisy`, which is at the first of `levels`, down to the last.

    Passes of chosen steps are checkpointed: their activations are computed again on the way back, so that memory holds
    one pass's however many steps are chosen. Steps before the first chosen one build no graph. In steps between, the
    estimate of the noise is a constant and gradient passes through the step's own arithmetic.
    """
    for number in range(len(levels)):
        if number in gradient_steps and torch.is_grad_enabled():
            noisy = _step(generator, noisy, levels, number, words, guidance)
        else:
            noisy = _constant_step(generator, noisy, levels, number, words, guidance)
    return noisy


def guided_clean(generator: Generator, noisy: Latents, level: Level, words: Words, guidance: Guidance) -> Latents:
    """The estimate of clean latents with guidance.

    A pass that gradient goes through is checkpointed and runs by itself; without gradient the two run as one batch.
    """
    if guidance.scale != 1 and not torch.is_grad_enabled():
        twice = {name: torch.cat([part, words.prompts[name]]) for name, part in words.empty.items()}
        untold, told = generator.predict_clean(torch.cat([noisy, noisy]), level, twice).chunk(2)
        return untold + guidance.scale * (told - untold)
    told = _pass(generator, noisy, level, words.prompts)
    if guidance.scale == 1:
        return told
    with torch.set_grad_enabled(torch.is_grad_enabled() and guidance.gradient == "both"):
        untold = _pass(generator, noisy, level, words.empty)
    if guidance.gradient == "conditional":
        untold = _with_constant_eps(untold, noisy, level)
    guided = untold + guidance.scale * (told - untold)
    return told + (guided - told).detach() if guidance.gradient == "off" else guided


def level_at(levels: Levels, number: int, like: Tensor) -> Level:
    """The level that step `number` starts from."""
    return Level(*(values[number].to(like.device) for values in (levels.timestep, levels.signal, levels.noise)))


def _pass(generator: Generator, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
    if not torch.is_grad_enabled():
        return generator.predict_clean(noisy, level, embedding)
    torch.clear_autocast_cache()  # pytorch#165068: older ones keep weights cast without gradient there
    clean: Latents = checkpoint(generator.predict_clean, noisy, level, embedding, use_reentrant=False)
    return clean


def _step(
    generator: Generator, noisy: Latents, levels: Levels, number: int, words: Words, guidance: Guidance
) -> Latents:
    level = level_at(levels, number, noisy)
    clean = guided_clean(generator, noisy, level, words, guidance)
    eps = (noisy - level.signal * clean) / level.noise
    return _below(levels, number, clean, eps)


def _constant_step(
    generator: Generator, noisy: Latents, levels: Levels, number: int, words: Words, guidance: Guidance
) -> Latents:
    """A step in which the network is a constant: eps is held, and the rest is linear in `noisy`."""
    level = level_at(levels, number, noisy)
    with torch.no_grad():
        clean = guided_clean(generator, noisy, level, words, guidance)
        eps = (noisy - level.signal * clean) / level.noise
    return _below(levels, number, _with_constant_eps(clean, noisy, level), eps)


def _with_constant_eps(clean: Latents, noisy: Latents, level: Level) -> Latents:
    """An estimate made without gradient gets that of (noisy - noise * eps) / signal; its values stay the same."""
    if not (noisy.requires_grad and torch.is_grad_enabled()):
        return clean
    return clean + (noisy - noisy.detach()) / level.signal


def _below(levels: Levels, number: int, clean: Latents, eps: Latents) -> Latents:
    return levels.signal[number + 1].to(clean) * clean + levels.noise[number + 1].to(clean) * eps
