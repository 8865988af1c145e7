"""The training loop: one for every backbone, reward and objective. It saves, resumes, and knows when to stop."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from rewardkit.engine.checkpoints import Checkpoints
from rewardkit.engine.counting import CallCounter
from rewardkit.engine.examples import Example, Starts, WordCache, check_examples, order
from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.guards import Look, Verdict, judge
from rewardkit.engine.looking import Looker, write_strip
from rewardkit.engine.lora import add_lora, check_lora, lora_weights, save_lora
from rewardkit.engine.ranks import Ranks
from rewardkit.engine.run_folder import LOG, LOOKS, SAMPLES, RunFolder
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.trial import Bench, Group
from rewardkit.errors import RewardFailedError, UsageError
from rewardkit.reducers.reward import Reward


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


class FinetuneResult(BaseModel):
    """How a training ended.

    Attributes:
        steps: that were taken, over all runs.
        lora: the folder of the LoRA that counts: the last, or the best where guards rolled back.
        stopped: why it ended early, in words; empty if it did not.
        looks: what the guards saw.
    """

    steps: int
    lora: Path
    stopped: list[str]
    looks: list[Look]


class Finetuning:
    """A fine-tuning under way. `steps()` takes one step after the other, for loops of your own; `run()` takes all.

    Args:
        generator: from `create_backbone`; gets a LoRA, or goes on with the one that it has.
        reward: trained on.
        examples: prompts, or pairs of video and prompt.
        config: settings.
        output_dir: for checkpoints, log and caches; a training that was interrupted there goes on.
        held_out: rewards that are watched and not trained on.
        watch: prompts of the guards' films; None takes the first of the examples.
        shape: of the films; None is the backbone's own.

    Raises:
        BadInputError: examples that cannot be trained on.
        UsageError: settings that make no sense together or with the LoRA in the generator, trackers that are not
            there, or a folder that holds another training.
    """

    def __init__(
        self,
        generator: Generator,
        reward: Reward,
        examples: Sequence[Example],
        config: FinetuneConfig,
        output_dir: Path,
        *,
        held_out: Mapping[str, Reward] | None = None,
        watch: Sequence[str] | None = None,
        shape: FilmShape | None = None,
    ) -> None:
        self.generator, self.reward, self.config = generator, reward, config
        if config.objective.needs_gradient and not reward.differentiable:
            raise UsageError(
                f"{reward.name} gives no gradient, which the objective {config.objective.kind!r} needs: "
                'take objective.kind = "rwr" or "ddpo", or another reward'
            )
        self._examples = list(examples)
        check_examples(self._examples, config.objective)
        self.ranks = Ranks()
        self.ranks.share(range(config.batch_size))  # refuses what cannot be shared out, before anything is made
        self.folder = RunFolder(output_dir, self.ranks, config.trackers)
        check_lora(generator, config.lora)
        self.folder.claim(generator.name, reward.spec, self._examples, config)
        self.weights = lora_weights(generator) or add_lora(generator, config.lora)
        self.ranks.prepare(generator.denoisers().values(), list(self.weights.values()))
        device = next(iter(self.weights.values())).device
        shape = shape or generator.default_shape
        levels = generator.levels(config.walk_steps, shape)
        self.bench = Bench(generator, reward, levels, shape, device, config.offset_noise)
        watched = list(watch or dict.fromkeys(example.prompt for example in self._examples))
        self._words = WordCache(generator, [*(example.prompt for example in self._examples), *watched], device)
        generator.free_text()
        if config.objective.needs_gradient and generator.memory.activations:
            some = self._words([self._examples[0].prompt])
            kept = self.bench.kept_by_a_step(some, config.objective.scale())
            self.bench = replace(self.bench, kept_a_film=max(self.ranks.together([kept])))  # all keep the same steps
        self._calls = CallCounter(generator.denoisers().values())
        starts = output_dir / "starts"
        self._starts = Starts(self.bench, config.objective, self._words, config.seed, starts, self.ranks.together)
        self._looker = Looker(self.bench, config, held_out or {}, watched, self._words)
        self._statistics = PromptStatistics(together=self.ranks.together)
        self.optimiser = torch.optim.AdamW(
            self.weights.values(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.checkpoints = Checkpoints(output_dir / "checkpoints", config.keep)
        self.looks: list[Look] = []
        self.step = self._resume()

    def run(self, show: Callable[[StepReport], None] = lambda report: None) -> FinetuneResult:
        """Takes all steps that are left, and shows each.

        Raises:
            KeyboardInterrupt: SIGINT or SIGTERM came; the step under way was finished and saved.
        """
        stopped: list[str] = []
        with interruptible() as asked:
            for report in self.steps():
                show(report)
                verdict = self.look_if_due()
                stopped = verdict.wrong if verdict and self.config.guards.action in ("stop", "roll back") else []
                interrupted = any(self.ranks.together([asked.is_set()]))  # all stop at the same step
                last = stopped or interrupted or report.step == self.config.steps
                if last or verdict or report.step % self.config.checkpoint_every == 0:
                    self.save()  # also where the guards looked, so that what they call the best can be gone back to
                if stopped:
                    if verdict and self.config.guards.action == "roll back":
                        self._go_back(verdict.best)
                    break
                if interrupted and report.step < self.config.steps:
                    raise KeyboardInterrupt
        lora = self.folder.path / "lora"
        if self.ranks.first:
            save_lora(self.generator, self.config.lora, lora, {"step": str(self.step)})
        return FinetuneResult(steps=self.step, lora=lora, stopped=stopped, looks=self.looks)

    def steps(self) -> Iterator[StepReport]:
        """Takes steps until there are as many as the settings say; what happens between them is up to the caller."""
        with self.folder.tracked(self.config) if self.step < self.config.steps else nullcontext():
            if not self.looks and self.config.guards.every:
                self._look()  # at the base model
            while self.step < self.config.steps:
                report = self._take()
                self.folder.write(LOG, report)
                yield report

    def look_if_due(self) -> Verdict | None:
        """Looks at films where the guards' time has come, and says what is wrong with them."""
        every = self.config.guards.every
        if not every or (self.step % every and self.step != self.config.steps):
            return None
        self._look()
        return judge(self.looks, self.config.guards)

    def save(self) -> None:
        """Writes a checkpoint.

        Raises:
            OutputError: there is no space for it; the last good one is kept.
        """
        self.ranks.wait()
        if self.ranks.first:
            best = judge(self.looks, self.config.guards).best if self.looks else 0
            state = {"statistics": self._statistics.state(), "looks": [look.model_dump() for look in self.looks]}
            self.checkpoints.save(self.step, self.generator, self.config.lora, self.optimiser, state, best)
        self.ranks.wait()

    def _take(self) -> StepReport:
        start, calls = time.perf_counter(), self._calls.films
        rate = self.config.learning_rate * min(1.0, (self.step + 1) / max(1, self.config.warmup))
        facts: dict[str, list[float]] = defaultdict(list)
        norms: list[float] = []
        for update in self.config.objective.updates(self.bench, self._groups(), self._statistics):
            self.optimiser.zero_grad(set_to_none=True)
            for loss in update:
                (loss.value * self.config.loss_scale).backward()  # type: ignore[no-untyped-call]
                for name, value in loss.facts.items():
                    facts[name].append(value)
            norms.append(self._gradient())
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.step()
        self.step += 1
        means = {name: sum(values) / len(values) for name, values in facts.items()}
        shared = self.ranks.together([means])
        means = {name: sum(one[name] for one in shared) / len(shared) for name in means}
        seconds = time.perf_counter() - start
        return StepReport(
            step=self.step,
            facts=means,
            gradient_norm=max(norms),
            learning_rate=rate,
            seconds=round(seconds, 3),
            denoiser_calls=self._calls.films - calls,
        )

    def _gradient(self) -> float:
        """Brings the gradient into shape, and gives its length.

        Raises:
            RewardFailedError: it is not finite, or in the first step zero everywhere.
        """
        weights = list(self.weights.values())
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            weight.grad /= self.config.loss_scale
        self.ranks.average(weights)
        longest = math.inf if self.config.max_grad_norm is None else self.config.max_grad_norm
        norm = float(nn.utils.clip_grad_norm_(weights, longest))
        if not math.isfinite(norm):
            raise RewardFailedError(
                f"the gradient of step {self.step + 1} is {norm}: lower learning_rate or loss_scale; "
                "the last checkpoint is kept"
            )
        if norm == 0 and self.step == 0:
            raise RewardFailedError(
                f"no gradient of {self.reward.name} reaches the LoRA in the first step: "
                "it may be constant, or all pixels saturated"
            )
        return norm

    def _groups(self) -> list[Group]:
        chosen = order(len(self._examples), self.config.batch_size, self.step, self.config.seed)
        places = list(self.ranks.share(list(enumerate(chosen))))
        size = self.config.films_at_once or len(places)
        step_seed = f"{self.config.seed}/{self.step}"
        groups = []
        for first in range(0, len(places), size):
            some = places[first : first + size]
            examples = [self._examples[number] for _, number in some]
            prompts = [example.prompt for example in examples]
            seeds = [f"{step_seed}/{place}" for place, _ in some]
            groups.append(Group(prompts, self._words(prompts), self._starts(examples), seeds, step_seed))
        return groups

    def _look(self) -> None:
        films = self._looker.films()
        look, *_ = self.ranks.together([self._looker.look(self.step, films)])  # by which all judge alike
        if self.ranks.first:
            write_strip(films, self.folder.path / SAMPLES / f"{self.step:06d}.png")
        self.looks.append(look)
        self.folder.write(LOOKS, look)

    def _go_back(self, best: int) -> None:
        """To the best checkpoint, or to the base model where none was better."""
        if best:
            self.checkpoints.load(best, self.generator)
        else:
            for name, weight in self.weights.items():
                if ".lora_B" in name:
                    nn.init.zeros_(weight)

    def _resume(self) -> int:
        """The step to go on from: that of the newest checkpoint."""
        steps = self.checkpoints.steps()
        if not steps:
            self.folder.cut(0)
            return 0
        state = self.checkpoints.load(steps[-1], self.generator, self.optimiser)
        self._statistics.restore(state["statistics"])
        self.looks = [Look.model_validate(look) for look in state["looks"]]
        self.folder.cut(steps[-1])
        return steps[-1]


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """In here SIGINT and SIGTERM only set the event, so that a step can be finished; the second one breaks off."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finetune(
    generator: Generator,
    reward: Reward,
    *,
    prompts: Sequence[str] | None = None,
    examples: Sequence[Example] | None = None,
    config: FinetuneConfig | None = None,
    output_dir: str | Path,
    held_out: Mapping[str, Reward] | None = None,
    watch: Sequence[str] | None = None,
    shape: FilmShape | None = None,
) -> FinetuneResult:
    """Fine-tunes a generator on a reward; see `Finetuning` for what each word means. Give `prompts` or `examples`."""
    if (prompts is None) == (examples is None):
        raise UsageError("finetune needs either prompts or examples (pairs of prompt and video)")
    if isinstance(prompts, str):
        raise UsageError(f"finetune needs a list of prompts: got the text {prompts!r}")
    given = list(examples) if examples is not None else [Example(prompt) for prompt in prompts or ()]
    settings = config or FinetuneConfig()
    training = Finetuning(
        generator, reward, given, settings, Path(output_dir), held_out=held_out, watch=watch, shape=shape
    )
    return training.run()
