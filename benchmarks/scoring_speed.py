"""How near to the processor's limit does scoring come, and how much faster is it than what people use?

    python benchmarks/scoring_speed.py [--rounds 3] [NAME ...]

Random weights of full size; 2 threads. NAME is one of:

    roofline   operations a second of HPSv2's image tower (ViT-H/14), float32 and bfloat16, over those of a big square
               matrix product of that precision, taken in turn: how much of the roof is reached
    share      the time of the towers alone, on the same pixels and words, over that of `score_folder`, which decodes,
               resizes and writes rows beside them on the same two cores: for HPSv2 and for the smallest tower there is
               (ViT-B/32) on clips of 512x320 and 1080p; and what frames cost as floats, which they were before rewards
               took bytes.
    official   hpsv2.1 and imagereward against the official packages in the environments of `parity/build.py`. Those
               are handed decoded frames as PIL pictures in memory and are called once a video. The official
               `hpsv2.score` reads its checkpoint again in every call (here from the page cache); `model` is the same
               call without.
    scripts    the same frames of the same clips by ViT-B/32 as scripts score them: the whole clip decoded one after the
               other, then our batch (`sequential`), or frame after frame resized through Pillow by torchvision, the
               prompt read again each time (`per frame`). aigc-apps/VideoX-Fun@31cb0b1, videox_fun/reward/reward_fn.py
               goes frame by frame and reads the prompt each time, but is handed frames and resizes tensors.

All ways of one NAME take turns in one run; the median of ratios over rounds counts. Writes results/scoring_speed.json,
where what was measured before under other names stays.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import checkpoints
import torch
from recording import about, record, recorded
from timing import in_turn, matmul_rate, middle, ratio, seconds
from torch import Tensor
from torchvision.io import write_png
from torchvision.transforms import v2
from towers import flops_of_picture, random_reward, random_tower
from video_reading import read_sequential, write_clip

from rewardkit import create_reward, score_folder
from rewardkit.reducers.video_reward import VideoReward
from rewardkit.rewards.preprocessing import CLIP_COLOURS, Crop
from rewardkit.rewards.prompts import PromptCache
from rewardkit.rewards.similarity import Similarity
from rewardkit.scoring.table import ScoreTable
from rewardkit.video import open_video

THREADS, FRAMES, LENGTH = 2, 4, 49
WIDE, FULL = (512, 320), (1920, 1080)
PROMPTS = {"0.mp4": "a cat walks on a wall", "1.mp4": "painted boats in the harbour", "2.mp4": "a dancing fox"}
GOALS = {
    "share_at_least": 0.9,
    "roofline_float32_at_least": 0.8,
    "roofline_bfloat16_at_least": 0.7,
    "score_difference_at_most": 1e-5,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved repeats; the median counts")
    given = parser.parse_args()
    if unknown := set(given.names) - set(MEASUREMENTS):
        parser.error(f"nothing is called {', '.join(sorted(unknown))}")
    torch.set_num_threads(THREADS)
    found = recorded("scoring_speed")
    for name in given.names or MEASUREMENTS:
        found[name] = {"about": about(given.rounds), "found": MEASUREMENTS[name](given.rounds)}
        print(name, json.dumps(found[name], indent=1), flush=True)
        parts = {name: found[name] for name in MEASUREMENTS if name in found}
        record("scoring_speed", {"threads": THREADS, "goals": GOALS, **parts})


def roofline(rounds: int) -> dict[str, Any]:
    """Operations a second of the tower over those of a product, by precision."""
    tower, rows = random_tower("ViT-H-14"), {}
    for dtype, pictures in ((torch.float32, 8), (torch.bfloat16, 2)):
        tower.to(dtype)
        pixels = torch.randn(pictures, 3, 224, 224)
        with torch.no_grad():
            tower.images(pixels)
            pairs = [(matmul_rate(dtype, repeats=3), seconds(partial(tower.images, pixels))) for _ in range(rounds)]
        work = flops_of_picture("ViT-H-14") * pictures
        roof = statistics.median(rate for rate, _ in pairs)
        rows[str(dtype).removeprefix("torch.")] = {
            "gigaflops_a_picture": round(work / pictures / 1e9, 1),
            "pictures_a_second": middle([pictures / taken for _, taken in pairs]),
            "matrix_product_gigaflops": round(roof / 1e9, 1),
            "share_of_roof": round(statistics.median(work / taken / rate for rate, taken in pairs), 3),
        }
    return rows


def share(rounds: int) -> dict[str, Any]:
    """Of the clock in which the model works."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for label, reward, size, clips in (
            ("hpsv2 512x320", random_reward("ViT-H-14"), WIDE, 3),
            ("hpsv2 1080p", random_reward("ViT-H-14"), FULL, 2),
            ("vit-b-32 512x320", random_reward("ViT-B-32", fit=Crop()), WIDE, 24),
            ("vit-b-32 1080p", random_reward("ViT-B-32", fit=Crop()), FULL, 6),
        ):
            folder = Path(name) / label
            folder.mkdir()
            for number in range(clips):
                write_clip(folder / f"{number}.mp4", LENGTH, *size, number)
            found[label] = worked(reward, folder, rounds)
    return found


