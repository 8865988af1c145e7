"""Ways to fine-tune, compared at equal cost: every method, seed by seed, filmed and judged on the same prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rewardkit.bench.film_scores import (
    DIVERSITY,
    FilmScores,
    Shown,
    averaged,
    by_prompt,
    change_of,
    difference_in,
    film_diversity,
    mean_of,
    score_films,
)
from rewardkit.bench.filming import FilmSet, make_films, prompt_splits
from rewardkit.bench.method_curves import guard_panels, reward_panels
from rewardkit.bench.pages.thumbnails import spread_over
from rewardkit.bench.provenance import provenance
from rewardkit.bench.result import (
    Cell,
    Column,
    Estimate,
    FilmRow,
    Films,
    Forest,
    ForestRow,
    Result,
    Section,
    ShownFilm,
    Table,
)
from rewardkit.bench.suites import MINIWORLD, MethodsSuite
from rewardkit.bench.tuning import CALLS, TIME, Tuned, training_examples, tune
from rewardkit.engine.create import create_backbone
from rewardkit.engine.lora import load_lora
from rewardkit.reducers.create import create_reward
from rewardkit.scoring.change import Change
from rewardkit.scoring.verdict import sentence

BASE, ALL = "base", "all"
IN_WORDS = {CALLS: "equal calls of the denoiser", TIME: "equal time"}
_SHOWN_PROMPTS = 3

Values = dict[str, float]
"""A number a prompt, the mean over its films."""


@dataclass(frozen=True)
class Measured:
    """What was found of one method at one budget: by training seed, then by measure, a number a prompt."""

    by_seed: Mapping[int, Mapping[str, Values]]

    def of(self, measure: str, prompts: Sequence[str]) -> Values:
        """The mean over training seeds, of these prompts."""
        found = averaged([by_measure[measure] for by_measure in self.by_seed.values()])
        return {prompt: value for prompt, value in found.items() if prompt in set(prompts)}


def benchmark_methods(suite: MethodsSuite, out: Path, show: Shown) -> Result:
    """Trains, films and judges; what is in `out` already is not made again.

    Every method trains once a seed. It stops where the next step would go over the budget, at equal calls of the
    denoiser and at equal time: what the first method takes for its calls. Numbers are means over training seeds and
    films of a prompt, intervals are over prompts; they hold for these seeds.

    Raises:
        UsageError: settings that make no sense, or films in `out` that were made otherwise.
    """
    splits = prompt_splits(suite.films)
    rewards = {name: create_reward(name, device=suite.device, dtype=suite.dtype) for name in suite.rewards}
    del rewards  # a wrong name ends it before anything is trained
    tuned = _train(suite, splits, out, show)
    filmed = _film(suite, splits, tuned, out, show)
    scores, failed = _judge(suite, splits, filmed, out, show)
    return _Report(suite, splits, tuned, filmed, scores, failed, out).result()


Run = tuple[str, int, str]
"""Method, training seed and budget; of the base model seed 0 and no budget."""


def _train(
    suite: MethodsSuite, splits: Mapping[str, Sequence[str]], out: Path, show: Shown
) -> dict[tuple[str, int], Tuned]:
    examples = training_examples(suite, out / "training-clips")
    watch = spread_over([prompt for prompts in splits.values() for prompt in prompts], 64)
    found: dict[tuple[str, int], Tuned] = {}
    total = len(suite.seeds) * len(suite.methods)
    for seed in suite.seeds:
        for method in suite.methods:
            first = found.get((suite.methods[0].name, seed))
            seconds = suite.seconds or (first.seconds(CALLS) if first else None)
            done, name = len(found), f"{method.name}, seed {seed}"
            found[method.name, seed] = tune(
                suite,
                method,
                seed,
                examples,
                watch,
                out / "runs" / f"{_slug(method.name)}-{seed}",
                seconds,
                lambda step, done=done, name=name: show(  # type: ignore[misc]
                    "trainings", done, total, f"{name}: step {step.step}, score {step.facts['score']:.4f}"
                ),
            )
    return found


def _film(
    suite: MethodsSuite,
    splits: Mapping[str, Sequence[str]],
    tuned: Mapping[tuple[str, int], Tuned],
    out: Path,
    show: Shown,
) -> dict[Run, FilmSet]:
    """Of the base model and every LoRA; two budgets that ended at one step share their films."""
    prompts = [prompt for some in splits.values() for prompt in some]
    runs: dict[Run, Path | None] = {(BASE, 0, ""): None}
    for (name, seed), training in tuned.items():
        runs |= {(name, seed, budget): training.loras[budget] for budget in (CALLS, TIME)}
    found: dict[Run, FilmSet] = {}
    for number, ((name, seed, budget), lora) in enumerate(runs.items()):
        steps = tuned[name, seed].steps if lora else {}
        if budget == TIME and steps[TIME] == steps[CALLS]:
            found[name, seed, budget] = found[name, seed, CALLS]
            continue
        generator = create_backbone(suite.backbone, suite.model, suite.device, memory=suite.memory)
        if lora is not None:
            load_lora(generator, lora)
        what = f"{name}, seed {seed}, {budget}" if lora else name
        made_by = {"backbone": suite.backbone, "model": suite.model, "steps of the training": steps.get(budget)}
        found[name, seed, budget] = make_films(
            generator,
            prompts,
            suite.films,
            out / "films" / (f"{_slug(name)}-{seed}-{budget}" if lora else BASE),
            made_by,
            progress=lambda done, total, number=number, what=what: show(  # type: ignore[misc]
                "films", number * total + done, len(runs) * total, what
            ),
        )
    return found


def _judge(
    suite: MethodsSuite, splits: Mapping[str, Sequence[str]], filmed: Mapping[Run, FilmSet], out: Path, show: Shown
) -> tuple[dict[Run, dict[str, FilmScores]], list[str]]:
    keep = {prompt for prompts in splits.values() for prompt in prompts}
    found: dict[Run, dict[str, FilmScores]] = {run: {} for run in filmed}
    failed: list[str] = []
    for number, name in enumerate(suite.rewards):
        reward = create_reward(name, device=suite.device, dtype=suite.dtype)
        for place, (run, films) in enumerate(filmed.items()):
            rows = out / "scores" / films.manifest.parent.name / f"{_slug(name)}.jsonl"
            found[run][name] = score_films(films, reward, rows, suite, keep)
            if found[run][name].failed:
                failed.append(_failure(name, run, found[run][name]))
            show("scores", number * len(filmed) + place + 1, len(suite.rewards) * len(filmed), name)
    return found, failed


def _failure(reward: str, run: Run, scores: FilmScores) -> str:
    where = ", ".join(filter(None, (run[0], f"seed {run[1]}" if run[2] else "", run[2])))
    return (
        f"{reward} failed on {len(scores.failed)} of {len(scores.failed) + len(scores.rows)} films of {where}, which "
        f"are left out: {scores.failed[0]}"
    )


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")


class _Report:
    """Puts what was found into sections."""

    def __init__(
        self,
        suite: MethodsSuite,
        splits: Mapping[str, Sequence[str]],
        tuned: Mapping[tuple[str, int], Tuned],
        filmed: Mapping[Run, FilmSet],
        scores: Mapping[Run, Mapping[str, FilmScores]],
        failed: list[str],
        out: Path,
    ) -> None:
        self.suite, self.tuned, self.filmed, self.scores, self.failed, self.out = (
            suite, tuned, filmed, scores, failed, out,
        )  # fmt: skip
        everything = [prompt for prompts in splits.values() for prompt in prompts]
        self.splits = {**splits, ALL: everything}
        self.measures = [*suite.rewards, *([DIVERSITY] if len(suite.films.film_seeds) > 1 else [])]
        keep = set(everything)
        by_run = {
            run: {
                **{name: by_prompt(one.values, everything) for name, one in of.items()},
                **(
                    {DIVERSITY: by_prompt(film_diversity(filmed[run], keep), everything)}
                    if DIVERSITY in self.measures
                    else {}
                ),
            }
            for run, of in scores.items()
        }
        self.base = Measured({0: by_run[BASE, 0, ""]})
        self.methods = {
            budget: {
                method.name: Measured({seed: by_run[method.name, seed, budget] for seed in suite.seeds})
                for method in suite.methods
            }
            for budget in (CALLS, TIME)
        }

    def result(self) -> Result:
        """All of it."""
        suite = self.suite
        note = (
            "A mini world proves the machinery; it tells nothing of big models." if suite.backbone == MINIWORLD else ""
        )
        sections = [
            Section(
                title=f"At {IN_WORDS[budget]}",
                note=note if budget == CALLS else "",
                blocks=[self._scores(budget), self._against(budget), self._measures(budget)],
            )
            for budget in (CALLS, TIME)
        ]
        return Result(
            kind="methods",
            title=suite.title or f"Fine-tuning {suite.backbone} on {suite.reward}",
            headline=self._headline(),
            warnings=self.failed,
            sections=[
                *sections,
                Section(title="The same prompts and noise", blocks=[self._films()]),
                Section(
                    title="Training",
                    blocks=[
                        reward_panels(suite, self.tuned),
                        *guard_panels(suite, self.tuned),
                        self._cost(),
                    ],
                ),
            ],
            made=provenance(suite),
        )  # fmt: skip

    def _headline(self) -> list[str]:
        own, reward = self.suite.methods[0].name, self.suite.rewards[0]
        found = []
        for budget in (CALLS, TIME):
            against = {name: of for name, of in self.methods[budget].items() if name != own}
            against = {BASE: self.base, **against} if budget == CALLS else against
            told = [
                sentence(change, (name, own), "prompt")
                for name, of in against.items()
                if (change := self._change(reward, of, self.methods[budget][own], ALL)) is not None
            ]
            if told:
                found.append(f"At {IN_WORDS[budget]}: {'; '.join(told)}.")
        return found

    def _change(self, measure: str, before: Measured, after: Measured, split: str) -> Change | None:
        prompts = self.splits[split]
        return change_of(measure, before.of(measure, prompts), after.of(measure, prompts), self.suite.seed)

    def _scores(self, budget: str) -> Table:
        """The paper's Table 1: methods by splits."""
        reward = self.suite.rewards[0]
        rows: list[list[Cell]] = [
            [name, *(mean_of(of.of(reward, prompts), self.suite.seed) for prompts in self.splits.values())]
            for name, of in {BASE: self.base, **self.methods[budget]}.items()
        ]
        seeds = len(self.suite.seeds)
        return Table(
            slug=f"scores-at-equal-{budget}",
            title=f"{reward} by split",
            note=f"Mean of {seeds} training seed{'' if seeds == 1 else 's'} and "
            f"{len(self.suite.films.film_seeds)} films a prompt, with 95 % intervals over prompts.",
            columns=[Column(name="method", unit="text"), *(Column(name=name, best="high") for name in self.splits)],
            rows=rows,
        )

    def _against(self, budget: str) -> Forest:
        own, reward = self.suite.methods[0].name, self.suite.rewards[0]
        others = {BASE: self.base, **{n: of for n, of in self.methods[budget].items() if n != own}}
        rows = []
        for split in self.splits:
            for name, of in others.items():
                estimate = difference_in(self._change(reward, of, self.methods[budget][own], split))
                if estimate is not None:
                    rows.append(
                        ForestRow(label=f"{name} ({self._ahead(budget, name, split)})", group=split, estimate=estimate)
                    )
        return Forest(
            slug=f"differences-at-equal-{budget}",
            title=f"{own} minus each, prompt by prompt",
            note=f"Difference of {reward} on the same prompts and noise; in brackets the training seeds in which "
            f"{own} is ahead. Right of the line it is better.",
            unit=reward,
            reference=0.0,
            rows=rows,
        )

    def _ahead(self, budget: str, name: str, split: str) -> str:
        """In how many training seeds the first method is ahead."""
        own, reward = self.methods[budget][self.suite.methods[0].name], self.suite.rewards[0]
        wanted, ahead = set(self.splits[split]), 0
        for seed in self.suite.seeds:
            other = self.base.by_seed[0] if name == BASE else self.methods[budget][name].by_seed[seed]
            before, after = (
                {prompt: value for prompt, value in found[reward].items() if prompt in wanted}
                for found in (other, own.by_seed[seed])
            )
            change = change_of(reward, before, after, self.suite.seed)
            ahead += change is not None and change.difference > 0
        return f"{ahead} of {len(self.suite.seeds)}"

    def _measures(self, budget: str) -> Table:
        rows: list[list[Cell]] = [
            [name, *(mean_of(of.of(measure, self.splits[ALL]), self.suite.seed) for measure in self.measures)]
            for name, of in {BASE: self.base, **self.methods[budget]}.items()
        ]
        return Table(
            slug=f"measures-at-equal-{budget}",
            title="What else moved",
            note=f"All prompts. Trained on is {self.suite.reward}; nothing else was seen in training.",
            columns=[Column(name="method", unit="text"), *(Column(name=measure) for measure in self.measures)],
            rows=rows,
        )

    def _cost(self) -> Table:
        rows: list[list[Cell]] = []
        for method in self.suite.methods:
            first = self.tuned[method.name, self.suite.seeds[0]]
            per_step = [report.denoiser_calls or 0 for report in first.log]
            took = [r.seconds for seed in self.suite.seeds for r in self.tuned[method.name, seed].log]
            rows.append(
                [
                    method.name,
                    Estimate(value=sum(per_step) / len(per_step)),
                    Estimate(value=sum(took) / len(took)),
                    *(
                        self._span([self.tuned[method.name, s].steps[b] for s in self.suite.seeds])
                        for b in (CALLS, TIME)
                    ),
                    self._span([self.tuned[method.name, s].seconds(CALLS) for s in self.suite.seeds]),
                ]
            )
        return Table(
            slug="cost",
            title="Cost",
            note=f"Budget: {self.suite.calls:,} calls, a film through the denoiser each, recomputation included. A "
            "training stops before the step that would go over its budget, but takes at least one.",
            columns=[
                Column(name="method", unit="text"),
                Column(name="calls a step"),
                Column(name="seconds a step"),
                Column(name="steps at equal calls", unit="text"),
                Column(name="steps at equal time", unit="text"),
                Column(name="seconds for the calls", unit="text"),
            ],
            rows=rows,
        )

    @staticmethod
    def _span(numbers: Sequence[float]) -> str:
        low, high = round(min(numbers)), round(max(numbers))
        return f"{low:,}" if low == high else f"{low:,} to {high:,}"

    def _films(self) -> Films:
        seed, film_seed = self.suite.seeds[0], str(self.suite.films.film_seeds[0])
        runs = {BASE: (BASE, 0, ""), **{m.name: (m.name, seed, CALLS) for m in self.suite.methods}}
        rows = []
        for split, prompts in self.splits.items():
            for prompt in spread_over(prompts, _SHOWN_PROMPTS) if split != ALL else ():
                films = [self._shown(label, run, (prompt, film_seed)) for label, run in runs.items()]
                rows.append(FilmRow(title=prompt, note=split, films=films))
        return Films(
            slug="films",
            title="Before and after",
            note=f"Training seed {seed}, at {IN_WORDS[CALLS]}.",
            curve_of=self.suite.rewards[0],
            rows=rows,
        )

    def _shown(self, label: str, run: Run, key: tuple[str, str]) -> ShownFilm:
        path = next(path for path, known in self.filmed[run].keys.items() if known == key)
        rows = {name: of.rows[key] for name, of in self.scores[run].items() if key in of.rows}
        first = rows.get(self.suite.rewards[0])
        curve = list(zip(first.frame_index or [], first.per_frame or [], strict=False)) if first else []
        scores = {name: row.score for name, row in rows.items() if row.score is not None}
        return ShownFilm(label=label, path=str(path.relative_to(self.out.absolute())), scores=scores, curve=curve)
