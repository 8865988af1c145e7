"""Scoring a folder, as large as a point of a curve says."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from rewardkit import create_reward, score_folder, write_video
from rewardkit.bench.memory import PeakMemory

DISTINCT = 8


class Job(NamedTuple):
    """Clips, and how they are scored."""

    clips: int = 8
    frames: int = 8
    height: int = 256
    width: int = 384
    plan: str = "segments:4"
    batch: int = 4
    reward: str = "technical"
    scored_before: bool = False


def job(curve: str, line: str, point: int) -> Job:
    """What is done at a point of a curve."""
    match curve:
        case "videos":
            return Job(point, 4, 64, 96, plan="first", scored_before=line == "scored before")
        case "clip":
            plan = "index:0,1,2,-1" if line == "the last one read" else "index:0,1,2,3"
            return Job(24, point, plan=plan, reward="exposure")  # a reward that takes longer would hide the decoding
        case "pixels":
            height = math.isqrt(point * 9 // 16)
            return Job(4, height=height, width=point // height)
        case "scored-frames":
            return Job(frames=64, plan=f"uniform:{point}")
        case _:
            return Job(64, height=128, width=192, batch=point)


def prepare(work: Path, curve: str, line: str, point: int) -> Callable[[], None]:
    """Makes the clips of a point where they are not there yet, and gives the call that scores them.

    One thread decodes, and rows are written; clips scored before need a call for the other line first.
    """
    do = job(curve, line, point)
    clips = work / f"{do.clips}-{do.frames}-{do.height}-{do.width}"
    if not clips.exists():
        make_clips(clips, do.clips, do.frames, do.height, do.width)
    out = work / f"{clips.name}-{do.plan}-{do.batch}.jsonl"

    def score() -> None:
        reward = create_reward(do.reward, frames=do.plan, device="cpu")
        again = not do.scored_before
        table = score_folder(clips, reward, out=out, overwrite=again, batch_size=do.batch, num_workers=1, device="cpu")
        if again:
            assert len(table) == do.clips
            assert not table.failed()

    return score


def peak(work: Path, curve: str, line: str, point: int) -> dict[str, float]:
    """Megabytes of resident memory: beyond what was there before, and of the whole process, imports and all."""
    run = prepare(work, curve, line, point)
    warm = create_reward("technical", frames="first", device="cpu")
    score_folder(next(work.glob("*-*/0.mp4")), warm, num_workers=1, device="cpu")  # imports what is loaded late
    watch = PeakMemory(torch.device("cpu"))
    watch.start()
    run()
    beyond = watch.peak()
    assert beyond is not None
    whole = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    return {"megabytes": round(beyond / 1e6, 1), "process": round(whole * 1024 / 1e6, 1)}


def make_clips(folder: Path, count: int, frames: int, height: int, width: int) -> None:
    """h264 clips of a drifting texture; eight of them are different, the others links to those."""
    folder.mkdir(parents=True)
    for number in range(min(count, DISTINCT)):
        generator = torch.Generator().manual_seed(number)
        coarse = torch.rand(1, 3, height // 8, width // 8, generator=generator)
        still = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
        video = torch.stack([still.roll(3 * frame, dims=-1) for frame in range(frames)])
        write_video(folder / f"{number}.mp4", video, 16)
    for number in range(DISTINCT, count):
        os.link(folder / f"{number % DISTINCT}.mp4", folder / f"{number}.mp4")


def decode_and_score(folder: Path, workers: int) -> None:
    """Scores the last frame of each clip, for which all its frames are decoded, with so many threads."""
    reward = create_reward("exposure", frames="index:-1", device="cpu")
    assert not score_folder(folder, reward, num_workers=workers, device="cpu").failed()
