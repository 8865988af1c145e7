"""What films gain, and what they lose, when a reward chooses or pulls them: in the mini world, whose truth is known.

    python benchmarks/pulled.py [--each 24]
    python benchmarks/pulled.py --draw

The best of 1 to 16 films of each prompt, and films pulled by the reward's gradient at several scales, in both ways of
`RewardGuidance`. Chosen and pulled by the preference reward `miniworld`; beside it what it cannot see:
`miniworld-judge` (trained on other films), the share of films with the right colour and direction, and the mean
difference of neighbouring frames. Intervals are over prompts; that of the share is Wilson's. Writes
results/pulled.json and docs/pictures/reward-hacking.png; `--draw` draws alone.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib.style
import numpy as np
import torch
from growth_parts.picture import COLOURS, QUIET, STYLE
from matplotlib.figure import Figure
from recording import ROOT, record, recorded
from torch import Tensor

import rewardkit as rk
from rewardkit.engine.guards import motion
from rewardkit.engine.trial import film_noise
from rewardkit.miniworld.prompts import judged_truths
from rewardkit.miniworld.truth import caption
from rewardkit.scoring.bootstrap import bootstrap_interval
from rewardkit.scoring.change import win_rate_interval

STEPS = 20
COUNTS = (1, 2, 4, 8, 16)
SCALES = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
PULLED_STEPS = "tail:10"
JUDGES = ("miniworld", "miniworld-judge", "rewardkit.miniworld.judging:Right")
NAMES = {"miniworld": "pulled by", "miniworld-judge": "judge", "right": "right prompt", "motion": "frame difference"}

Found = dict[str, list[float]]
"""A number a film, by measure."""


def measured(films: Tensor, prompts: Sequence[str], judges: Mapping[str, rk.Reward]) -> Found:
    """What judges say of each film, and the guards' motion, a mean difference of frames."""
    with torch.no_grad():
        found = {name: judge(films, prompts).tolist() for name, judge in judges.items()}
    return {**found, "motion": [float(motion(film[None])) for film in films]}


def summary(found: Found) -> dict[str, dict[str, float]]:
    """Mean and interval of each measure."""
    return {name: interval(values, is_share=name == "right") for name, values in found.items()}


def interval(values: Sequence[float], is_share: bool) -> dict[str, float]:
    if is_share:
        right = round(sum(values))
        edges = win_rate_interval(right, 0, len(values) - right)
    else:
        edges = bootstrap_interval(np.array(values), seed=0)
    assert edges, "a single prompt allows no interval"
    low, high = edges
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high)}


def chosen(generator: rk.Generator, prompts: Sequence[str], judges: Mapping[str, rk.Reward]) -> dict[str, Any]:
    """The best of the first 1, 2, 4, ... of the same films."""
    size = generator.latent_shape(generator.default_shape)
    scores = rk.best_of(generator, judges["miniworld"], prompts, range(max(COUNTS)), steps=STEPS).scores
    found = {}
    for count in COUNTS:
        seeds = scores[:, :count].argmax(dim=1).tolist()
        noise = film_noise(size, zip(prompts, seeds, strict=True))
        found[str(count)] = summary(
            measured(rk.generate(generator, prompts, steps=STEPS, noise=noise), prompts, judges)
        )
        said("best of", count, found[str(count)])
    return found


def said(way: str, point: float, numbers: Mapping[str, Mapping[str, float]]) -> None:
    print(f"{way} {point}: " + ", ".join(f"{name} {one['mean']:.3f}" for name, one in numbers.items()), flush=True)


def pulled(
    generator: rk.Generator,
    prompts: Sequence[str],
    judges: Mapping[str, rk.Reward],
    through: Literal["estimate", "denoiser"],
) -> dict[str, Any]:
    """By scale."""
    size = generator.latent_shape(generator.default_shape)
    noise = film_noise(size, [(prompt, 0) for prompt in prompts])
    found = {}
    for scale in SCALES:
        pull = rk.RewardGuidance(judges["miniworld"], scale, PULLED_STEPS, through) if scale else None
        films = rk.generate(generator, prompts, steps=STEPS, noise=noise, reward_guidance=pull)
        found[str(scale)] = summary(measured(films, prompts, judges))
        print(
            f"{through} {scale}: " + ", ".join(f"{name} {one['mean']:.3f}" for name, one in found[str(scale)].items())
        )
    return found


def draw(result: Mapping[str, Any]) -> None:
    """Writes docs/pictures/reward-hacking.png: each measure over the number of films, and over the scale."""
    panels = {
        "best of N films": result["best of"],
        "pulled at the estimate": result["estimate"],
        "pulled through the denoiser": result["denoiser"],
    }
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(7.5, 4.6), layout="constrained")
        spots = figure.subplots(len(NAMES), len(panels), sharex="col", sharey="row")
        for (row, measure), (column, title) in itertools.product(enumerate(NAMES), enumerate(panels)):
            axes, points = spots[row][column], panels[title]
            means = [one[measure]["mean"] for one in points.values()]
            edges = [[one[measure][edge] for one in points.values()] for edge in ("low", "high")]
            colour = COLOURS["seconds"] if measure == "miniworld" else COLOURS["megabytes"]
            places = range(len(points))
            axes.fill_between(places, *edges, color=colour, alpha=0.15, linewidth=0)
            axes.plot(places, means, "o-", color=colour, linewidth=1.4, markersize=3)
            axes.axhline(means[0], color=QUIET, linewidth=0.8, linestyle="--")
            axes.set_xticks(list(places), list(points))
            if row == 0:
                axes.set_title(title)
            if column == 0:
                axes.set_ylabel(NAMES[measure])
            if row == len(NAMES) - 1:
                axes.set_xlabel("N" if column == 0 else "scale")
        figure.savefig(ROOT / "docs" / "pictures" / "reward-hacking.png", dpi=160, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=24, help="prompts")
    parser.add_argument("--draw", action="store_true", help="draws what is recorded, and measures nothing")
    given = parser.parse_args()
    if not given.draw:
        prompts = [caption(truth) for truth in judged_truths(given.each)["in-domain"]]
        generator = rk.create_backbone("miniworld", device="cpu")
        judges = {reward.name: reward for reward in (rk.create_reward(name, device="cpu") for name in JUDGES)}
        found = {
            "prompts": len(prompts),
            "steps": STEPS,
            "pulled steps": PULLED_STEPS,
            "measures": NAMES,
            "best of": chosen(generator, prompts, judges),
            "estimate": pulled(generator, prompts, judges, "estimate"),
            "denoiser": pulled(generator, prompts, judges, "denoiser"),
        }
        record("pulled", found)
    draw(recorded("pulled"))


if __name__ == "__main__":
    main()