def worked(reward: VideoReward, folder: Path, rounds: int) -> dict[str, float]:
    """The towers' share, with bytes and with floats given to them."""
    tower: Any = reward.image_reward.tower  # type: ignore[attr-defined]
    given: list[tuple[str, Tensor]] = []

    def noting(name: str) -> Callable[[Tensor], Tensor]:
        call: Callable[[Tensor], Tensor] = getattr(tower, name)

        def run(tensor: Tensor) -> Tensor:
            given.append((name, tensor))
            return call(tensor)

        return run

    with patch.object(tower, "images", noting("images")), patch.object(tower, "texts", noting("texts")):
        score(reward, folder)

    @torch.no_grad()
    def alone() -> None:
        for name, tensor in given:
            getattr(tower, name)(tensor)

    def with_floats() -> None:
        with patch.object(Similarity, "takes_bytes", False):
            score(reward, folder)

    times = in_turn({"bytes": lambda: score(reward, folder), "floats": with_floats, "alone": alone}, rounds)
    frames = FRAMES * len(list(folder.iterdir()))
    return {
        "frames_a_second": round(frames / statistics.median(times["bytes"]), 2),
        "share": ratio(times["alone"], times["bytes"]),
        "share_with_floats": ratio(times["alone"], times["floats"]),
        "floats_over_bytes": ratio(times["floats"], times["bytes"]),
    }


def score(reward: VideoReward, source: Path | list[Path]) -> ScoreTable:
    """By `score_folder`, with a prompt that was not read before."""
    judge: Any = reward.image_reward
    judge.texts = PromptCache()
    table = score_folder(source, reward, prompt="a cat walks on a wall", device="cpu")
    assert not table.failed()
    return table


def scripts(rounds: int) -> dict[str, Any]:
    """Ours against scripts, on the same frames."""
    reward = random_reward("ViT-B-32", fit=Crop())
    judge: Any = reward.image_reward
    scores: dict[str, Tensor] = {}
    with tempfile.TemporaryDirectory() as name:
        clips = [write_clip(Path(name) / f"{number}.mp4", LENGTH, *WIDE, number) for number in range(8)]
        index = reward.plan_one(LENGTH, torch.Generator()).index[0].tolist()
        resize = v2.Compose([
            v2.ToPILImage(), v2.Resize(224, v2.InterpolationMode.BICUBIC), v2.CenterCrop(224),
            v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(*CLIP_COLOURS),
        ])  # fmt: skip

        def ours() -> None:
            rows = {Path(row.path).name: row.score for row in score(reward, clips)}
            scores["ours"] = torch.tensor([rows[clip.name] for clip in clips])

        @torch.no_grad()
        def sequential() -> None:
            found = []
            for clip in clips:
                judge.texts = PromptCache()
                found.append(reward(read_sequential(clip, index)[None], ["a cat walks on a wall"]))
            scores["sequential"] = torch.cat(found)

        @torch.no_grad()
        def per_frame() -> None:
            found = []
            for clip in clips:
                single = []
                for frame in read_sequential(clip, index):
                    seen = judge.tower.images(resize(frame)[None])
                    said = judge.tower.texts(judge.tokenizer(["a cat walks on a wall"]))
                    single.append(torch.cosine_similarity(seen, said))
                found.append(torch.cat(single).mean())
            scores["per frame"] = torch.stack(found)

        ways = {"ours": ours, "sequential": sequential, "per frame": per_frame}
        times = in_turn(ways, rounds)
    return {
        way: {
            "seconds": middle(times[way]),
            "over_ours": ratio(times[way], times["ours"]),
            "greatest_difference": float(f"{float((scores[way] - scores['ours']).abs().max()):.2g}"),
        }
        for way in ways
    }


