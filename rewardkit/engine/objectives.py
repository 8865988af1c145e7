"""What is made smaller in each step: reward gradient (InstructVideo, DRaFT), reward-weighted regression, DDPO.

Each objective is its own settings. Scale, sign, clipping and normalisation of rewards belong here and never in a
reward.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
)
from torch import Tensor

from rewardkit.engine.denoise import Guidance, guided_clean, level_at, told, walk
from rewardkit.engine.generator import Level
from rewardkit.engine.gradient_steps import GRADIENT_STEPS, GradientSteps
from rewardkit.engine.noise import Latents, Levels
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.trial import Bench, Group, Judged, noise_error
from rewardkit.errors import UsageError
from rewardkit.spec import parse_part

NEAR = 1e-5  # a step that reaches no further has no effect on a film
Start = Literal["clip", "base", "noise"]
"""Where a walk begins: part-way from a training clip, part-way from a film of the base model, or at pure noise."""


def _gradient_steps(value: object) -> object:
    return parse_part(GradientSteps, value, GRADIENT_STEPS) if isinstance(value, str) else value


@dataclass(frozen=True)
class Loss:
    """A part of an update to go backward from, and what to log of it."""

    value: Float[Tensor, ""]
    facts: dict[str, float]


class Objective(BaseModel, ABC):
    """Settings and rule of one way to learn from a reward.

    Attributes:
        start: where walks begin. `clip` needs videos; `base` makes each prompt's film once with the base model.
        tau: the share of the chain that is walked, from a clip or a base film; from noise it is all of it.
        guidance: scale of the walk; None is the backbone's own. It must be that of later use.
        guidance_gradient: through which of the two passes gradient goes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    needs_gradient: ClassVar[bool]
    kind: str
    start: Start = "base"
    tau: Annotated[float, Field(gt=0, le=1)] = 0.6
    guidance: NonNegativeFloat | None = None
    guidance_gradient: Literal["both", "conditional", "off"] = "both"

    @abstractmethod
    def updates(self, bench: Bench, groups: Sequence[Group], statistics: PromptStatistics) -> Iterator[Iterator[Loss]]:
        """The updates of one batch: of each, losses that go backward one by one before the optimiser steps.

        Losses of one update add up to the batch's; a group is as many films as fit into memory at once.
        """

    def scale(self) -> Guidance:
        """Guidance of the walk."""
        return Guidance(self.guidance, self.guidance_gradient)

    def estimate(self, bench: Bench, group: Group, noisy: Latents, level: Level) -> Latents:
        """The estimate of clean latents by the pass with the prompt alone."""
        return bench.generator.predict_clean(noisy, level, told(bench.generator, level, group.words, self.scale()))

    def levels(self, bench: Bench) -> Levels:
        """The part of the chain that is walked."""
        return bench.levels if self.start == "noise" else bench.levels.last(self.tau)


