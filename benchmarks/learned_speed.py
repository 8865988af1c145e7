"""How much faster are hpsv2.1 and imagereward than the official packages, and what does bfloat16 change?

    python benchmarks/learned_speed.py [--rounds 3]

Full size, random weights, the same file for both sides; the environments of `parity/build.py` must be there. Three
videos, four frames of each, a prompt a video, 2 threads. Ours is `score_folder`: decoding, preprocessing, prompts and
rows. The official side is handed the decoded frames as PIL pictures in memory and is called once a video with all four.
Both sides take turns in one run; the median over rounds counts. The official `hpsv2.score` reads its checkpoint again
in every call (here from the page cache); `model` is the same call without that.

Writes results/learned_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import checkpoints
import torch
from recording import processor, record
from torchvision.io import write_png
from video_reading import write_clip

from rewardkit import create_reward, score_folder
from rewardkit.reducers.video_reward import VideoReward
from rewardkit.rewards.prompts import PromptCache
from rewardkit.video import open_video

THREADS, FRAMES, LENGTH, WIDTH, HEIGHT = 2, 4, 49, 512, 320
PROMPTS = {"0.mp4": "a cat walks on a wall", "1.mp4": "painted boats in the harbour", "2.mp4": "a dancing fox"}
GOALS = {"hpsv2.1": {"float32": 1.3, "bfloat16": 2.5}, "imagereward": {"float32": 1.2, "bfloat16": 2.0}}


class Timed(NamedTuple):
    """Seconds for all videos, what each frame scored, and of ours what its rows say of the time."""

    seconds: float
    scores: Mapping[str, list[float]]
    decoding: float = 0.0
    scoring: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved repeats; the median counts")
    rounds: int = parser.parse_args().rounds
    torch.set_num_threads(THREADS)
    result: dict[str, Any] = {"processor": processor(), "threads": THREADS, "rounds": rounds, "goals": GOALS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, video in enumerate(PROMPTS):
            write_clip(folder / video, LENGTH, WIDTH, HEIGHT, number)
        write_pictures(folder)
        result["videos"] = f"{len(PROMPTS)} of {LENGTH} frames {WIDTH}x{HEIGHT} h264, {FRAMES} frames scored of each"
        result["hpsv2.1"] = compare("hpsv2.1", "hpsv2", {"checkpoint": checkpoints.hpsv2()}, folder, rounds)
        files = {"checkpoint": checkpoints.imagereward(), "tokenizer": checkpoints.word_pieces()}
        result["imagereward"] = compare("imagereward", "imagereward", files, folder, rounds)
    print(json.dumps(result, indent=2))
    record("learned_speed", result)


def compare(name: str, package: str, files: Mapping[str, Path], folder: Path, rounds: int) -> dict[str, object]:
    """Both sides in turn at float32, then ours at bfloat16, once, over one video."""
    loads = [round(os.getloadavg()[0], 2)]
    reward = loaded(name, files, "float32")
    ways = ("score", "model") if package == "hpsv2" else ("score",)
    found: dict[str, list[Timed]] = {way: [] for way in ("ours", *ways)}
    with official(package, files["checkpoint"], folder) as ask:
        ask(ways[-1])  # first calls allocate
        ours(reward, folder)
        for _ in range(rounds):
            found["ours"].append(ours(reward, folder))
            for way in ways:
                found[way].append(ask(way))
            loads.append(round(os.getloadavg()[0], 2))
    around_model = around(reward, folder, found["ours"])
    del reward
    half = ours(loaded(name, files, "bfloat16"), folder, videos=1)
    a_video = [timed.seconds / len(PROMPTS) for timed in found["score"]]
    return {
        "load_before_and_after_each_round": loads,  # 2 is ours
        "seconds": {way: [round(timed.seconds, 2) for timed in times] for way, times in found.items()},
        "official_score_over_ours": ratio(found["score"], found["ours"]),
        "official_model_over_ours": ratio(found[ways[-1]], found["ours"]),
        "greatest_difference_from_official": difference(found["score"][0], found["ours"][0]),
        "bfloat16_seconds_of_one_video": round(half.seconds, 2),
        "bfloat16_official_score_over_ours": round(statistics.median(a_video) / half.seconds, 3),
        "bfloat16_greatest_difference_from_float32": difference(half, found["ours"][0]),
        "around_the_model": around_model,
    }


def loaded(name: str, files: Mapping[str, Path], dtype: str) -> VideoReward:
    settings = ";".join(f"{key}={path}" for key, path in files.items())
    reward = create_reward(f"{name}[{settings}]", frames=f"uniform:{FRAMES}", device="cpu", dtype=dtype)
    assert isinstance(reward, VideoReward)
    return reward


def ours(reward: VideoReward, folder: Path, videos: int = len(PROMPTS)) -> Timed:
    """`score_folder` over the first so many videos, with prompts that it has not read before."""
    reward.image_reward.texts = PromptCache()
    prompts = {str(folder / video): prompt for video, prompt in PROMPTS.items()}
    start = time.perf_counter()
    table = score_folder([folder / video for video in PROMPTS], reward, prompts=prompts, limit=videos, device="cpu")
    seconds = time.perf_counter() - start
    assert not table.failed()
    rows = list(table)
    decoding, scoring = sum(row.decode_ms for row in rows) / 1000, sum(row.model_ms for row in rows) / 1000
    return Timed(seconds, {Path(row.path).name: row.per_frame or [] for row in rows}, decoding, scoring)


def around(reward: VideoReward, folder: Path, times: list[Timed]) -> dict[str, float]:
    """What decoding, preprocessing and rows take of the time of `score_folder`."""
    frames = torch.cat([chosen(folder / video) for video in PROMPTS]).float() / 255
    start = time.perf_counter()
    reward.image_reward.preprocessing("benchmark", frames)
    preprocessing = time.perf_counter() - start
    shares = [(timed.seconds - timed.scoring + preprocessing) / timed.seconds for timed in times]
    return {
        "decode_seconds_of_rows": round(statistics.median(timed.decoding for timed in times), 3),
        "model_seconds_of_rows": round(statistics.median(timed.scoring for timed in times), 3),
        "preprocessing_seconds": round(preprocessing, 3),
        "share": round(statistics.median(shares), 4),
        "goal_at_most": 0.1,
    }


@contextmanager
def official(package: str, checkpoint: Path, folder: Path) -> Iterator[Any]:
    """A function that lets the official package score in its own process, by `score` or `model`."""
    python = checkpoints.PARITY / ".environments" / package / "bin" / "python"
    command = [python, checkpoints.PARITY / "official.py", package, checkpoint, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(way: str) -> Timed:
            print(way, file=process.stdin, flush=True)
            return Timed(**json.loads(process.stdout.readline()))

        yield ask
        process.stdin.close()


def chosen(video: Path) -> torch.Tensor:
    """The frames that `uniform:4` takes."""
    plan = create_reward("exposure", frames=f"uniform:{FRAMES}").plan_one(LENGTH, torch.Generator())
    with open_video(video) as opened:
        return opened.read(plan.index[0].tolist())


def write_pictures(folder: Path) -> None:
    (folder / "prompts.json").write_text(json.dumps({Path(name).stem: text for name, text in PROMPTS.items()}))
    for video in PROMPTS:
        (folder / Path(video).stem).mkdir()
        for number, frame in enumerate(chosen(folder / video)):
            write_png(frame, str(folder / Path(video).stem / f"{number}.png"))


def ratio(slow: list[Timed], fast: list[Timed]) -> float:
    """The median over rounds."""
    return round(statistics.median(a.seconds / b.seconds for a, b in zip(slow, fast, strict=True)), 3)


def difference(a: Timed, b: Timed) -> float:
    """The greatest, over all frames."""
    one, other = ({Path(video).stem: torch.tensor(row) for video, row in side.scores.items()} for side in (a, b))
    return float(f"{max((one[video] - other[video]).abs().max().item() for video in one):.2g}")


if __name__ == "__main__":
    main()
