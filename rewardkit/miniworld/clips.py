"""Sample clips on disk: every quality of the mini world, as h264 files with a manifest."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from rewardkit.files import replacing
from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.truth import QUALITIES, caption, sample_truths
from rewardkit.video import write_video

SIZE = 192
FRAMES = 24
FPS = 12.0


def write_clips(folder: Path, films: int = 3, seed: int = 0) -> Path:
    """Draws `films` films, each once in every quality, and gives the manifest with path, prompt and quality.

    Clips are 192x192 pixels, 24 frames at 12 fps.
    """
    manifest = folder / "prompts.csv"
    with replacing(manifest) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "prompt", "quality"))
        for number, truth in enumerate(sample_truths(films, seed), start=1):
            for quality in QUALITIES:
                name = f"{number}-{quality.replace(' ', '-')}.mp4"
                film = draw(replace(truth, quality=quality), FRAMES, SIZE, seed=seed + number)
                write_video(folder / name, film, FPS)
                writer.writerow((name, caption(truth), quality))
    return manifest
