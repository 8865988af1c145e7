"""The walk from noise to a film: gradient through chosen steps, no graph for all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rewardkit.engine.generator import Embedding, Generator, Level
from rewardkit.engine.noise import Latents, Levels, passes_through


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance: without + scale * (with - without), on the estimate of clean latents.

    Attributes:
        scale: 1 is none, and costs one pass a step instead of two; None is the authors'. A generator with embedded
            guidance is told it, and takes one pass whatever it is.
        gradient: through which pass it goes: `both`, as in InstructVideo; `conditional`, where the other's output is a
            constant; or `off`, where the one with the prompt carries all of it as if the scale were 1.
    """

    scale: float | None = 1.0
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
    kept_steps: frozenset[int] = frozenset(),
) -> Latents:
    """Walks `noisy`, which is at the first of `levels`, down to the last.

    Passes of chosen steps are checkpointed: their activations are computed again on the way back, so that memory holds
    one pass's however many steps are chosen; those of `kept_steps` are kept instead. Steps before the first chosen one
    build no graph. In steps between, the denoiser's output is a constant and gradient passes through the step's own
    arithmetic.
    """
    for number in range(len(levels)):
        if number in gradient_steps and torch.is_grad_enabled():
            noisy = _step(generator, noisy, levels, number, words, guidance, number in kept_steps)
        else:
            noisy = _constant_step(generator, noisy, levels, number, words, guidance)
    return noisy


def guided_clean(
    generator: Generator, noisy: Latents, level: Level, words: Words, guidance: Guidance, keep: bool = False
) -> Latents:
    """The estimate of clean latents with guidance.

    A pass that gradient goes through is checkpointed and runs by itself. Without gradient, or where activations are
    to be kept anyway, the two run as one batch.
    """
    scale, said = _scale(generator, level, guidance), told(generator, level, words, guidance)
    if scale == 1 or generator.guidance == "embedded":
        return _pass(generator, noisy, level, said, keep)
    grad = torch.is_grad_enabled()
    if not generator.memory.split_guidance and (not grad or (keep and guidance.gradient == "both")):
        twice = {name: torch.cat([part, words.prompts[name]]) for name, part in words.empty.items()}
        without, with_words = _pass(generator, torch.cat([noisy, noisy]), level, twice, keep).chunk(2)
        return without + scale * (with_words - without)
    with_words = _pass(generator, noisy, level, said, keep)
    with torch.set_grad_enabled(grad and guidance.gradient == "both"):
        without = _pass(generator, noisy, level, words.empty, keep)
    if guidance.gradient == "conditional":
        without = _with_constant_output(generator, without, noisy, level)
    guided = without + scale * (with_words - without)
    return with_words + (guided - with_words).detach() if guidance.gradient == "off" else guided


def gradient_passes(generator: Generator, level: Level, guidance: Guidance) -> int:
    """Passes of a step that gradient goes through."""
    one = generator.guidance == "embedded" or _scale(generator, level, guidance) == 1
    return 1 if one or guidance.gradient != "both" else 2


def told(generator: Generator, level: Level, words: Words, guidance: Guidance) -> Embedding:
    """What the pass with the prompt is told: the prompt, and the scale where guidance is embedded."""
    if generator.guidance != "embedded":
        return words.prompts
    some = next(iter(words.prompts.values()))
    return {**words.prompts, "guidance": some.new_full((len(some),), _scale(generator, level, guidance))}


def _scale(generator: Generator, level: Level, guidance: Guidance) -> float:
    return generator.guidance_at(level) if guidance.scale is None else guidance.scale


def level_at(levels: Levels, number: int, like: Tensor) -> Level:
    """The level that step `number` starts from."""
    return Level(*(values[number].to(like.device) for values in (levels.timestep, levels.signal, levels.noise)))


def _pass(generator: Generator, noisy: Latents, level: Level, embedding: Embedding, keep: bool) -> Latents:
    grad = torch.is_grad_enabled()
    if grad:
        torch.clear_autocast_cache()  # pytorch#165068: older ones keep weights cast without gradient there
    if keep or not grad:
        return generator.predict_clean(noisy, level, embedding)
    clean: Latents = checkpoint(generator.predict_clean, noisy, level, embedding, use_reentrant=False)
    return clean


def _step(
    generator: Generator, noisy: Latents, levels: Levels, number: int, words: Words, guidance: Guidance, keep: bool
) -> Latents:
    level = level_at(levels, number, noisy)
    return below(levels, number, guided_clean(generator, noisy, level, words, guidance, keep), noisy)


def _constant_step(
    generator: Generator, noisy: Latents, levels: Levels, number: int, words: Words, guidance: Guidance
) -> Latents:
    """A step in which the denoiser's output is a constant, and the rest is linear in `noisy`."""
    level = level_at(levels, number, noisy)
    with torch.no_grad():
        clean = guided_clean(generator, noisy, level, words, guidance)
    return below(levels, number, _with_constant_output(generator, clean, noisy, level), noisy)


def _with_constant_output(generator: Generator, clean: Latents, noisy: Latents, level: Level) -> Latents:
    """An estimate made without gradient gets that of a denoiser whose output is a constant; its values stay."""
    if not (noisy.requires_grad and torch.is_grad_enabled()):
        return clean
    return clean + passes_through(generator.prediction, level.signal.to(noisy)) * (noisy - noisy.detach())


def below(levels: Levels, number: int, clean: Latents, noisy: Latents) -> Latents:
    """One step down: the estimates of the film and of the noise, mixed anew."""
    _, signal, noise, signal_below, noise_below = (part[number].to(clean) for part in vars(levels).values())
    below: Latents = signal_below * clean + noise_below * (noisy - signal * clean) / noise
    return below
