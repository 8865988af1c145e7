"""How much faster is reading four sparse frames than decoding the whole clip, and what does a second worker give?

    python benchmarks/video_reading.py [--rounds 9]

Makes its own clips (seeded), runs everything in one go with interleaved rounds, checks that the pixels agree, and
prints a table and writes results/video_reading.json. All decoders use one thread.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from recording import record

from rewardkit.types import Frames
from rewardkit.video import open_video

SEED = 0
LONG_FRAMES, GOP, SEGMENTS = 300, 30, 4
SMALL_CLIPS, SMALL_FRAMES = 24, 32
HASHED_BYTES = 1 << 26


def main() -> None:
    """Run both measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="interleaved repeats; the median counts")
    rounds: int = parser.parse_args().rounds
    print(f"PyAV {av.__version__}, torch {torch.__version__}, Python {platform.python_version()}, seed {SEED}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {rounds} rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        result = sparse_against_sequential(Path(folder), rounds) | one_worker_against_two(Path(folder), rounds)
    record("video_reading", {"rounds": rounds, **result})


def sparse_against_sequential(folder: Path, rounds: int) -> dict[str, float]:
    """Prints and gives the time of both ways to four frames, and the median over rounds of their ratio."""
    clip = write_clip(folder / "long.mp4", LONG_FRAMES, 1920, 1080)
    index = [LONG_FRAMES * (2 * segment + 1) // (2 * SEGMENTS) for segment in range(SEGMENTS)]
    if not torch.equal(read_sparse(clip, index), read_sequential(clip, index)):
        raise SystemExit("the sparse frames differ from the sequential ones")
    seconds = interleaved(rounds, lambda: read_sparse(clip, index), lambda: read_sequential(clip, index))
    sparse, sequential = (statistics.median(times) * 1000 for times in zip(*seconds, strict=True))
    ratio = statistics.median(slow / fast for fast, slow in seconds)
    print(f"frames {index} of {LONG_FRAMES}, 1920x1080 h264, key frame every {GOP}, pixels equal")
    print(f"  rewardkit.video     {sparse:8.0f} ms")
    print(f"  sequential PyAV     {sequential:8.0f} ms")
    print(f"  ratio               {ratio:8.2f}    goal: at least 2.5\n")
    milliseconds = {"sparse_milliseconds": round(sparse), "sequential_milliseconds": round(sequential)}
    return {**milliseconds, "sequential_over_sparse": round(ratio, 2)}


def one_worker_against_two(folder: Path, rounds: int) -> dict[str, float]:
    """Prints and gives clips a second with one and with two threads, and the median over rounds of their ratio.

    Beside it, the same ratio for hashing, which needs nothing but processor: what the machine has to give just then.
    """
    clips = [write_clip(folder / f"{number}.mp4", SMALL_FRAMES, 512, 320, number) for number in range(SMALL_CLIPS)]
    index = [SMALL_FRAMES * (2 * segment + 1) // (2 * SEGMENTS) for segment in range(SEGMENTS)]
    block = bytes(HASHED_BYTES)

    def read_all(workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda clip: read_sparse(clip, index), clips))

    def hash_all(workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda _: hashlib.sha256(block).digest(), range(8)))

    ways = [partial(work, workers) for work in (read_all, hash_all) for workers in (1, 2)]
    seconds = interleaved(rounds, *ways)
    one, two, *_ = (SMALL_CLIPS / statistics.median(times) for times in zip(*seconds, strict=True))
    ratio = statistics.median(alone / together for alone, together, *_ in seconds)
    ceiling = statistics.median(alone / together for *_, alone, together in seconds)
    print(f"{SMALL_CLIPS} clips of {SMALL_FRAMES} frames, 512x320, frames {index} of each")
    print(f"  1 worker            {one:8.1f} clips/s")
    print(f"  2 workers           {two:8.1f} clips/s")
    print(f"  ratio               {ratio:8.2f}    goal: at least 1.7")
    print(f"  ratio for hashing   {ceiling:8.2f}    what two threads gain on this machine, just now")
    ratios = {"two_workers_over_one": round(ratio, 2), "two_threads_over_one_at_hashing": round(ceiling, 2)}
    return {"clips_a_second_with_one_worker": round(one, 1), "with_two": round(two, 1), **ratios}


def interleaved(rounds: int, *ways: Callable[[], object]) -> list[tuple[float, ...]]:
    """Seconds that each way takes, one tuple a round, after a warm-up."""

    def seconds(way: Callable[[], object]) -> float:
        start = time.perf_counter()
        way()
        return time.perf_counter() - start

    return [tuple(seconds(way) for way in ways) for _ in range(rounds + 1)][1:]


def read_sparse(path: Path, index: list[int]) -> Frames:
    with open_video(path) as video:
        return video.read(index)


def read_sequential(path: Path, index: list[int]) -> Frames:
    """Decode everything in order, convert only the wanted frames."""
    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        pictures = [
            frame.to_ndarray(format="rgb24", threads=1).transpose(2, 0, 1)
            for number, frame in enumerate(container.decode(video=0))
            if number in index
        ]
    return torch.from_numpy(np.stack(pictures))


def write_clip(path: Path, num_frames: int, width: int, height: int, seed: int = SEED) -> Path:
    """An h264 clip of drifting gradients under film grain, about as hard to decode as footage."""
    with av.open(path, "w") as out:
        options = {"preset": "fast", "crf": "20", "x264-params": f"keyint={GOP}:min-keyint={GOP}:scenecut=0"}
        stream = out.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in drifting_gradients(num_frames, width, height, seed):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def drifting_gradients(num_frames: int, width: int, height: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    grain = rng.normal(0, 4, (height + 64, width + 64, 1)).astype(np.float32)
    waves = rng.uniform(20, 90, 3).astype(np.float32)
    for number in range(num_frames):
        colours = []
        for wave in waves:
            across, bend = (x + 3 * number) / wave, np.cos((y - 2 * number) / wave)
            # sin(across + bend), which is slow, by the addition theorem
            colours.append(110 * (np.outer(np.cos(bend), np.sin(across)) + np.outer(np.sin(bend), np.cos(across))))
        down, right = rng.integers(0, 64, 2)
        picture = 128 + np.stack(colours, axis=-1) + grain[down : down + height, right : right + width]
        yield picture.clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
