"""Spoils real clips in known ways and counts how often each closed-form reward falls from one strength to the next.

    python benchmarks/technical_truth.py [FOLDER ...]

Without folders: the clips of ../shared/data. Pictures are judged on 4 frames a clip, defects in time on its first 16
frames. The table is reward by defect: the share of steps (clean to mildest, mildest to next, ...) that lower the score.
A star marks the defects that the reward is there for; at least 0.9 is asked of those. `results/technical_truth.json`
keeps the table, also apart for the clips that `technical` was fitted on and for the others.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import torch
from calibrate_technical import FIT
from clips import FOLDERS, clip_name, find_clips, sample_frames
from recording import record
from torch import Tensor

from rewardkit.bench.defects import PICTURE, TIME, Clip, Defect
from rewardkit.rewards.blockiness import Blockiness
from rewardkit.rewards.colourfulness import Colourfulness
from rewardkit.rewards.contrast import Contrast
from rewardkit.rewards.exposure import Exposure
from rewardkit.rewards.flicker import Flicker
from rewardkit.rewards.interface import ImageReward, TemporalReward
from rewardkit.rewards.jpeg import JpegSize
from rewardkit.rewards.motion import Motion
from rewardkit.rewards.noise import Noise
from rewardkit.rewards.sharpness import Sharpness
from rewardkit.rewards.smoothness import Smoothness
from rewardkit.rewards.technical import Technical
from rewardkit.video import read_video

OWN = {
    "technical": ("blur", "noise", "jpeg", "low contrast", "darkening"),
    "sharpness": ("blur",),
    "noise": ("noise",),
    "blockiness": ("jpeg",),
    "contrast": ("low contrast",),
    "exposure": ("darkening", "over-exposure"),
    "colourfulness": ("desaturation",),
    "jpeg": ("noise",),
    "flicker": ("gain jitter",),
    "smoothness": ("shuffled", "repeated"),
    "motion": ("slowed", "frozen"),
}
PICTURE_REWARDS: list[ImageReward] = [
    Technical(), Sharpness(), Noise(), Blockiness(), Contrast(), Exposure(), Colourfulness(), JpegSize()
]  # fmt: skip
TIME_REWARDS: list[TemporalReward] = [Flicker(), Smoothness(), Motion()]
FRAMES = 4
TIME_FRAMES = 16

Scores = dict[str, dict[str, list[float]]]  # reward, defect, strength 0..5


def slowed(clip: Clip, factor: float) -> Clip:
    """As many frames, but `factor` times slower: frames in between are blended."""
    time = torch.arange(len(clip)) / factor
    before = time.floor().long()
    after = (before + 1).clamp(max=len(clip) - 1)
    return torch.lerp(clip[before], clip[after], (time - before).view(-1, 1, 1, 1))


ALL_TIME = TIME | {"slowed": Defect((1.25, 1.5, 2, 3, 5), "times slower, frames blended", slowed)}


def score_all(clip: Tensor, rewards: list[ImageReward] | list[TemporalReward], defects: dict[str, Defect]) -> Scores:
    """The score of the clip and of its five spoiled versions, for each reward and defect."""
    scores: Scores = {reward.card.name: {defect: [] for defect in defects} for reward in rewards}
    for name, defect in defects.items():
        for version in defect.clips(clip):
            for reward in rewards:
                pixels = version.unsqueeze(0) if isinstance(reward, TemporalReward) else version
                scores[reward.card.name][name].append(reward(pixels).mean().item())
    return scores


def share_right(clips: list[Scores]) -> dict[str, dict[str, float]]:
    """Share of steps that lower the score, by reward and defect."""
    table: dict[str, dict[str, float]] = {}
    for reward, defects in clips[0].items():
        for defect in defects:
            paths = [clip[reward][defect] for clip in clips]
            falls = [after < before for path in paths for before, after in itertools.pairwise(path)]
            table.setdefault(reward, {})[defect] = round(sum(falls) / len(falls), 3)
    return table


def print_table(table: dict[str, dict[str, float]], defects: dict[str, Defect]) -> None:
    print(f"{'':14}" + "".join(f"{defect:>15}" for defect in defects))
    for reward, shares in table.items():
        cells = [f"{shares[defect]:.2f}{'*' if defect in OWN[reward] else ' '}" for defect in shares]
        print(f"{reward:14}" + "".join(f"{cell:>15}" for cell in cells))


def main(folders: list[Path]) -> None:
    torch.set_num_threads(1)
    picture: dict[str, Scores] = {}
    time: dict[str, Scores] = {}
    with torch.no_grad():
        for path in find_clips(folders):
            picture[clip_name(path)] = score_all(sample_frames(path, FRAMES), PICTURE_REWARDS, PICTURE)
            time[clip_name(path)] = score_all(read_video(path, range(TIME_FRAMES)), TIME_REWARDS, ALL_TIME)
            print(clip_name(path), file=sys.stderr)

    fitted = [name for name in picture if name.startswith(FIT)]
    held_out = [name for name in picture if name not in fitted]
    tables = {
        group: share_right([picture[name] for name in names]) | share_right([time[name] for name in names])
        for group, names in {"all": list(picture), "fitted": fitted, "held out": held_out}.items()
        if names
    }
    print(f"share of steps that lower the score, {len(picture)} clips; * = the reward's own defect")
    print_table({reward.card.name: tables["all"][reward.card.name] for reward in PICTURE_REWARDS}, PICTURE)
    print_table({reward.card.name: tables["all"][reward.card.name] for reward in TIME_REWARDS}, ALL_TIME)
    for group in ("fitted", "held out"):
        if group in tables:
            print(f"technical, {group} clips: {tables[group]['technical']}")
    own = {f"{reward}: {defect}": tables["all"][reward][defect] for reward in OWN for defect in OWN[reward]}
    print(f"lowest own share: {min(own.values())} ({min(own, key=lambda name: own[name])})")

    settings = {
        name: {"settings": list(defect.settings), "unit": defect.unit} for name, defect in (PICTURE | ALL_TIME).items()
    }
    clean = {
        name: {reward: round(next(iter(defects.values()))[0], 4) for reward, defects in (scores | time[name]).items()}
        for name, scores in picture.items()
    }
    record("technical_truth", {"defects": settings, "right_steps": tables, "clean_scores": clean})


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]] or FOLDERS)