class RewardGradient(Objective):
    """The reward's own gradient, through the chosen last steps of a partial walk: InstructVideo.

    loss = -mean(reward) + kl * KL(model | base) + anchor * reconstruction of the clip; both terms are taken at one
    random level of the walk, the same for a batch.

    Attributes:
        gradient_steps: through which steps gradient goes: `last`, `tail:4`, `uniform:3`, `random:2`, `steps:0,5,-1`.
        kl: weight of the squared distance to the base model's estimate of the noise.
        anchor: weight of the squared error of the estimate of the noise, the loss that the model was trained with.
        data_alignment: rewards count exp(-coefficient * that error) at the walk's start, so that clips which the
            model fits badly count less; 10 in the official code, where it is off.

    Source: InstructVideo, arXiv:2312.12490; ali-vilab/VGen@4014d1f.
    """

    needs_gradient: ClassVar[bool] = True
    kind: Literal["reward"] = "reward"
    gradient_steps: Annotated[GradientSteps, BeforeValidator(_gradient_steps), PlainSerializer(str)] = Field(
        default_factory=lambda: GRADIENT_STEPS["last"](), validate_default=True
    )
    kl: NonNegativeFloat = 0.0
    anchor: NonNegativeFloat = 0.0
    data_alignment: NonNegativeFloat = 0.0

    def updates(self, bench: Bench, groups: Sequence[Group], statistics: PromptStatistics) -> Iterator[Iterator[Loss]]:
        """One update."""
        yield (self._loss(bench, group, len(group) / sum(map(len, groups))) for group in groups)

    def _loss(self, bench: Bench, group: Group, share: float) -> Loss:
        levels = self.levels(bench)
        noisy, eps = bench.start(group, levels)
        chosen = self.gradient_steps.chosen(len(levels), group.random("steps"))
        if not any(levels.reach(number) > NEAR for number in chosen):
            raise UsageError(
                f"objective.gradient_steps = {self.gradient_steps} is a step that ends where it starts, as the last of "
                "the scheduler's spacing does: take tail:2"
            )
        kept = bench.kept_steps(chosen, len(group))
        latents = walk(bench.generator, noisy, levels, group.words, self.scale(), chosen, kept)
        judged = bench.judge(group, latents)
        rewards = judged.score
        if self.data_alignment:
            rewards = rewards * torch.exp(-self.data_alignment * self._misfit(bench, group, noisy, eps, levels))
        loss = -rewards.mean()
        facts = judged.facts
        if self.kl or self.anchor:
            kl, anchor = self._ties(bench, group, latents, eps, levels)
            loss = loss + self.kl * kl + self.anchor * anchor
            facts |= {"kl": float(kl.detach()), "reconstruction": float(anchor.detach())}
        return Loss(loss * share, facts)

    @torch.no_grad()
    def _misfit(
        self, bench: Bench, group: Group, noisy: Latents, eps: Latents, levels: Levels
    ) -> Float[Tensor, " batch"]:
        """Error of the estimate of the noise at the walk's start, film by film."""
        clean = self.estimate(bench, group, noisy, level_at(levels, 0, noisy))
        return noise_error(levels, 0, clean, noisy, eps)

    def _ties(
        self, bench: Bench, group: Group, latents: Latents, eps: Latents, levels: Levels
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Distance to the base model, and to the clip, at one level of the walk."""
        number = int(torch.randint(len(levels), (), generator=group.random("level")))
        goal = latents.detach() if group.clean is None else group.clean
        level = level_at(levels, number, goal)
        noisy = level.signal * goal + level.noise * eps
        clean = self.estimate(bench, group, noisy, level)
        with bench.base(), torch.no_grad():
            base = self.estimate(bench, group, noisy, level)
        apart = (level.signal / level.noise * (clean - base)).pow(2).mean()
        return apart, noise_error(levels, number, clean, noisy, eps).mean()


class Draft(RewardGradient):
    """The reward's gradient through the last steps of a whole walk from noise: DRaFT-K.

    Source: Clark et al., arXiv:2309.17400.
    """

    kind: Literal["draft"] = "draft"  # type: ignore[assignment]
    start: Literal["noise"] = "noise"


class RewardWeighted(Objective):
    """Reward-weighted regression: films are denoised as in training, and count by their reward.

    Films are made by the model as it is; the loss is the error of its estimate of the noise at a random level. No
    gradient of the reward is needed.

    Attributes:
        weighting: `exponential` counts exp((reward - mean) / (temperature * deviation)), normalised to a mean of 1,
            by prompt where there are enough; `raw` counts the reward itself, as the official code does.
        temperature: the lower, the more the best films count.

    Source: Lee et al., arXiv:2302.12192; ali-vilab/VGen@4014d1f (`RWRRewardModel`) for `raw`.
    """

    needs_gradient: ClassVar[bool] = False
    kind: Literal["rwr"] = "rwr"
    weighting: Literal["exponential", "raw"] = "exponential"
    temperature: PositiveFloat = 1.0

    def updates(self, bench: Bench, groups: Sequence[Group], statistics: PromptStatistics) -> Iterator[Iterator[Loss]]:
        """One update."""
        levels, made, verdicts = self.levels(bench), [], []
        with torch.no_grad():
            for group in groups:
                noisy, _ = bench.start(group, levels)
                made.append(walk(bench.generator, noisy, levels, group.words, self.scale()))
                verdicts.append(bench.judge(group, made[-1]))
        weights = self._weights(groups, verdicts, statistics)
        yield (
            self._loss(bench, *parts, len(weights))
            for parts in zip(groups, made, verdicts, torch.split(weights, list(map(len, groups))), strict=True)
        )

    def _weights(
        self, groups: Sequence[Group], verdicts: Sequence[Judged], statistics: PromptStatistics
    ) -> Float[Tensor, " batch"]:
        rewards = torch.cat([judged.score for judged in verdicts])
        if self.weighting == "raw":
            return rewards
        advantages = statistics.advantages([prompt for group in groups for prompt in group.prompts], rewards)
        weights = (advantages / self.temperature).exp()
        return weights / weights.mean()

    def _loss(
        self, bench: Bench, group: Group, made: Latents, judged: Judged, weights: Float[Tensor, " batch"], total: int
    ) -> Loss:
        number = int(torch.randint(len(bench.levels), (), generator=group.random("level")))
        eps = bench.noise(group)
        level = level_at(bench.levels, number, made)
        noisy = level.signal * made + level.noise * eps
        clean = self.estimate(bench, group, noisy, level)
        error = noise_error(bench.levels, number, clean, noisy, eps)
        return Loss((weights * error).sum() / total, judged.facts | {"reconstruction": float(error.detach().mean())})


class Ddpo(Objective):
    """Policy gradient over the steps of a walk with added noise. Needs no gradient of the reward.

    Attributes:
        eta: of the added noise, 1 is DDPM's; must be above 0, or no step has a probability.
        inner_epochs: updates a batch; after the first, the ratio of probabilities is clipped.
        clip: how far that ratio may leave 1.
        most: greatest advantage.

    Source: Black et al., arXiv:2305.13301; as there, log-probabilities are means over all numbers of the latents.
    """

    needs_gradient: ClassVar[bool] = False
    kind: Literal["ddpo"] = "ddpo"
    start: Start = "noise"
    eta: PositiveFloat = 1.0
    inner_epochs: PositiveInt = 1
    clip: PositiveFloat = 1e-4
    most: PositiveFloat = 5.0

    def updates(self, bench: Bench, groups: Sequence[Group], statistics: PromptStatistics) -> Iterator[Iterator[Loss]]:
        """As many as there are inner epochs, over trajectories that are drawn once."""
        with torch.no_grad():
            paths = [self._path(bench, group) for group in groups]
            verdicts = [bench.judge(group, path[-1]) for group, path in zip(groups, paths, strict=True)]
        prompts = [prompt for group in groups for prompt in group.prompts]
        advantages = statistics.advantages(prompts, torch.cat([judged.score for judged in verdicts]))
        parts = torch.split(advantages.clamp(-self.most, self.most), list(map(len, groups)))
        before = [self._probabilities(bench, group, path) for group, path in zip(groups, paths, strict=True)]
        for _ in range(self.inner_epochs):
            yield (
                self._loss(bench, group, path, number, old[number], advantage / len(advantages), judged)
                for group, path, old, advantage, judged in zip(groups, paths, before, parts, verdicts, strict=True)
                for number in old
            )

    def _path(self, bench: Bench, group: Group) -> list[Latents]:
        levels = self.levels(bench)
        path = [bench.start(group, levels)[0]]
        for number in range(len(levels)):
            mean, deviation = self._step(bench, group, path[-1], number)
            path.append(mean + deviation * bench.noise(group, f"step {number}"))
        return path

    def _step(self, bench: Bench, group: Group, noisy: Latents, number: int) -> tuple[Latents, float]:
        """Mean and deviation of the next latents."""
        levels = self.levels(bench)
        level = level_at(levels, number, noisy)
        clean = guided_clean(bench.generator, noisy, level, group.words, self.scale())
        eps = (noisy - level.signal * clean) / level.noise
        signal, noise = float(levels.signal_below[number]), float(levels.noise_below[number])
        deviation = self.eta * added_noise(float(level.signal), float(level.noise), signal, noise)
        return signal * clean + math.sqrt(max(noise**2 - deviation**2, 0.0)) * eps, deviation

    @torch.no_grad()
    def _probabilities(self, bench: Bench, group: Group, path: Sequence[Latents]) -> dict[int, Float[Tensor, " batch"]]:
        """By step; the step to no noise at all, in which flow matching ends, has none."""
        noisy = [number for number in range(len(path) - 1) if self.levels(bench).noise_below[number] > 0]
        return {number: self._log_probability(bench, group, path, number) for number in noisy}

    def _log_probability(
        self, bench: Bench, group: Group, path: Sequence[Latents], number: int
    ) -> Float[Tensor, " batch"]:
        mean, deviation = self._step(bench, group, path[number], number)
        return log_probability(path[number + 1], mean, deviation)

    def _loss(
        self,
        bench: Bench,
        group: Group,
        path: Sequence[Latents],
        number: int,
        before: Float[Tensor, " batch"],
        advantage: Float[Tensor, " batch"],
        judged: Judged,
    ) -> Loss:
        ratio = (self._log_probability(bench, group, path, number) - before).exp()
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        loss = -torch.minimum(advantage * ratio, advantage * clipped).sum() / (len(path) - 1)
        moved = float((ratio - clipped).abs().gt(0).float().mean())
        return Loss(loss, judged.facts | {"clipped": moved})


AnyObjective = Annotated[RewardGradient | Draft | RewardWeighted | Ddpo, Field(discriminator="kind")]


def added_noise(signal: float, noise: float, signal_below: float, noise_below: float) -> float:
    """Deviation of the noise that DDPM adds in a step between two levels.

    For signal^2 + noise^2 = 1 it is DDIM's sigma at eta 1: sqrt((1-abar')/(1-abar) * (1 - abar/abar')).
    """
    return noise_below * math.sqrt(max(0.0, 1 - (signal * noise_below / (signal_below * noise)) ** 2))


def log_probability(value: Latents, mean: Latents, deviation: float) -> Float[Tensor, " batch"]:
    """Of a normal distribution, averaged over the numbers of each film.

    Raises:
        UsageError: no noise was added, so that there is no probability.
    """
    if deviation <= 0:
        raise UsageError(
            "a step without added noise has no probability: eta must be above 0, and a walk end above noise 0"
        )
    per_number = -((value - mean) ** 2) / (2 * deviation**2) - math.log(deviation) - 0.5 * math.log(2 * math.pi)
    return per_number.flatten(1).mean(dim=1)
