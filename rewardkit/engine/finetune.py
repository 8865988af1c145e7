"""The training loop: one for every backbone, reward and objective. It saves, resumes, and knows when to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event

import torch
from pydantic import BaseModel
from torch import nn

from rewardkit.engine.checkpoints import Checkpoint, Checkpoints, State
from rewardkit.engine.examples import Example, Starts, WordCache, check_examples
from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.guards import Look, Verdict, judge
from rewardkit.engine.interruption import interruptible
from rewardkit.engine.looking import Looker, write_strip
from rewardkit.engine.lora import add_lora, check_lora, lora_metadata, lora_weights, save_lora
from rewardkit.engine.ranks import Ranks
from rewardkit.engine.run_folder import LOG, LOOKS, SAMPLES, RunFolder
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.step import Batches, Stepper
from rewardkit.engine.step import StepReport as StepReport
from rewardkit.engine.trial import Bench
from rewardkit.errors import UsageError
from rewardkit.reducers.reward import Reward


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
        BadCheckpointError: all checkpoints in the folder are damaged.
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
        given = list(examples)
        check_examples(given, config.objective)
        self.ranks = Ranks()
        self.ranks.share(range(config.batch_size))  # refuses what cannot be shared out, before anything is made
        self.folder = RunFolder(output_dir, self.ranks, config.trackers)
        check_lora(generator, config.lora)
        self.folder.claim(generator.name, reward.spec, given, config)
        self.weights = lora_weights(generator) or add_lora(generator, config.lora)
        self.ranks.prepare(generator.denoisers().values(), list(self.weights.values()))
        device = next(iter(self.weights.values())).device
        shape = shape or generator.default_shape
        levels = generator.levels(config.walk_steps, shape)
        self.bench = Bench(generator, reward, levels, shape, device, config.offset_noise)
        watched = list(watch or dict.fromkeys(example.prompt for example in given))
        words = WordCache(generator, [*(example.prompt for example in given), *watched], device)
        generator.free_text()
        if config.objective.needs_gradient and generator.memory.activations:
            some = words([given[0].prompt])
            kept = self.bench.kept_by_a_step(some, config.objective.scale())
            self.bench = replace(self.bench, kept_a_film=max(self.ranks.together([kept])))  # all keep the same steps
        starts = output_dir / "starts"
        made = Starts(self.bench, config.objective, words, config.seed, starts, self.ranks.together)
        self._batches = Batches(given, config, self.ranks, words, made)
        self._looker = Looker(self.bench, config, held_out or {}, watched, words)
        self._statistics = PromptStatistics(together=self.ranks.together)
        self.optimiser = torch.optim.AdamW(
            self.weights.values(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._stepper = Stepper(self.bench, config, self.ranks, self.weights, self.optimiser, self._statistics)
        self.checkpoints = Checkpoints(output_dir / "checkpoints", config.keep, self.ranks)
        self.looks: list[Look] = []
        self.step = 0
        self._last = self._resume()

    def run(self, show: Callable[[StepReport], None] = lambda report: None) -> FinetuneResult:
        """Takes all steps that are left, and shows each.

        Raises:
            KeyboardInterrupt: SIGINT or SIGTERM came; the last complete step is saved, see `interruptible`.
        """
        with interruptible(self._rescue) as asked:
            stopped = self._settle(asked) if self.step else []  # of the last step, too, which may have been broken off
            for report in () if stopped else self.steps():
                show(report)
                stopped = self._settle(asked)
                if stopped:
                    break
        lora = self.folder.path / "lora"
        if self.ranks.first:
            save_lora(self.generator, self.config.lora, lora, {"step": str(self.step)})
        self.ranks.wait()
        return FinetuneResult(steps=self.step, lora=lora, stopped=stopped, looks=self.looks)

    def steps(self) -> Iterator[StepReport]:
        """Takes steps until there are as many as the settings say; what happens between them is up to the caller."""
        with self.folder.tracked(self.config) if self.step < self.config.steps else nullcontext():
            if not self.looks and self.config.guards.every:
                self._look()  # at the base model
            while self.step < self.config.steps:
                report = self._stepper.take(self.step + 1, self._batches)
                self.folder.write(LOG, report)
                self.step += 1
                self._last = self._checkpoint()
                yield report

    def look_if_due(self) -> Verdict | None:
        """Looks at films where the guards' time has come, and says what is wrong with them."""
        every = self.config.guards.every
        if not every or (self.step % every and self.step != self.config.steps):
            return None
        if not self.looks or self.looks[-1].step != self.step:
            self._look()
        return judge(self.looks, self.config.guards)

    def save(self) -> None:
        """Writes a checkpoint.

        Raises:
            OutputError: there is no space for it; the last good one is kept.
        """
        self.ranks.wait()
        if self.ranks.first:
            self._write()
        self.ranks.wait()

    def _settle(self, asked: Event) -> list[str]:
        """Does what is due after a step, and says why the training stops here, if it does."""
        verdict = self.look_if_due()
        stopped = verdict.wrong if verdict and self.config.guards.action in ("stop", "roll back") else []
        interrupted = any(self.ranks.together([asked.is_set()]))  # all stop at the same step
        last = stopped or interrupted or self.step == self.config.steps
        if last or verdict or self.step % self.config.checkpoint_every == 0:
            self.save()  # also where the guards looked, so that what they call the best can be gone back to
        if stopped and verdict and self.config.guards.action == "roll back":
            self._go_back(verdict.best)
        if interrupted and not stopped and self.step < self.config.steps:
            raise KeyboardInterrupt
        return stopped

    def _look(self) -> None:
        films = self._looker.films()
        look, *_ = self.ranks.together([self._looker.look(self.step, films)])  # by which all judge alike
        if self.ranks.first:
            write_strip(films, self.folder.path / SAMPLES / f"{self.step:06d}.png")
        self.folder.write(LOOKS, look)
        self.looks.append(look)
        self._last = self._checkpoint()

    def _go_back(self, best: int) -> None:
        """To the best checkpoint, or to the base model where none was better."""
        if best:
            self.checkpoints.read(best, self.weights).put(self.weights, self.optimiser)
        else:
            for name, weight in self.weights.items():
                if ".lora_B" in name:
                    nn.init.zeros_(weight)

    def _checkpoint(self) -> Checkpoint:
        """Of this moment."""
        state = State(step=self.step, statistics=self._statistics.state(), looks=list(self.looks))
        return Checkpoint.of(self.weights, self.optimiser, state)

    def _write(self) -> None:
        """Writes the last complete step, whatever is under way."""
        last = self._last
        best = judge(last.state.looks, self.config.guards).best if last.state.looks else 0
        metadata = lora_metadata(self.generator, self.config.lora, {"step": str(last.state.step)})
        self.checkpoints.save(last, metadata, best)

    def _rescue(self) -> str:
        """The same where a step is broken off: other processes may be gone, so that nobody waits for them."""
        step = self._last.state.step
        if not step:
            return "it was the first, and nothing is saved"
        if not self.ranks.first:
            return "the first process saves those before"
        self._write()
        return f"step {step} is saved in {self.folder.path}"

    def _resume(self) -> Checkpoint:
        """Goes on from the newest checkpoint that can be read."""
        found = self.checkpoints.newest(self.weights)
        if found is not None:
            found.put(self.weights, self.optimiser)
            self._statistics.restore(found.state.statistics)
            self.looks = list(found.state.looks)
            self.step = found.state.step
        self.folder.cut(LOG, self.step)
        self.folder.cut(LOOKS, self.looks[-1].step if self.looks else -1)
        return found or self._checkpoint()


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
