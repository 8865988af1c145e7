"""Clips on disk: films of the mini world in every quality, as h264 files with a manifest."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
        _Drawn(number, replace(truth, quality=quality))
        for number, truth in enumerate(sample_truths(films, seed), start=1)
        for quality in QUALITIES
    ]
    return _write(folder, drawn, seed, frames=24, size=192, fps=12.0)


def write_judged_clips(folder: Path, films: int = 12, seed: int = 1) -> Path:
    """Draws films of which the truth tells which is better, and gives a file of preferences: first, second, preferred.

    `good` and `bad` in `folder` each hold clips with a manifest. Of every film there is a good clip, and bad ones: one
    in every spoiled quality, and one in good quality that shows another film than its prompt says. A good clip is
    preferred to each bad one of its prompt. Clips are as those of `write_clips`.
    """
    truths = [replace(truth, quality="good") for truth in sample_truths(films, seed)]
    good = [_Drawn(number, truth) for number, truth in enumerate(truths, start=1)]
    bad = [_Drawn(one.number, replace(one.truth, quality=quality)) for one in good for quality in QUALITIES[1:]]
    for one in good:
        other = next(truth for truth in truths[one.number :] + truths if truth.colour != one.truth.colour)
        bad.append(_Drawn(one.number, other, name=f"{one.number}-wrong", prompt=caption(one.truth)))
    bad.sort(key=lambda one: one.number)
    for name, drawn in (("good", good), ("bad", bad)):
        _write(folder / name, drawn, seed, frames=24, size=192, fps=12.0)
    pairs = [(f"good/{one.number}-good.mp4", f"bad/{one.file}", "first") for one in bad]
    return _write_csv(folder / "preferences.csv", ("first", "second", "preferred"), pairs)


def write_training_clips(folder: Path, truths: Sequence[Truth], seed: int = 0) -> Path:
    """Draws one film of each truth, half of them good, and gives the manifest as `write_clips`.

    Clips are what the generator of the mini world makes: 32x32 pixels, 8 frames at 8 fps.
    """
    random = np.random.default_rng(seed)
    spoiled = QUALITIES[1:]
    drawn = [
        _Drawn(number, replace(truth, quality=spoiled[random.integers(len(spoiled))] if random.integers(2) else "good"))
        for number, truth in enumerate(truths, start=1)
    ]
    return _write(folder, drawn, seed, frames=8, size=32, fps=8.0)


@dataclass(frozen=True)
class _Drawn:
    """A film to draw: its number, which is its seed, and what it shows; named and prompted by that unless told."""

    number: int
    truth: Truth
    name: str = ""
    prompt: str = ""

    @property
    def file(self) -> str:
        return (self.name or f"{self.number}-{self.truth.quality}").replace(" ", "-") + ".mp4"


def _write(folder: Path, drawn: Sequence[_Drawn], seed: int, frames: int, size: int, fps: float) -> Path:
    for one in drawn:
        write_video(folder / one.file, draw(one.truth, frames, size, seed=seed + one.number), fps)
    rows = [(one.file, one.prompt or caption(one.truth), one.truth.quality) for one in drawn]
    return _write_csv(folder / "prompts.csv", ("path", "prompt", "quality"), rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    return path
