"""How trainings went, method by method: the reward against what it cost, and what the guards saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from rewardkit.bench.methods.tuning import Tuned
from rewardkit.bench.names import label
from rewardkit.bench.result import Estimate, Line, Panel, Panels
from rewardkit.bench.suites import MethodsSuite
from rewardkit.engine.finetune import StepReport
from rewardkit.engine.guards import Look

Trainings = Mapping[tuple[str, int], Tuned]
"""By method and seed."""


def reward_panels(suite: MethodsSuite, tuned: Trainings) -> Panels:
    """The batch's mean reward over calls, and over seconds."""

    def over(title: str, unit: str, cost: Callable[[StepReport], float]) -> Panel:
        lines = []
        for method in suite.methods:
            logs = [tuned[method.name, seed].log for seed in suite.seeds]
            spent = [list(accumulate(map(cost, log))) for log in logs]
            lines.append(_line(method.name, spent, [[report.facts["reward"] for report in log] for log in logs]))
        return Panel(title=title, x=unit, lines=lines)

    return Panels(
        slug="training",
        title="The reward in training",
        note="Mean over the batch and its frames, before any weights; the band is from the lowest seed to the highest.",
        y=suite.reward,
        panels=[
            over("Against calls of the denoiser", "calls", lambda report: float(report.denoiser_calls or 0)),
            over("Against time", "seconds", lambda report: report.seconds),
        ],
    )


def guard_panels(suite: MethodsSuite, tuned: Trainings) -> list[Panels]:
    """What the guards' looks saw, as shares of the base model's films; none where nobody looked."""
    if not all(tuned[method.name, seed].looks for method in suite.methods for seed in suite.seeds):
        return []
    settings = suite.config(suite.methods[0], 0).guards

    def panel(title: str, read: Callable[[Look], float], limit: float | None = None, relative: bool = True) -> Panel:
        lines = []
        for method in suite.methods:
            looks = [tuned[method.name, seed].looks for seed in suite.seeds]
            steps = [[float(look.step) for look in one] for one in looks]
            values = [[read(look) / (max(read(one[0]), 1e-12) if relative else 1.0) for look in one] for one in looks]
            lines.append(_line(method.name, steps, values))
        return Panel(title=title, x="step", limit=limit, lines=lines)

    seen = [set(tuned[method.name, seed].looks[0].held_out) for method in suite.methods for seed in suite.seeds]
    held_out = [name for name in suite.rewards if all(name in names for names in seen)]
    return [
        Panels(
            slug="guards",
            title="What the guards saw",
            note="Films of fixed prompts and noise. The guards only watch here; dashed is where they would stop one.",
            y="",
            panels=[
                panel("Motion, of the base's", lambda look: look.motion, settings.least_motion),
                panel("Diversity, of the base's", lambda look: look.diversity, settings.least_diversity),
                *(
                    panel(label(name), lambda look, name=name: look.held_out[name], relative=False)  # type: ignore[misc]
                    for name in held_out
                ),
            ],
        )
    ]


def _line(name: str, x: Sequence[Sequence[float]], y: Sequence[Sequence[float]]) -> Line:
    """Mean, lowest and highest over seeds at each point that all of them reached."""
    count = min(map(len, y))
    points = [[one[n] for one in y] for n in range(count)]
    return Line(
        name=name,
        x=[sum(one[n] for one in x) / len(x) for n in range(count)],
        y=[
            Estimate(value=sum(p) / len(p), low=min(p) if len(p) > 1 else None, high=max(p) if len(p) > 1 else None)
            for p in points
        ],
    )
