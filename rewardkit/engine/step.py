"""One step of a training: a batch, its losses, their gradient, and the LoRA's update."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from rewardkit.engine.counting import CallCounter
from rewardkit.engine.examples import Example, Starts, WordCache, order
from rewardkit.engine.ranks import Ranks
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.trial import Bench, Group
from rewardkit.errors import RewardFailedError


class StepReport(BaseModel):
    """What one step was like.

    Attributes:
        step: counted from 1.
        facts: means over the batch: `score` (what is trained on), `reward` (mean over frames, unweighted),
            `saturated`, and what the objective adds.
        gradient_norm: of the LoRA, before it was shortened.
        learning_rate: in this step.
        seconds: it took.
        denoiser_calls: films that went through the denoiser in it, recomputation included; None in logs of before.
    """

    model_config = ConfigDict(frozen=True)

    step: int
    facts: dict[str, float]
    gradient_norm: float
    learning_rate: float
    seconds: float
    denoiser_calls: int | None = None


class Batches:
    """The films of each step, this process's share of them, in groups that are walked together.

    Args:
        examples: all.
        config: settings.
        ranks: the processes.
        words: of the examples' prompts.
        starts: of their walks.
    """

    def __init__(
        self, examples: Sequence[Example], config: FinetuneConfig, ranks: Ranks, words: WordCache, starts: Starts
    ) -> None:
        self._examples, self._config, self._ranks, self._words, self._starts = examples, config, ranks, words, starts

    def of(self, step: int) -> list[Group]:
        """Those of the step, counted from 0."""
        chosen = order(len(self._examples), self._config.batch_size, step, self._config.seed)
        places = list(self._ranks.share(list(enumerate(chosen))))
        size = self._config.films_at_once or len(places)
        step_seed = f"{self._config.seed}/{step}"
        groups = []
        for first in range(0, len(places), size):
            some = places[first : first + size]
            examples = [self._examples[number] for _, number in some]
            prompts = [example.prompt for example in examples]
            seeds = [f"{step_seed}/{place}" for place, _ in some]
            groups.append(Group(prompts, self._words(prompts), self._starts(examples), seeds, step_seed))
        return groups


class Stepper:
    """Takes steps.

    Args:
        bench: with the LoRA in its generator.
        config: settings.
        ranks: the processes.
        weights: of the LoRA.
        optimiser: of the weights.
        statistics: that the objective keeps.
    """

    def __init__(
        self,
        bench: Bench,
        config: FinetuneConfig,
        ranks: Ranks,
        weights: Mapping[str, nn.Parameter],
        optimiser: torch.optim.Optimizer,
        statistics: PromptStatistics,
    ) -> None:
        self._bench, self._config, self._ranks = bench, config, ranks
        self._weights, self._optimiser, self._statistics = list(weights.values()), optimiser, statistics
        self._calls = CallCounter(bench.generator.denoisers().values())

    def take(self, step: int, batches: Batches) -> StepReport:
        """Takes the step, counted from 1.

        Raises:
            RewardFailedError: there is no gradient to go by.
        """
        start, calls = time.perf_counter(), self._calls.films
        rate = self._config.learning_rate * min(1.0, step / max(1, self._config.warmup))
        facts: dict[str, list[float]] = defaultdict(list)
        norms: list[float] = []
        for update in self._config.objective.updates(self._bench, batches.of(step - 1), self._statistics):
            self._optimiser.zero_grad(set_to_none=True)
            for loss in update:
                (loss.value * self._config.loss_scale).backward()  # type: ignore[no-untyped-call]
                for name, value in loss.facts.items():
                    facts[name].append(value)
            norms.append(self._gradient(step))
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            self._optimiser.step()
        means = {name: sum(values) / len(values) for name, values in facts.items()}
        shared = self._ranks.together([means])
        return StepReport(
            step=step,
            facts={name: sum(one[name] for one in shared) / len(shared) for name in means},
            gradient_norm=max(norms),
            learning_rate=rate,
            seconds=round(time.perf_counter() - start, 3),
            denoiser_calls=self._calls.films - calls,
        )

    def _gradient(self, step: int) -> float:
        """Brings the gradient into shape, and gives its length.

        Raises:
            RewardFailedError: it is not finite, or in the first step zero everywhere.
        """
        for weight in self._weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            weight.grad /= self._config.loss_scale
        self._ranks.average(self._weights)
        longest = math.inf if self._config.max_grad_norm is None else self._config.max_grad_norm
        norm = float(nn.utils.clip_grad_norm_(self._weights, longest))
        if not math.isfinite(norm):
            raise RewardFailedError(
                f"the gradient of step {step} is {norm}: lower learning_rate or loss_scale; the last checkpoint is kept"
            )
        if norm == 0 and step == 1:
            raise RewardFailedError(
                f"no gradient of {self._bench.reward.name} reaches the LoRA in the first step: "
                "it may be constant, or all pixels saturated"
            )
        return norm
