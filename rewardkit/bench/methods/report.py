"""What became of ways to fine-tune: scores by split, differences prompt by prompt, and what else moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rewardkit.bench.films.entries import Judged, Values, failures, film_rows, missing, shares
from rewardkit.bench.films.filming import ALL, with_all
from rewardkit.bench.films.scores import averaged, change_of, difference_in, mean_of
from rewardkit.bench.methods.curves import guard_panels, reward_panels
from rewardkit.bench.methods.tuning import CALLS, TIME, Run, Tuned
from rewardkit.bench.names import label
from rewardkit.bench.provenance import provenance
from rewardkit.bench.result import Cell, Column, Estimate, Films, Forest, ForestRow, Result, Section, Table
from rewardkit.bench.suites import MINIWORLD, Budget, MethodsSuite
from rewardkit.scoring.change import Change

BASE = "base"
IN_WORDS = {CALLS: "equal calls of the denoiser", TIME: "equal time"}
_SHOWN_PROMPTS = 2


@dataclass(frozen=True)
class Measured:
    """What was found of one method at one budget: by training seed, then by measure, a number a prompt."""

    by_seed: Mapping[int, Mapping[str, Values]]

    def of(self, measure: str, prompts: Sequence[str]) -> Values:
        """The mean over training seeds, of these prompts."""
        found, wanted = averaged([by_measure[measure] for by_measure in self.by_seed.values()]), set(prompts)
        return {prompt: value for prompt, value in found.items() if prompt in wanted}


class MethodsReport:
    """Puts what was found into sections."""

    def __init__(
        self,
        suite: MethodsSuite,
        splits: Mapping[str, Sequence[str]],
        tuned: Mapping[tuple[str, int], Tuned],
        judged: Mapping[Run, Judged],
        entries: Mapping[str, Judged],
        out: Path,
    ) -> None:
        self.suite, self.tuned, self.judged, self.out = suite, tuned, judged, out
        self.prompts = [prompt for prompts in splits.values() for prompt in prompts]
        self.splits = with_all(splits)
        self.warnings = [*missing(entries, self.prompts, suite.films.film_seeds), *failures(entries)]
        by_run = {run: one.measures(self.prompts) for run, one in judged.items()}
        self.measures = list(by_run[BASE, 0, ""])
        self.shares = shares(judged.values())
        self.base = Measured({0: by_run[BASE, 0, ""]})
        self.methods = {
            budget: {
                method.name: Measured({seed: by_run[method.name, seed, budget] for seed in suite.seeds})
                for method in suite.methods
            }
            for budget in suite.budgets
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
                blocks=[
                    self._scores(budget),
                    self._against(budget),
                    self._moved(budget),
                    self._quarters(budget),
                    self._means(budget),
                ],
            )
            for budget in suite.budgets
        ]
        return Result(
            kind="methods",
            title=suite.title or f"Fine-tuning {suite.backbone} on {suite.reward}",
            headline=self._headline(),
            warnings=self.warnings,
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
        """Whom the first method beats at each budget, and whom not."""
        own, reward = self.suite.methods[0].name, self.suite.rewards[0]
        told = []
        for budget in self.suite.budgets:
            found: dict[str, list[str]] = {"rose": [], "fell": [], "unclear": []}
            for name, of in {BASE: self.base, **self.methods[budget]}.items():
                change = self._change(reward, of, self.methods[budget][own], ALL)
                if name != own and change is not None:
                    found[change.outcome].append(
                        f"{name} ({change.difference:+.3f}, ahead in {change.win_rate:.0%} of prompts)"
                    )
            verbs = {"rose": "beats", "fell": "loses to", "unclear": "cannot be told from"}
            said = [f"{verbs[outcome]} {', '.join(names)}" for outcome, names in found.items() if names]
            if said:
                told.append(f"On {reward} at {IN_WORDS[budget]}, {own} {'; '.join(said)}.")
        return told

    def _change(self, measure: str, before: Measured, after: Measured, split: str) -> Change | None:
        prompts = self.splits.get(split, self.prompts)
        return change_of(measure, before.of(measure, prompts), after.of(measure, prompts), self.suite.seed)

    def _scores(self, budget: Budget) -> Table:
        """The paper's Table 1: methods by splits."""
        reward = self.suite.rewards[0]
        rows: list[list[Cell]] = [
            [name, *(mean_of(of.of(reward, prompts), self.suite.seed) for prompts in self.splits.values())]
            for name, of in {BASE: self.base, **self.methods[budget]}.items()
        ]
        seeds, films = len(self.suite.seeds), len(self.suite.films.film_seeds)
        return Table(
            slug=f"scores-at-equal-{budget}",
            title=f"{reward} by split",
            note=f"Training seeds: {seeds}, films a prompt and seed: {films}. Means, with 95 % intervals over prompts.",
            columns=[Column(name="method", unit="text"), *(Column(name=name, best="high") for name in self.splits)],
            rows=rows,
        )

    def _against(self, budget: Budget) -> Forest:
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
            f"{own} is ahead. Positive: {own} is better.",
            unit=reward,
            reference=0.0,
            rows=rows,
        )

    def _ahead(self, budget: Budget, name: str, split: str) -> str:
        """In how many training seeds the first method is ahead."""
        own, reward = self.methods[budget][self.suite.methods[0].name], self.suite.rewards[0]
        ahead = 0
        for seed in self.suite.seeds:
            other = self.base.by_seed[0] if name == BASE else self.methods[budget][name].by_seed[seed]
            before, after = other[reward], own.by_seed[seed][reward]
            shared = [prompt for prompt in self.splits[split] if prompt in before and prompt in after]
            gains = [after[prompt] - before[prompt] for prompt in shared]
            ahead += sum(gains) > 0
        return f"{ahead} of {len(self.suite.seeds)}"

    def _means(self, budget: Budget) -> Table:
        rows: list[list[Cell]] = [
            [name, *(mean_of(of.of(m, self.prompts), self.suite.seed, m in self.shares) for m in self.measures)]
            for name, of in {BASE: self.base, **self.methods[budget]}.items()
        ]
        own = ", unless a method names its own" if any(method.reward for method in self.suite.methods) else ""
        return Table(
            slug=f"measures-at-equal-{budget}",
            title="Every measure",
            note=f"Means over all prompts. Trained on is {self.suite.reward}{own}.",
            columns=[Column(name="method", unit="text"), *(Column(name=label(measure)) for measure in self.measures)],
            rows=rows,
        )

    def _moved(self, budget: Budget) -> Table:
        rows: list[list[Cell]] = [
            [name, *(difference_in(self._change(measure, self.base, of, ALL)) for measure in self.measures)]
            for name, of in self.methods[budget].items()
        ]
        return Table(
            slug=f"gains-at-equal-{budget}",
            title="What moved",
            note="Difference from the base, prompt by prompt, over all prompts.",
            columns=[Column(name="method", unit="text"), *(Column(name=label(measure)) for measure in self.measures)],
            rows=rows,
        )

    def _quarters(self, budget: Budget) -> Table:
        """Who mends what was bad, and who polishes what was good."""
        reward = self.suite.rewards[0]
        base = self.base.of(reward, self.prompts)
        quarters = [list(part) for part in np.array_split(sorted(base, key=base.__getitem__), 4) if len(part)]
        rows: list[list[Cell]] = []
        for name, of in self.methods[budget].items():
            after = of.of(reward, self.prompts)
            changes = [
                change_of(
                    reward, {p: base[p] for p in quarter}, {p: after[p] for p in quarter if p in after}, self.suite.seed
                )
                for quarter in quarters
            ]
            rows.append([name, *map(difference_in, changes)])
        heads = ["worst quarter", "second", "third", "best quarter"][: len(quarters)]
        return Table(
            slug=f"quarters-at-equal-{budget}",
            title="By how good the base model's film was",
            note=f"Change of {reward} over the prompts whose base films it puts in each quarter. By chance alone a "
            "worst quarter rises and a best one falls: compare methods with each other.",
            columns=[Column(name="method", unit="text"), *(Column(name=head, best="high") for head in heads)],
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
                        for b in self.suite.budgets
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
                *(Column(name=f"steps at equal {budget}", unit="text") for budget in self.suite.budgets),
                Column(name="seconds for the calls", unit="text"),
            ],
            rows=rows,
        )

    @staticmethod
    def _span(numbers: Sequence[float]) -> str:
        low, high = round(min(numbers)), round(max(numbers))
        return f"{low:,}" if low == high else f"{low:,} to {high:,}"

    def _films(self) -> Films:
        seed, reward = self.suite.seeds[0], self.suite.rewards[0]
        runs: dict[str, Run] = {BASE: (BASE, 0, ""), **{m.name: (m.name, seed, CALLS) for m in self.suite.methods}}
        judged = {name: self.judged[run] for name, run in runs.items()}
        return Films(
            slug="films",
            title="Before and after",
            note=f"Training seed {seed}, at {IN_WORDS[CALLS]}.",
            curve_of=reward,
            rows=film_rows(judged, self.splits, _SHOWN_PROMPTS, self.suite.films.film_seeds[0], reward, self.out),
        )
