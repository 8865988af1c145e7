"""Draws docs/pictures/partial-denoising.png: one clip of the mini world, noised to several levels and walked down.

python docs/writing/partial_denoising.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))
from writing.tables import DOCS

import rewardkit as rk
from rewardkit.engine.denoise import Guidance, Words, walk
from rewardkit.engine.noise import corrupt, draw_noise
from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.truth import Truth, caption

TAUS = (0.3, 0.6, 0.9)
STEPS, SHOWN = 20, (0, 3, 7)


@torch.no_grad()
def films(generator: rk.Generator, truth: Truth, seed: int = 0) -> dict[str, Tensor]:
    """By name: the clip, and for each tau the noised latents as the decoder shows them, and the film after the walk."""
    clip = draw(truth, 8, 32, seed=seed)[None]
    prompt = [caption(truth)]
    words = Words(generator.embed(prompt), generator.embed([""]))
    clean = generator.encode(clip)
    found = {"the clip": clip}
    for tau in TAUS:
        levels = generator.levels(STEPS, generator.default_shape).last(tau)
        eps = draw_noise(tuple(clean.shape[1:]), [torch.Generator().manual_seed(seed)])
        noisy = corrupt(clean, levels, eps)
        found[f"noised, tau {tau:g}"] = generator.decode(noisy)
        found[f"walked down, {len(levels)} steps"] = generator.decode(
            walk(generator, noisy, levels, words, Guidance(4.0))
        )
    return found


def main() -> None:
    """Writes the picture."""
    truth = Truth("red", "star", "left", quality="watermarked")
    shown = films(rk.create_backbone("miniworld", device="cpu"), truth)
    names = list(shown)
    grid = [[names[0]] * 2, *([names[1 + 2 * row], names[2 + 2 * row]] for row in range(len(TAUS)))]
    figure = Figure(figsize=(7.2, 5.6), layout="constrained")
    spots = figure.subplots(len(grid), 2)
    for row, (left, right) in enumerate(grid):
        for column, name in enumerate((left, right)):
            axes = spots[row][column]
            axes.set_axis_off()
            if row == 0 and column == 1:
                continue
            strip = torch.cat([shown[name][0, frame] for frame in SHOWN], dim=2).permute(1, 2, 0)
            axes.imshow(strip.numpy(), interpolation="nearest")
            axes.set_title(name, fontsize=9, loc="left")
    figure.savefig(DOCS / "pictures" / "partial-denoising.png", dpi=140, metadata={"Software": None})


if __name__ == "__main__":
    main()
