"""A fine-tuning for a budget: as many steps as fit into so many calls of the denoiser, and into so many seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from rewardkit.bench.films.prompt_files import read_examples
from rewardkit.bench.suites import Budget, Method, MethodsSuite
from rewardkit.engine.create import create_backbone
from rewardkit.engine.examples import Example
from rewardkit.engine.finetune import Finetuning, StepReport
from rewardkit.engine.guards import Look
from rewardkit.engine.lora import FILE, save_lora
from rewardkit.engine.run_folder import LOG
from rewardkit.errors import UsageError
from rewardkit.miniworld.clips import write_training_clips
from rewardkit.miniworld.prompts import training_truths
from rewardkit.reducers.create import create_reward

CALLS: Budget = "calls"
TIME: Budget = "time"
Run = tuple[str, int, str]
"""Method, training seed and budget; of the base model seed 0 and no budget."""


@dataclass(frozen=True)
class Tuned:
    """A training that took its budgets.

    Attributes:
        loras: folder of the LoRA by budget, `calls` or `time`.
        steps: taken until then, by budget.
        log: of every step.
        looks: what its guards saw.
    """

    loras: dict[Budget, Path]
    steps: dict[Budget, int]
    log: list[StepReport]
    looks: list[Look]

    def seconds(self, budget: Budget) -> float:
        """Taken within a budget."""
        return sum(report.seconds for report in self.log[: self.steps[budget]])


def training_examples(suite: MethodsSuite, folder: Path) -> list[Example]:
    """What all methods learn from; clips of the mini world are drawn into `folder` once."""
    if suite.training is not None:
        return read_examples(suite.training)
    manifest = folder / "prompts.csv"
    if not manifest.is_file():  # it is written last; drawn anew, the clips would be encoded anew, too
        write_training_clips(folder, training_truths())
    return read_examples(manifest)


def tune(
    suite: MethodsSuite,
    method: Method,
    seed: int,
    examples: Sequence[Example],
    watch: Sequence[str],
    folder: Path,
    seconds: float | None,
    show: Callable[[StepReport], None],
) -> Tuned:
    """Trains until both budgets are used up; goes on where it was interrupted.

    Args:
        suite, method, seed: what is trained, and how.
        examples: to learn from.
        watch: prompts of the guards' films.
        folder: of the training.
        seconds: the budget of time; None takes as long as the calls do.
        show: called after each step.

    Raises:
        UsageError: a single step is over a budget.
    """
    generator = create_backbone(suite.backbone, suite.model, suite.device, memory=suite.memory)
    config = suite.config(method, seed)
    reward = create_reward(method.reward or suite.reward, device=suite.device, dtype=suite.dtype)
    others = {name: create_reward(name, device=suite.device, dtype=suite.dtype) for name in suite.rewards}
    held_out = {name: other for name, other in others.items() if other.name != reward.name}
    training = Finetuning(
        generator,
        reward,
        examples,
        config,
        folder,
        held_out=held_out,
        watch=watch,
        shape=generator.default_shape.but(suite.films.frames, suite.films.height, suite.films.width),
    )
    if training.looks and training.looks[0].held_out.keys() != held_out.keys():
        raise UsageError(f"{folder} was trained with other rewards to measure by: take another --out, or delete it")
    log = read_log(folder)
    reached = _reached(log, suite.calls, seconds)
    loras = {budget: folder / f"lora-{budget}" for budget in suite.budgets}

    def left() -> set[Budget]:
        return {budget for budget in loras if budget not in reached}

    for report in training.steps() if left() else ():
        log.append(report)
        show(report)
        training.look_if_due()
        known = left()
        reached = _reached(log, suite.calls, seconds)
        for budget in known - left():
            save_lora(generator, config.lora, loras[budget], {"step": str(report.step)})
        if known != left() or report.step % config.checkpoint_every == 0:
            training.save()
        if not left():
            break
    for budget, lora in loras.items():
        _check_step(lora, reached[budget])
    return Tuned(loras, reached, log, training.looks)


def _check_step(lora: Path, step: int) -> None:
    """A training that went on under another budget has no LoRA of this one."""
    path = lora / FILE
    found = None
    if path.is_file():
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get("step")
    if found != str(step):
        raise UsageError(f"{lora.parent} was trained under another budget: take another --out, or delete it")


def read_log(folder: Path) -> list[StepReport]:
    """The steps of a training so far."""
    path = folder / LOG
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [StepReport.model_validate_json(line) for line in lines]


def _reached(log: Sequence[StepReport], calls: int, seconds: float | None) -> dict[Budget, int]:
    """The step at which each budget holds no further one like it."""
    found: dict[Budget, int] = {}
    spent, took = 0, 0.0
    for report in log:
        own = report.denoiser_calls or 0
        spent, took = spent + own, took + report.seconds
        if report.step == 1 and own > calls:
            raise UsageError(f"a step takes {own:,} calls of the denoiser: the budget of {calls:,} holds none")
        if CALLS not in found and spent + own > calls:
            found[CALLS] = report.step
        if TIME not in found and (CALLS in found if seconds is None else took + report.seconds > seconds):
            found[TIME] = report.step
    return found
