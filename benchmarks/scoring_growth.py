"""Does scoring use both workers, and does its memory stay flat as videos grow in number?

    python benchmarks/scoring_growth.py [--rounds 5]

Prints the median time of one and of two decoding workers over the same clips, in one run with interleaved repeats,
and the peak memory of a process that scores 100 and one that scores 1,000 clips. Writes
benchmarks/results/scoring_growth.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from recording import record

from rewardkit import create_reward, score_folder, write_video

WORKERS = (1, 2)
COUNTS = (100, 1000)


def make_clips(folder: Path, count: int, frames: int, height: int, width: int, distinct: int = 8) -> None:
    """`count` h264 clips of a drifting texture, `distinct` of them different, the others links to those."""
    folder.mkdir(parents=True)
    for number in range(min(count, distinct)):
        generator = torch.Generator().manual_seed(number)
        coarse = torch.rand(1, 3, height // 8, width // 8, generator=generator)
        still = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
        video = torch.stack([still.roll(3 * frame, dims=-1) for frame in range(frames)])
        write_video(folder / f"{number}.mp4", video, 16)
    for number in range(distinct, count):
        os.link(folder / f"{number % distinct}.mp4", folder / f"{number}.mp4")


def seconds(folder: Path, workers: int) -> float:
    """Time to score a folder; the last frame of each clip is scored, so all its frames are decoded."""
    reward = create_reward("exposure", frames="index:-1", device="cpu")
    start = time.perf_counter()
    table = score_folder(folder, reward, num_workers=workers, device="cpu")
    assert not table.failed()
    return time.perf_counter() - start


def peak_megabytes(folder: Path, count: int, out: Path) -> float:
    """Peak resident memory of a fresh process that scores the first `count` clips."""
    words = ["--child", str(folder), str(count), str(out)]
    done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True)
    return float(done.stdout)


def child(folder: str, count: str, out: str) -> None:
    table = score_folder(folder, "technical", limit=int(count), out=out, num_workers=2, device="cpu")
    assert len(table) == int(count)
    assert not table.failed()
    # not getrusage: there a child's peak begins with the memory of the process that started it
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=3)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        make_clips(work / "wide", 40, frames=81, height=480, width=832)
        make_clips(work / "many", max(COUNTS), frames=16, height=128, width=128)
        seconds(work / "wide", 2)
        times = {workers: [] for workers in WORKERS}
        for _ in range(options.rounds):
            for workers in WORKERS:
                times[workers].append(seconds(work / "wide", workers))
        memory = {count: peak_megabytes(work / "many", count, work / f"{count}.jsonl") for count in COUNTS}
    medians = {workers: statistics.median(found) for workers, found in times.items()}
    ratios = [one / two for one, two in zip(*times.values(), strict=True)]
    result = {
        "seconds_for_40_clips_of_81_frames_832x480": {str(w): round(s, 3) for w, s in medians.items()},
        "two_workers_over_one": round(statistics.median(ratios), 2),
        "peak_megabytes_by_number_of_clips": {str(count): round(size) for count, size in memory.items()},
        "memory_growth": round(memory[COUNTS[1]] / memory[COUNTS[0]], 3),
    }
    record("scoring_growth", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
