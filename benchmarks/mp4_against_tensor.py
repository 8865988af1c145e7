"""How far the score of a file lies from that of the tensor that it was written from, by reward and by quality of x264.

    python benchmarks/mp4_against_tensor.py

Films without any loss so far: shapes of the mini world drawn at 256 by 256, good and spoiled, and the mini world's own
render of 16 frames. Each is written as .npy (8 bits a colour) and as .mp4 at several `crf`, read again and scored; the
closed-form rewards, on all frames. Recorded is the mean difference file - tensor, in units of the reward's own spread
over these films, and how often the order of two films of one file kind is another than the tensors'.
Writes results/mp4_against_tensor.json.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import torch
from recording import record
from torch import Tensor

import rewardkit as rk
from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.truth import COLOURS, DIRECTIONS, QUALITIES, SHAPES, Truth

FRAMES, SIDE, FPS = 16, 256, 8
KINDS = {".npy": 18, "crf 0": 0, "crf 18": 18, "crf 28": 28, "crf 40": 40}
REWARDS = (
    "technical", "sharpness", "noise", "blockiness", "contrast", "exposure", "colourfulness", "flicker", "smoothness",
    "motion",
)  # fmt: skip


def films() -> list[Tensor]:
    """24 films (frame, 3, height, width), in [0, 1], of every quality."""
    truths = [
        Truth(COLOURS[n % len(COLOURS)], SHAPES[n % len(SHAPES)], DIRECTIONS[n % len(DIRECTIONS)], quality=quality)
        for n, quality in enumerate(QUALITIES * 4)
    ]
    return [draw(truth, FRAMES, SIDE, seed=number) for number, truth in enumerate(truths)]


def read_back(film: Tensor, kind: str, folder: Path) -> Tensor:
    """The film as a file of that kind gives it."""
    path = folder / ("film.npy" if kind == ".npy" else "film.mp4")
    rk.write_video(path, film, FPS, crf=KINDS[kind])
    return rk.read_video(path)


def other_order(tensors: list[float], files: list[float]) -> float:
    """Share of pairs, of those that the tensors tell apart, in which the files' order is another."""
    pairs = [(a, b) for a, b in itertools.combinations(range(len(tensors)), 2) if tensors[a] != tensors[b]]
    return sum((tensors[a] < tensors[b]) != (files[a] < files[b]) for a, b in pairs) / len(pairs)


def main() -> None:
    made = films()
    rewards = {name: rk.create_reward(name, frames="all", device="cpu") for name in REWARDS}
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in rewards}
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        for kind in ("tensor", *KINDS):
            seen = [film if kind == "tensor" else read_back(film, kind, Path(folder)) for film in made]
            for name, reward in rewards.items():
                scores[name][kind] = [float(reward(film[None])) for film in seen]
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name, by_kind in scores.items():
        tensors = by_kind.pop("tensor")
        spread = float(np.std(tensors))
        table[name] = {
            kind: {
                "difference": float(np.mean(np.subtract(files, tensors)) / spread),
                "other order": other_order(tensors, files),
            }
            for kind, files in by_kind.items()
        }
        print(name, {kind: round(one["difference"], 3) for kind, one in table[name].items()})
    record("mp4_against_tensor", {"films": len(made), "frames": FRAMES, "side": SIDE, "rewards": table})


if __name__ == "__main__":
    main()
