"""The page of a fine-tuning: curves, guards, films as they changed, and what was measured before and after."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardkit.bench.films.before_after import BeforeAfter, Pair
from rewardkit.bench.films.filming import ALL
from rewardkit.bench.pages.curve import HEIGHT, WIDTH
from rewardkit.bench.pages.film import animation
from rewardkit.bench.pages.html import check_page, render
from rewardkit.bench.pages.line_chart import LineChart, Point, line_chart
from rewardkit.bench.pages.thumbnails import data_uri, spread_over
from rewardkit.engine.finetune import StepReport
from rewardkit.engine.guards import GuardSettings, Look, Verdict, judge
from rewardkit.engine.run_folder import LOG, LOOKS, SAMPLES, SETTINGS
from rewardkit.errors import NothingToDoError, UsageError
from rewardkit.files import replacing
from rewardkit.scoring.decimals import decimals_for

_FILMS = 24


@dataclass(frozen=True)
class Film:
    """A pair of films as animated pictures, with their numbers."""

    pair: Pair
    before: str
    after: str


@dataclass(frozen=True)
class Sample:
    """The strip of one look."""

    step: int
    uri: str


def write_training_report(run: Path, out: Path, measured: BeforeAfter | None = None, headline: str = "") -> None:
    """Writes the page of the fine-tuning in `run`; it may still be under way.

    Args:
        run: the training's folder.
        out: the page, `.html`.
        measured: films before and after, where they were made.
        headline: one sentence to begin with.

    Raises:
        UsageError: `run` holds no fine-tuning, or `out` is no page.
        NothingToDoError: no step was taken yet.
        OutputError: `out` cannot be written.
    """
    if not (run / SETTINGS).is_file():
        raise UsageError(f"{run} holds no fine-tuning: no {SETTINGS} is there")
    check_page(out)
    facts = json.loads((run / SETTINGS).read_text(encoding="utf-8"))
    steps = [StepReport.model_validate_json(line) for line in _lines(run / LOG)]
    looks = [Look.model_validate_json(line) for line in _lines(run / LOOKS)]
    if not steps:
        raise NothingToDoError(f"{run}: no step was taken yet")
    guards = GuardSettings.model_validate(facts["settings"]["guards"])
    html = render(
        "training_report.html.j2",
        ["base.css", "training_report.css"],
        ["theme.js"],
        facts=facts,
        settings=json.dumps(facts["settings"], indent=2, ensure_ascii=False),
        headline=headline,
        steps=steps,
        seconds=statistics.median(step.seconds for step in steps),
        looks=looks,
        decimals=_decimals(looks, facts["reward"]),
        verdict=judge(looks, guards) if looks else Verdict(wrong=[], best=0),
        action=guards.action,
        guard_charts=_guard_charts(looks, guards, facts["reward"]),
        step_charts=_step_charts(steps),
        samples=[
            Sample(int(path.stem), data_uri(path.read_bytes(), "png")) for path in sorted((run / SAMPLES).glob("*.png"))
        ],
        measured=measured,
        changes=measured.changes[ALL] if measured else {},
        films=_films(measured.pairs) if measured else [],
        all=ALL,
        width=WIDTH,
        height=HEIGHT,
        decimals_for=decimals_for,
    )
    with replacing(out) as draft:
        draft.write_bytes(html)


def _lines(path: Path) -> list[str]:
    """Whole lines; a last one that is still being written is left."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.split("\n")[:-1]  # JSON may hold what Python takes for other ends of lines


def _guard_charts(looks: Sequence[Look], guards: GuardSettings, reward: str) -> list[LineChart]:
    if not looks:
        return []
    base, last = looks[0], looks[-1].step

    def chart(title: str, note: str, numbers: Sequence[Any], limit: float | None = None) -> LineChart | None:
        points = [Point(look.step, *number) for look, number in zip(looks, numbers, strict=True)]
        return line_chart(title, note, points, last, limit)

    held_out = [
        chart(
            name,
            f"held out; the guard's limit is {guards.most_fall:g} standard errors below the best so far",
            [(look.held_out[name], look.error[name]) for look in looks],
        )
        for name in base.held_out
    ]
    charts = [
        chart(
            reward,
            "trained on; films of the guards, band: standard error",
            [(look.reward, look.reward_error) for look in looks],
        ),
        *held_out,
        chart(
            "Motion",
            "against the base model's films",
            [(look.motion / max(base.motion, 1e-12),) for look in looks],
            guards.least_motion,
        ),
        chart(
            "Diversity between seeds",
            "against the base model's films",
            [(look.diversity / max(base.diversity, 1e-12),) for look in looks],
            guards.least_diversity,
        ),
        chart(
            "Pixels at black or white",
            "share",
            [(look.saturated,) for look in looks],
            base.saturated + guards.most_saturated,
        ),
        chart("Size of the LoRA", "length of all that it adds to weights", [(look.lora_norm,) for look in looks]),
    ]
    return [made for made in charts if made]


def _step_charts(steps: Sequence[StepReport]) -> list[LineChart]:
    """Whatever every step wrote down."""
    last = steps[-1].step
    names = [name for name in steps[0].facts if all(name in step.facts for step in steps)]
    charts = [
        line_chart(name, "mean of the batch", [Point(step.step, step.facts[name]) for step in steps], last)
        for name in names
    ]
    norm = line_chart("gradient", "its length", [Point(step.step, step.gradient_norm) for step in steps], last)
    return [made for made in [*charts, norm] if made]


def _decimals(looks: Sequence[Look], reward: str) -> dict[str, int]:
    """How many each reward of the looks is shown with."""
    if not looks:
        return {}
    base = looks[0]
    errors = {name: base.error[name] for name in base.held_out} | {reward: base.reward_error}
    return {name: decimals_for(error * 10 or 1.0) for name, error in errors.items()}


def _films(pairs: Sequence[Pair]) -> list[Film]:
    """Some, evenly chosen, as animated pictures."""
    return [Film(pair, animation(pair.film_before), animation(pair.film_after)) for pair in spread_over(pairs, _FILMS)]
