"""What a fine-tuning is told: one model, from Python, TOML or YAML; unknown keys are errors."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from rewardkit.engine.guards import GuardSettings
from rewardkit.engine.lora import LoraSettings
from rewardkit.engine.objectives import AnyObjective, RewardGradient


class FinetuneConfig(BaseModel):
    """Settings of a fine-tuning; those of the paper are beside ours where they differ.

    Attributes:
        objective: how to learn from the reward; see `RewardGradient`, `Draft`, `RewardWeighted`, `Ddpo`.
        lora: size of the update.
        guards: when to look at what the reward cannot see, and what to do then.
        steps: batches to train on; the paper took 20,000.
        batch_size: films a step, over all processes.
        films_at_once: films that are walked together; None is all of a process's share. Less takes less memory, and
            gives the same gradient.
        learning_rate: of AdamW after `warmup` steps; the paper took 1e-5.
        warmup: steps over which the rate rises.
        weight_decay: of AdamW.
        max_grad_norm: longer gradients are shortened to it; None is off, as in the official code.
        loss_scale: the loss is multiplied by it, and the gradient divided: the last step's is small, see algorithm.md.
        walk_steps: of the whole chain, from noise.
        offset_noise: strength of the noise that a frame shares; 0.1 in the official code, 0 in the paper.
        seed: of everything random.
        checkpoint_every: steps between checkpoints.
        keep: checkpoints kept, beside the best.
        trackers: names that accelerate knows, such as tensorboard and wandb, whose packages are installed; a training
            that goes on is a new run there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: AnyObjective = Field(default_factory=RewardGradient)
    lora: LoraSettings = LoraSettings()
    guards: GuardSettings = GuardSettings()
    steps: PositiveInt = 200
    batch_size: PositiveInt = 8
    films_at_once: PositiveInt | None = None
    learning_rate: PositiveFloat = 1e-4
    warmup: NonNegativeInt = 10
    weight_decay: NonNegativeFloat = 0.0
    max_grad_norm: PositiveFloat | None = 1.0
    loss_scale: PositiveFloat = 1.0
    walk_steps: PositiveInt = 20
    offset_noise: NonNegativeFloat = 0.0
    seed: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: PositiveInt = 50
    keep: PositiveInt = 3
    trackers: tuple[str, ...] = ()
