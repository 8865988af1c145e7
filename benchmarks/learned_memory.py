"""How much memory does loading hpsv2.1 take at its peak, and what does recomputing activations save?

    python benchmarks/learned_memory.py

Full size, random weights, 2 threads, a process for each number. Loading: the greatest resident memory (VmHWM) less that
before, over the bytes of the weights in memory and over the file. `anonymous` leaves out pages that the file backs,
which the system may drop. Gradient: the same for one pass forward and backward to the pixels of 4 frames of 512x320,
with activations computed again on the way back (as the reward does) and with activations kept.

Writes results/learned_memory.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import checkpoints
import torch
from recording import processor, record

from rewardkit.registry import REWARDS
from rewardkit.rewards.interface import FrozenModel
from rewardkit.rewards.release import Release
from rewardkit.weights.filling import Placement

THREADS, FRAMES, HEIGHT, WIDTH = 2, 4, 320, 512
GOAL = 1.3
FILES = {
    "float16 pt": ("float16", "pt"),
    "float32 pt": ("float32", "pt"),
    "float32 safetensors": ("float32", "safetensors"),
}
CHECKPOINT_FUNCTIONS = ("torch.utils.checkpoint.checkpoint", "open_clip.transformer.checkpoint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", nargs=3, metavar=("WHAT", "FILE", "DTYPE"), help="one measurement, in this process")
    if child := parser.parse_args().child:
        what, path, dtype = child
        found = loading(Path(path), dtype) if what == "loading" else gradient(Path(path), keeping=what == "keeping")
        print(json.dumps(found))
        return
    load = round(os.getloadavg()[0], 2)
    loadings: dict[str, Any] = {}
    for name, (precision, kind) in FILES.items():
        path = checkpoints.hpsv2(getattr(torch, precision), kind)
        for dtype in ("float32", "bfloat16"):
            loadings[f"{name} to {dtype}"] = in_child("loading", path, dtype)
    path = checkpoints.hpsv2()
    ways = {way: [in_child(way, path, "float32") for _ in range(2)] for way in ("recomputing", "keeping")}
    gradients = {way: min(found, key=lambda one: one["seconds"]) for way, found in ways.items()}
    result = {"processor": processor(), "load_before": load, "goal_at_most": GOAL}
    result |= {"loading": loadings, "forward_and_backward": gradients}
    print(json.dumps(result, indent=2))
    record("learned_memory", result)


def in_child(what: str, path: Path, dtype: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", what, str(path), dtype]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    print(what, path.name, dtype, found, flush=True)
    return found


def loading(path: Path, dtype: str) -> dict[str, float]:
    """Peak over weights and over file, and gigabytes."""
    release()  # imports what it needs before the level is taken
    model, peak, anonymous, seconds = watched(lambda: load(path, dtype))
    weights = sum(weight.nbytes for weight in model.parameters())
    return {
        "peak_over_weights": round(peak / weights, 3),
        "peak_over_file": round(peak / path.stat().st_size, 3),
        "anonymous_over_weights": round(anonymous / weights, 3),
        "peak_gigabytes": round(peak / 1e9, 2),
        "weights_gigabytes": round(weights / 1e9, 2),
        "file_gigabytes": round(path.stat().st_size / 1e9, 2),
        "seconds": round(seconds, 1),
    }


def gradient(path: Path, keeping: bool) -> dict[str, float]:
    """Gigabytes beside the weights, and seconds."""
    torch.set_num_threads(THREADS)
    model = load(path, "float32")
    pixels = torch.rand(FRAMES, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0), requires_grad=True)
    prompts = ["a cat walks on a wall"] * FRAMES
    with torch.no_grad():
        model(pixels[:1], prompts[:1])  # reads the prompt

    def both_ways() -> None:
        model(pixels, prompts).sum().backward()

    if keeping:
        with patch(CHECKPOINT_FUNCTIONS[0], kept), patch(CHECKPOINT_FUNCTIONS[1], kept):
            _, peak, _, seconds = watched(both_ways)
    else:
        _, peak, _, seconds = watched(both_ways)
    assert pixels.grad is not None
    return {"peak_gigabytes_beside_weights": round(peak / 1e9, 2), "seconds": round(seconds, 1)}


def kept(function: Callable[..., object], *words: object, use_reentrant: bool, **named: object) -> object:
    """What stands in for `torch.utils.checkpoint.checkpoint`."""
    del use_reentrant
    return function(*words, **named)


def release() -> Release:
    import open_clip  # noqa: F401
    import transformers  # noqa: F401

    found = REWARDS.load("hpsv2.1")
    assert isinstance(found, Release)
    return found


def load(path: Path, dtype: str) -> FrozenModel:
    return release().load(Placement(torch.device("cpu"), getattr(torch, dtype)), {"checkpoint": path})


def watched(work: Callable[[], Any]) -> tuple[Any, int, int, float]:
    """What `work` gives, by how many bytes resident and anonymous memory rose at most, and seconds."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, anonymous_before = status("VmRSS"), status("RssAnon")
    highest, done = [anonymous_before], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            highest.append(max(highest[-1], status("RssAnon")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        given = work()
        seconds = time.perf_counter() - start
    finally:
        done.set()
        watcher.join()
    return given, status("VmHWM") - before, highest[-1] - anonymous_before, seconds


def status(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
