"""Ways to fine-tune, compared at equal cost: every method, seed by seed, filmed and judged on the same prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rewardkit.bench.films.entries import Judged, Shown, judge_entries
from rewardkit.bench.films.filming import prompt_splits
from rewardkit.bench.methods.report import BASE, MethodsReport
from rewardkit.bench.methods.tuning import CALLS, Run, Tuned, training_examples, tune
from rewardkit.bench.names import slug
from rewardkit.bench.pages.thumbnails import spread_over
from rewardkit.bench.result import Result
from rewardkit.bench.suites import Entry, MethodsSuite
from rewardkit.reducers.create import named_cards


def benchmark_methods(suite: MethodsSuite, out: Path, show: Shown) -> Result:
    """Trains, films and judges; what is in `out` already is not made again.

    Every method trains once a seed. It stops where the next step would go over the budget, at equal calls of the
    denoiser and at equal time: what the first method takes for its calls. Numbers are means over training seeds and
    films of a prompt, intervals are over prompts; they hold for these seeds.

    Raises:
        UsageError: settings that make no sense, or films in `out` that were made otherwise.
    """
    for reward in (suite.reward, *suite.rewards, *(method.reward for method in suite.methods if method.reward)):
        named_cards(reward)  # a wrong name ends it before anything is trained
    splits = prompt_splits(suite.films)
    prompts = [prompt for some in splits.values() for prompt in some]
    tuned = _train(suite, prompts, out, show)
    entries = {(BASE, 0, ""): Entry(name=BASE, backbone=suite.backbone, model=suite.model, memory=suite.memory)}
    for (name, seed), training in tuned.items():
        for budget in suite.budgets:
            told = f"{name}, seed {seed}, {training.steps[budget]} steps"
            update = {"name": told, "lora": training.loras[budget]}
            entries[name, seed, budget] = entries[BASE, 0, ""].model_copy(update=update)
    # two budgets that end at one step share their films
    different = list({entry.name: entry for entry in entries.values()}.values())
    by_name = judge_entries(different, prompts, suite.films, suite.rewards, suite, out, show)
    judged: dict[Run, Judged] = {run: by_name[entry.name] for run, entry in entries.items()}
    return MethodsReport(suite, splits, tuned, judged, by_name, out).result()


def _train(suite: MethodsSuite, prompts: Sequence[str], out: Path, show: Shown) -> Mapping[tuple[str, int], Tuned]:
    examples = training_examples(suite, out / "training-clips")
    watch = spread_over(prompts, suite.config(suite.methods[0], 0).guards.prompts)
    found: dict[tuple[str, int], Tuned] = {}
    total = len(suite.seeds) * len(suite.methods)
    for seed in suite.seeds:
        for method in suite.methods:
            first = found.get((suite.methods[0].name, seed))
            seconds = suite.seconds or (first.seconds(CALLS) if first else None)
            done, name = len(found), f"{method.name}, seed {seed}"
            folder = out / "runs" / f"{slug(method.name)}-{seed}"
            found[method.name, seed] = tune(
                suite, method, seed, examples, watch, folder, seconds,
                lambda step, done=done, name=name: show(  # type: ignore[misc]
                    "trainings", done, total, f"{name}: step {step.step}, score {step.facts['score']:.4f}"
                ),
            )  # fmt: skip
    return found
