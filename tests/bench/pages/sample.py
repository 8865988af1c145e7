"""A result with blocks of every kind, as a benchmark of methods finds it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from rewardkit.bench.result import (
    Column,
    Estimate,
    FilmRow,
    Films,
    Forest,
    ForestRow,
    Heat,
    Line,
    Panel,
    Panels,
    Result,
    Section,
    ShownFilm,
    Table,
)
from rewardkit.video import write_video

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\"'><b onclick='alert(1)'>",
    "$x^2$ and $\\frac{1}{2}$",
    "a | b || c",
    "=cmd()",
    "100 % of_all \\ & #1 ~ ^",
    "two\nlines",
    "{{ 7*7 }}{% raw %}",
    "naïve 猫 \U0001f408 \u202etxt.exe",
]
METHODS = ["base", "instructvideo", "draft-1", "reward-weighted"]
REWARDS = ["hpsv2.1", "miniworld", "aesthetic-v2", "clipscore", "technical", "motion"]


def about(value: float, half: float, count: int = 48) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, count=count)


def film(folder: Path, name: str, frames: int, height: int, width: int, shift: int) -> str:
    """A square that walks over a gradient."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    video = torch.stack([0.2 + 0.5 * y, 0.3 + 0.3 * x, 0.55 - 0.3 * y]).repeat(frames, 1, 1, 1)
    side = height // 4
    for number, picture in enumerate(video):
        left = (shift + number * (width - side) // frames) % (width - side)
        top = int((height - side) * (0.5 + 0.4 * math.sin(6 * number / frames + shift)))
        picture[:, top : top + side, left : left + side] = torch.tensor([0.98, 0.75, 0.2])[:, None, None]
    if height < 64:
        np.save(folder / f"{name}.npy", (video * 255).byte().permute(0, 2, 3, 1).numpy())
        return f"{name}.npy"
    write_video(folder / f"{name}.mp4", video, fps=8)
    return f"{name}.mp4"


def leaderboard() -> Table:
    words = ["untouched", "last step's gradient", "one step, no walk", "no gradient"]
    rows = [
        [name, word, about(0.50 + 0.031 * n, 0.028), about(0.5 + 0.09 * n, 0.06), Estimate(value=0.2 * n), None]
        for n, (name, word) in enumerate(zip(METHODS, words, strict=True))
    ]
    rows[2][5] = Estimate(value=41.2)
    return Table(
        slug="leaderboard",
        title="What each method reaches",
        note="Held-out prompts, four seeds each; the reward trained on is miniworld.",
        columns=[
            Column(name="method", unit="text"),
            Column(name="idea", unit="text"),
            Column(name="judge", best="high", note="held-out reward"),
            Column(name="wins", unit="percent", best="high", note="against the base model"),
            Column(name="KL", best="low"),
            Column(name="minutes", note="of training"),
        ],
        rows=rows,
    )


def forest() -> Forest:
    splits = {"seen prompts": 0.08, "new colours": 0.05, "new shapes": 0.01}
    rows = [
        ForestRow(label=name, group=split, estimate=about(0.5 + gain * n, 0.03 + 0.008 * n, 96))
        for split, gain in splits.items()
        for n, name in enumerate(METHODS[1:], start=1)
    ]
    rows.append(ForestRow(label="reward-weighted, one seed", group="new shapes", estimate=Estimate(value=0.62)))
    return Forest(
        slug="wins",
        title="Wins against the base model",
        note="Share of pairs that the held-out judge prefers; the dashed line is chance.",
        unit="wins",
        percent=True,
        reference=0.5,
        rows=rows,
    )


def panels() -> Panels:
    def line(name: str, slope: float, half: float) -> Line:
        xs = [0.0, 10, 20, 30, 40, 60, 80]
        return Line(name=name, x=xs, y=[about(0.5 + slope * math.tanh(x / 40), half * (1 + x / 60)) for x in xs])

    names = list(zip(METHODS, [0.0, 0.18, 0.11, 0.05], strict=True))
    guidance = Line(name=METHODS[1], x=[0, 1, 2, 3], y=[about(v, 0.02) for v in (0.31, 0.44, 0.52, 0.49)])
    return Panels(
        slug="steps",
        title="As training goes on",
        y="score",
        panels=[
            Panel(title="Judge", note="never trained on", x="step", lines=[line(n, s, 0.02) for n, s in names]),
            Panel(title="Motion", x="step", limit=0.3, lines=[line(n, -s, 0.012) for n, s in names]),
            Panel(
                title="Strength", x="part of the walk", x_names=["a tenth", "a third", "half", "all"], lines=[guidance]
            ),
        ],
    )


def heat() -> Heat:
    count = len(REWARDS)
    values: list[list[float | None]] = [
        [1.0 if i == j else math.cos(1.1 * abs(i - j) + 0.2 * (i + j)) * 0.95 for j in range(count)]
        for i in range(count)
    ]
    values[5][0] = values[0][5] = None
    return Heat(
        slug="agreement",
        title="Do rewards agree?",
        note="Spearman's rank correlation over all films.",
        names=REWARDS,
        values=values,
    )


def films(folder: Path) -> Films:
    def shown(label: str, path: str, frames: int, level: float) -> ShownFilm:
        curve = [(n, level + 0.06 * math.sin(n / 2)) for n in range(0, frames, max(1, frames // 8))]
        return ShownFilm(label=label, path=path, scores={"miniworld": level, "judge": 10 * level - 2}, curve=curve)

    small = [
        shown(name, film(folder, f"small-{n}", 8, 32, 32, 7 * n), 8, 0.3 + 0.1 * n) for n, name in enumerate(METHODS)
    ]
    large = [
        shown(name, film(folder, f"large-{n}", 40, 180, 320, 60 * n), 40, 0.4 + 0.1 * n)
        for n, name in enumerate(METHODS[:2])
    ]
    lost = ShownFilm(label=METHODS[2], path="gone.mp4", scores={"miniworld": 0.2})
    return Films(
        slug="films",
        title="The same prompt, the same noise",
        curve_of="miniworld",
        rows=[
            FilmRow(title="a yellow square moving right", note="seed 3, a prompt not trained on", films=small),
            FilmRow(title="a kite over the sea at dusk", films=[*large, lost]),
        ],
    )


def sample(folder: Path) -> Result:
    """The result; its films are written to `folder`."""
    return Result(
        kind="methods",
        title="Fine-tuning methods on miniworld",
        headline=[
            "Reward-weighted training wins 77 % of pairs against the base model, but only on prompts that it has seen.",
            "On new shapes no method differs from chance; InstructVideo keeps the most motion.",
        ],
        warnings=["draft-1 ran with 3 of 4 seeds: seed 2 stopped at step 61, as motion fell below its limit."],
        sections=[
            Section(title="Who wins", note="In short.", blocks=[leaderboard(), forest()]),
            Section(title="How they get there", blocks=[panels(), heat()]),
            Section(title="Films", note="Every film is of the same noise as those beside it.", blocks=[films(folder)]),
        ],
        made={
            "command": "rewardkit benchmark methods --suite small",
            "commit": "f8693c5",
            "device": "NVIDIA H100",
            "seeds": [0, 1, 2, 3],
            "versions": {"rewardkit": "0.3.0", "torch": "2.9.0"},
        },
    )
