"""A batch on trial: how its films start, and what the reward says of what became of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rewardkit.engine.activations import bytes_kept
from rewardkit.engine.denoise import Guidance, Words, gradient_passes, guided_clean, level_at
from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.lora import lora_at
from rewardkit.engine.noise import Latents, Levels, corrupt, draw_noise
from rewardkit.reducers.finite import check_finite
from rewardkit.reducers.plan import FramePlan
from rewardkit.reducers.reward import Reward


@dataclass(frozen=True, eq=False)
class Group:
    """Films that are walked together.

    Attributes:
        prompts: one a film.
        words: the prompts as the denoiser reads them.
        clean: what the walk starts part-way from; None where it starts at noise.
        seeds: one a film. All that is random about a film in a step is drawn from its seed, so that neither the size
            of a batch nor the number of processes nor an interruption changes a draw.
        step_seed: for what is drawn once for a whole step.
    """

    prompts: Sequence[str]
    words: Words
    clean: Latents | None
    seeds: Sequence[str]
    step_seed: str

    def __len__(self) -> int:
        return len(self.prompts)

    def random(self, what: str) -> torch.Generator:
        """What a whole step draws from."""
        return seeded(self.step_seed, what)

    def randoms(self, what: str) -> list[torch.Generator]:
        """What each film draws from."""
        return [seeded(seed, what) for seed in self.seeds]


@dataclass(frozen=True, eq=False)
class Judged:
    """What the reward says of films.

    Attributes:
        score: by which they are trained, with gradient where latents carried it.
        facts: for the log: the mean score, the mean over frames before any weights, and the share of saturated pixels.
    """

    score: Float[Tensor, " batch"]
    facts: dict[str, float]


@dataclass(frozen=True, eq=False)
class Bench:
    """What stays the same from batch to batch.

    Attributes:
        generator: with its LoRA.
        reward: to train on.
        levels: the whole chain.
        shape: of the films in pixels.
        offset: of the noise; see `draw_noise`.
        kept_a_film: bytes that a step with gradient keeps of one film for the way back; None where none are kept.
    """

    generator: Generator
    reward: Reward
    levels: Levels
    shape: FilmShape
    device: torch.device
    offset: float = 0.0
    kept_a_film: int | None = None

    def kept_steps(self, chosen: frozenset[int], films: int) -> frozenset[int]:
        """The last of the chosen steps, as many as `Memory.activations` has room for."""
        if not self.kept_a_film:
            return frozenset()
        room = int(self.generator.memory.activations * 1e9 // (self.kept_a_film * films))
        return frozenset(sorted(chosen, reverse=True)[:room])

    def kept_by_a_step(self, words: Words, guidance: Guidance) -> int:
        """Bytes that a step with gradient keeps of one film: those of one pass, which is made, times its passes."""
        noisy = torch.zeros(1, *self.generator.latent_shape(self.shape), device=self.device, requires_grad=True)
        level = level_at(self.levels, len(self.levels) - 1, noisy)
        of_a_pass = bytes_kept(lambda: guided_clean(self.generator, noisy, level, words, Guidance(1.0), keep=True))
        return of_a_pass * gradient_passes(self.generator, level, guidance)

    def noise(self, group: Group, what: str = "noise") -> Latents:
        """The noise of that name of every film."""
        size = self.generator.latent_shape(self.shape)
        return draw_noise(size, group.randoms(what), self.offset).to(self.device)

    def start(self, group: Group, levels: Levels) -> tuple[Latents, Latents]:
        """The latents at the first of `levels`, and the noise in them."""
        eps = self.noise(group)
        return (eps if group.clean is None else corrupt(group.clean, levels, eps)), eps

    def judge(self, group: Group, latents: Latents) -> Judged:
        """Decodes the frames that the reward asks for, and no others, and scores them.

        Raises:
            RewardFailedError: a score is not a finite number.
        """
        plans = [self.reward.plan(self.shape.frames, generator=random) for random in group.randoms("frames")]
        plan = FramePlan.stack(plans)
        frames = self.generator.decode(latents, plan.index.to(latents.device))
        detail = self.reward.detail(frames, group.prompts, plan=plan)
        learned = detail.score.to(self.device)  # the reward may live elsewhere
        scores = learned.detach()
        check_finite(self.reward.name, "score", scores, group.prompts)
        pixels = frames.detach()
        facts = {
            "score": float(scores.mean()),
            "reward": float((scores if detail.per_frame is None else detail.per_frame.detach()).mean()),
            "saturated": float(((pixels <= 0) | (pixels >= 1)).float().mean()),
        }
        return Judged(learned, facts)

    def base(self) -> AbstractContextManager[None]:
        """In here the generator is the base model."""
        return lora_at(self.generator, 0.0)


def noise_error(levels: Levels, number: int, clean: Latents, noisy: Latents, eps: Latents) -> Float[Tensor, " batch"]:
    """Mean squared error of the estimate of the noise that an estimate of the clean latents means, film by film."""
    signal, noise = levels.signal[number].to(noisy), levels.noise[number].to(noisy)
    return ((noisy - signal * clean) / noise - eps).pow(2).flatten(1).mean(dim=1)


def film_noise(size: tuple[int, int, int, int], films: Iterable[tuple[str, int]]) -> Latents:
    """The noise that the film of each prompt and seed begins with, whichever other films stand beside it."""
    return draw_noise(size, [seeded("film", prompt, seed) for prompt, seed in films])


def seeded(*words: object) -> torch.Generator:
    """A generator on the CPU that depends on nothing but `words`."""
    digest = hashlib.sha256("\0".join(map(str, words)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
