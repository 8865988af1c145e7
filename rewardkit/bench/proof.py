"""The whole loop in the mini world: fine-tune, make films without and with the LoRA, and measure the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rewardkit.bench.films.before_after import BeforeAfter, Measure, before_and_after
from rewardkit.bench.films.filming import ALL
from rewardkit.bench.pages.thumbnails import spread_over
from rewardkit.bench.pages.training_report import write_training_report
from rewardkit.engine.create import create_backbone
from rewardkit.engine.examples import Example
from rewardkit.engine.finetune import FinetuneResult, Finetuning, StepReport
from rewardkit.engine.guards import GuardSettings, motion
from rewardkit.engine.objectives import RewardGradient
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.miniworld.clips import write_training_clips
from rewardkit.miniworld.measures import measure
from rewardkit.miniworld.prompts import judged_truths, training_truths
from rewardkit.miniworld.truth import caption, parse_caption
from rewardkit.reducers.create import create_reward
from rewardkit.reducers.reward import Reward
from rewardkit.scoring.manifest import read_manifest

TRAINED, HELD_OUT = "miniworld", "miniworld-judge"
REWARD = f"{TRAINED}[frames=segments:4;weights=attenuate:1.0]"
RIGHT, WATERMARK, MOTION = "right colour and direction", "watermark", "motion"
RUN, PAGE = "run", "finetune.html"

CONFIG = FinetuneConfig(
    objective=RewardGradient(start="clip", tau=0.6),
    guards=GuardSettings(every=20, prompts=8, seeds=2, least_diversity=0.4),
    steps=40,
    batch_size=8,
    learning_rate=2e-3,
    warmup=5,
    checkpoint_every=20,
)
"""Of the fine-tuning: InstructVideo from clips of mixed quality, at a rate for a tiny model.

Films that are all good are alike to begin with: they keep 60 % of the distance between films of mixed quality (drawn
with the renderer), so the guard of diversity stands below that.
"""


def prove(
    folder: Path,
    config: FinetuneConfig = CONFIG,
    *,
    reward: str = REWARD,
    each: int = 16,
    show: Callable[[StepReport], None] = lambda report: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[FinetuneResult, BeforeAfter, Path]:
    """Fine-tunes the mini world's generator on its preference reward, from clips drawn into `folder`.

    What is measured without and with the LoRA, on prompts of the three splits: the trained reward over all frames, the
    held-out judge, and by image analysis whether colour and direction are right, watermark and motion. A proof of the
    machinery only: it tells nothing of big models.

    Args:
        folder: for clips, run and page; an interrupted run goes on.
        config: of the fine-tuning.
        reward: to train on.
        each: prompts a split.
        show: called after each step.
        progress: called with films made and films in all.

    Returns:
        How the training ended, what changed, and the page.
    """
    clips = folder / "training-clips"
    manifest = clips / "prompts.csv"
    if not manifest.is_file():  # it is written last; drawn anew, the clips would be encoded anew, too
        write_training_clips(clips, training_truths())
    examples = [Example(entry.prompt, manifest.parent / entry.path) for entry in read_manifest(manifest)]
    splits = {name: [caption(truth) for truth in truths] for name, truths in judged_truths(each).items()}
    generator = create_backbone("miniworld")
    judge = create_reward(HELD_OUT)
    training = Finetuning(
        generator,
        create_reward(reward),
        examples,
        config,
        folder / RUN,
        held_out={HELD_OUT: judge},
        watch=spread_over([prompts[n] for n in range(each) for prompts in splits.values()], config.guards.prompts),
    )
    result = training.run(show)
    measured = before_and_after(
        generator, splits, measures({TRAINED: create_reward(TRAINED), HELD_OUT: judge}), progress=progress
    )
    page = folder / PAGE
    write_training_report(folder / RUN, page, measured, headline(measured))
    return result, measured, page


def measures(rewards: Mapping[str, Reward]) -> dict[str, Measure]:
    """Each reward's score, and what image analysis finds."""

    def by(reward: Reward) -> Measure:
        return lambda film, prompt: float(reward(film[None], [prompt]))

    return {name: by(reward) for name, reward in rewards.items()} | {
        RIGHT: lambda film, prompt: float(measure(film).agrees(parse_caption(prompt))),
        WATERMARK: lambda film, prompt: measure(film).watermark,
        "sharpness": lambda film, prompt: measure(film).sharpness,
        MOTION: lambda film, prompt: motion(film[None]),
    }


def headline(measured: BeforeAfter) -> str:
    """What became of the films, in one or two sentences."""
    found = measured.changes[ALL]

    def moved(name: str) -> str:
        change = found[name]
        low, high = change.difference_interval or (change.difference, change.difference)
        return f"{name} by {change.difference:+.3f} (95 %: {low:+.3f} to {high:+.3f})"

    right, mark, moves = found[RIGHT], found[WATERMARK], found[MOTION]
    return (
        f"Fine-tuning moved {moved(TRAINED)}, and {moved(HELD_OUT)}, which it never saw. Watermarks went from "
        f"{mark.mean_before:.3f} to {mark.mean_after:.3f}, {moves.mean_after / moves.mean_before:.0%} of the motion is "
        f"left; colour and direction are right in {right.mean_before:.0%} before, {right.mean_after:.0%} after."
    )
