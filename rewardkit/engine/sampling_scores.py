"""What a reward says of films while a pipeline of diffusers makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.noise import Latents, heading_for
from rewardkit.errors import UsageError
from rewardkit.reducers.reward import Reward


class SamplingScore(NamedTuple):
    """Scores at a step.

    Attributes:
        step: counted from 0.
        timestep: what the denoiser was told.
        score: of each film, in main memory.
    """

    step: int
    timestep: float
    score: Float[Tensor, " film"]


class SamplingScores:
    """A callback for pipelines of diffusers: `pipe(prompts, num_inference_steps=30, callback_on_step_end=scores)`.

    Scored is the film that a step headed for: the clean latents that its start and its end have in common. After the
    last step that is the finished film. The first step's start is not shown to callbacks, so that the second is the
    first to be scored.
    Pipelines with the older `callback` (ModelScope's) take `callback=scores.after`.

    Attributes:
        found: the scores so far.

    Args:
        generator: the adapter of the pipeline's backbone, such as the one whose `plain()` the pipeline is.
        reward: only the frames that it looks at are decoded; they are the same in all steps.
        prompts: one a film of the call.
        steps: `num_inference_steps` of the call.
        every: score each so many steps, and the last.
        shape: of the films in pixels; None is the backbone's own.

    Raises:
        UsageError: every is less than 1, or steps cannot be walked.
    """

    def __init__(
        self,
        generator: Generator,
        reward: Reward,
        prompts: Sequence[str],
        steps: int,
        every: int = 1,
        shape: FilmShape | None = None,
    ) -> None:
        if every < 1:
            raise UsageError(f"every is 1 or more: got {every}")
        self.found: list[SamplingScore] = []
        self._generator, self._reward, self._prompts = generator, reward, list(prompts)
        self._shape = shape or generator.default_shape
        self._levels, self._every = generator.levels(steps, self._shape), every
        self._plan = reward.plan(self._shape.frames, len(self._prompts))
        self._before: Latents | None = None

    def __call__(self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """As `callback_on_step_end`."""
        del pipeline
        self.after(step, timestep, tensors["latents"])
        return tensors

    @torch.no_grad()
    def after(self, step: int, timestep: Any, latents: Tensor) -> None:
        """Scores what step `step` headed for, from the latents at its end.

        Raises:
            UsageError: the pipeline takes more steps than was said, or makes films of another shape or number.
        """
        if step >= len(self._levels):
            raise UsageError(
                f"step {step + 1} of a walk of {len(self._levels)}: give the pipeline's num_inference_steps"
            )
        latents = self._generator.from_pipeline(latents, self._shape)
        expected = (len(self._prompts), *self._generator.latent_shape(self._shape))
        if latents.shape != expected:
            raise UsageError(
                f"the pipeline makes latents {tuple(latents.shape)}, expected {expected}: give prompts and shape"
            )
        before, self._before = self._before, latents
        last = step == len(self._levels) - 1
        if before is None or step == 0 or not (last or step % self._every == 0):
            return
        clean = heading_for(self._levels, step, before.float(), latents.float())
        frames = self._generator.decode(clean, self._plan.index.to(clean.device))
        score = self._reward(frames, self._prompts, plan=self._plan).cpu()
        self.found.append(SamplingScore(step, float(timestep), score))
