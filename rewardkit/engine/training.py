"""A fine-tuning described in words: names of backbone and rewards, as a file or the command line gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import PositiveInt

from rewardkit.engine.create import create_backbone
from rewardkit.engine.examples import Example
from rewardkit.engine.finetune import FinetuneResult, Finetuning, StepReport
from rewardkit.engine.memory import AnyMemory
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.reducers.create import create_reward


class TrainingConfig(FinetuneConfig):
    """The settings of a fine-tuning, and what it is made of.

    Attributes:
        backbone: a registered name.
        model: folder or hub id, where the backbone brings none.
        reward: to train on, in one line with its frames and weights; segments and attenuation are InstructVideo's.
        held_out: rewards that are watched and not trained on.
        prompts: file of prompts, or manifest of clips.
        watch: file of the guards' prompts.
        out: folder of the training.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: of frozen weights; the LoRA is float32.
        memory: `low`, `auto`, `fast`, or a setting each; see `Memory`.
        frames: of the films; None is the backbone's own, and so for the sides.
        height: in pixels.
        width: in pixels.
        allow_outside: whether a manifest may name clips that are not in its own folder or below, also by links.
    """

    backbone: str = "miniworld"
    model: str | None = None
    reward: str = "technical[frames=segments:4;weights=attenuate:1.0]"
    held_out: tuple[str, ...] = ()
    prompts: Path | None = None
    watch: Path | None = None
    out: Path = Path("run")
    device: str = "auto"
    dtype: str = "auto"
    memory: AnyMemory = "auto"
    frames: PositiveInt | None = None
    height: PositiveInt | None = None
    width: PositiveInt | None = None
    allow_outside: bool = False


def train(
    settings: TrainingConfig,
    examples: Sequence[Example],
    watch: Sequence[str] | None = None,
    show: Callable[[StepReport], None] = lambda report: None,
) -> FinetuneResult:
    """Makes backbone and rewards, and fine-tunes; see `Finetuning`."""
    own = FinetuneConfig(**{name: getattr(settings, name) for name in FinetuneConfig.model_fields})
    generator = create_backbone(settings.backbone, settings.model, settings.device, settings.dtype, settings.memory)
    training = Finetuning(
        generator,
        create_reward(settings.reward, device=settings.device),
        examples,
        own,
        settings.out,
        held_out={name: create_reward(name, device=settings.device) for name in settings.held_out},
        watch=watch,
        shape=generator.default_shape.but(settings.frames, settings.height, settings.width),
    )
    return training.run(show)