class Timed(NamedTuple):
    """Seconds for all videos, and what each frame scored."""

    seconds: float
    scores: Mapping[str, list[float]]


def official(rounds: int) -> dict[str, Any]:
    """Both rewards against their packages."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, video in enumerate(PROMPTS):
            write_clip(folder / video, LENGTH, *WIDE, number)
        write_pictures(folder)
        files = {"checkpoint": checkpoints.imagereward(), "tokenizer": checkpoints.word_pieces()}
        return {
            "videos": f"{len(PROMPTS)} of {LENGTH} frames {WIDE[0]}x{WIDE[1]} h264, {FRAMES} frames scored of each",
            "hpsv2.1": compare("hpsv2.1", "hpsv2", {"checkpoint": checkpoints.hpsv2()}, folder, rounds),
            "imagereward": compare("imagereward", "imagereward", files, folder, rounds),
        }


def compare(name: str, package: str, files: Mapping[str, Path], folder: Path, rounds: int) -> dict[str, object]:
    """Both sides in turn at float32."""
    settings = ";".join(f"{key}={path}" for key, path in files.items())
    reward = create_reward(f"{name}[{settings}]", frames=f"uniform:{FRAMES}", device="cpu", dtype="float32")
    assert isinstance(reward, VideoReward)
    ways = ("score", "model") if package == "hpsv2" else ("score",)
    found: dict[str, list[Timed]] = {way: [] for way in ("ours", *ways)}
    with asked(package, files["checkpoint"], folder) as ask:
        ask(ways[-1])  # first calls allocate
        ours(reward, folder)
        for _ in range(rounds):
            found["ours"].append(ours(reward, folder))
            for way in ways:
                found[way].append(ask(way))
    times = {way: [timed.seconds for timed in some] for way, some in found.items()}
    one, other = ({Path(k).stem: torch.tensor(v) for k, v in found[way][0].scores.items()} for way in ("ours", "score"))
    return {
        "seconds": {way: [round(second, 2) for second in some] for way, some in times.items()},
        "official_score_over_ours": ratio(times["score"], times["ours"]),
        "official_model_over_ours": ratio(times[ways[-1]], times["ours"]),
        "greatest_difference": float(f"{max(float((one[video] - other[video]).abs().max()) for video in one):.2g}"),
    }


def ours(reward: VideoReward, folder: Path) -> Timed:
    """`score_folder` over all videos, with prompts that it has not read before."""
    judge: Any = reward.image_reward
    judge.texts = PromptCache()
    prompts = {str(folder / video): prompt for video, prompt in PROMPTS.items()}
    start = time.perf_counter()
    table = score_folder([folder / video for video in PROMPTS], reward, prompts=prompts, device="cpu")
    taken = time.perf_counter() - start
    assert not table.failed()
    return Timed(taken, {Path(row.path).name: row.per_frame or [] for row in table})


@contextmanager
def asked(package: str, checkpoint: Path, folder: Path) -> Iterator[Callable[[str], Timed]]:
    """A function that lets the official package score in its own process, by `score` or `model`."""
    python = checkpoints.PARITY / ".environments" / package / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"no {python}: make the official environments by python benchmarks/parity/build.py")
    command = [python, checkpoints.PARITY / "official.py", package, checkpoint, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout

        def ask(way: str) -> Timed:
            print(way, file=process.stdin, flush=True)
            return Timed(**json.loads(process.stdout.readline()))  # type: ignore[union-attr]

        yield ask
        process.stdin.close()


def write_pictures(folder: Path) -> None:
    """The frames that `uniform:4` takes, and the prompts, for the official side."""
    plan = create_reward("exposure", frames=f"uniform:{FRAMES}").plan_one(LENGTH, torch.Generator())
    (folder / "prompts.json").write_text(json.dumps({Path(name).stem: text for name, text in PROMPTS.items()}))
    for video in PROMPTS:
        (folder / Path(video).stem).mkdir()
        with open_video(folder / video) as opened:
            for number, frame in enumerate(opened.read(plan.index[0].tolist())):
                write_png(frame, str(folder / Path(video).stem / f"{number}.png"))


MEASUREMENTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "roofline": roofline,
    "share": share,
    "official": official,
    "scripts": scripts,
}

if __name__ == "__main__":
    main()
