"""Clips on disk: films of the mini world in every quality, as h264 files with a manifest."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rewardkit.files import replacing
from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.truth import QUALITIES, Truth, caption, sample_truths
from rewardkit.video import write_video


def write_clips(folder: Path, films: int = 3, seed: int = 0) -> Path:
    """Draws `films` films, each once in every quality, and gives the manifest with path, prompt and quality.

    Clips are 192x192 pixels, 24 frames at 12 fps.
    """
    drawn = [
        (number, replace(truth, quality=quality))
        for number, truth in enumerate(sample_truths(films, seed), start=1)
        for quality in QUALITIES
    ]
    return _write(folder, drawn, seed, frames=24, size=192, fps=12.0)


def write_training_clips(folder: Path, truths: Sequence[Truth], seed: int = 0) -> Path:
    """Draws one film of each truth, half of them good, and gives the manifest as `write_clips`.

    Clips are what the generator of the mini world makes: 32x32 pixels, 8 frames at 8 fps.
    """
    random = np.random.default_rng(seed)
    spoiled = QUALITIES[1:]
    drawn = [
        (number, replace(truth, quality=spoiled[random.integers(len(spoiled))] if random.integers(2) else "good"))
        for number, truth in enumerate(truths, start=1)
    ]
    return _write(folder, drawn, seed, frames=8, size=32, fps=8.0)


def _write(folder: Path, drawn: Iterable[tuple[int, Truth]], seed: int, frames: int, size: int, fps: float) -> Path:
    manifest = folder / "prompts.csv"
    with replacing(manifest) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "prompt", "quality"))
        for number, truth in drawn:
            name = f"{number}-{truth.quality.replace(' ', '-')}.mp4"
            write_video(folder / name, draw(truth, frames, size, seed=seed + number), fps)
            writer.writerow((name, caption(truth), truth.quality))
    return manifest
