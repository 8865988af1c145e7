"""Clips for tests of scoring: frame i of a clip of level v is grey of level v + i / 1000, kept without loss."""

from pathlib import Path

import numpy as np


def save_film(path: Path, level: float, frames: int = 6, height: int = 4, width: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = level + np.arange(frames, dtype=np.float32)[:, None, None, None] / 1000
    np.save(path, np.broadcast_to(levels, (frames, 3, height, width)))
    return path


def level_of(level: float, frames: list[int]) -> float:
    """The mean brightness that a reward must find: frames are read as bytes."""
    return sum(round((level + i / 1000) * 255) / 255 for i in frames) / len(frames)


def save_films(folder: Path, count: int, frames: int = 6) -> list[float]:
    """`count` films named 0.npy, 1.npy, ... and their levels."""
    levels = [0.1 + 0.3 * i / count for i in range(count)]
    for number, level in enumerate(levels):
        save_film(folder / f"{number}.npy", level, frames)
    return levels
