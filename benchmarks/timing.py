"""Timing and memory that the scripts measure alike: ways of the same work in turn, one process for each peak."""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

MAPPED = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""glibc maps big blocks and returns them, so that resident memory falls when something is freed."""


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int, device: str = "cpu") -> dict[str, list[float]]:
    """Seconds of each way in each round; the ways take turns, after one call each that does not count."""
    for run in ways.values():
        run()
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            found[way].append(seconds(run, device))
    return found


def seconds(run: Callable[[], object], device: str = "cpu") -> float:
    """Of one call, by the clock; on a GPU until its work is done."""
    gc.collect()
    finish(device)
    start = time.perf_counter()
    run()
    finish(device)
    return time.perf_counter() - start


def finish(device: str) -> None:
    """Waits for a GPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """How many times as long the one takes as the other: the median over rounds."""
    return round(statistics.median(a / b for a, b in zip(slow, fast, strict=True)), 3)


def middle(times: Sequence[float]) -> float:
    """The median, to four digits."""
    return float(f"{statistics.median(times):.4g}")


def matmul_rate(dtype: torch.dtype, device: str = "cpu", side: int = 2048, repeats: int = 5) -> float:
    """What a big square product reaches, in floating-point operations a second: the roof that a tower has."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    times = in_turn({"product": lambda: a @ b}, repeats, device)["product"]
    return float(2 * side**3 / statistics.median(times))


def allocated(run: Callable[[], None]) -> float:
    """Megabytes by which a call raises what torch's CPU allocator has given out, at most."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        run()
    events = watched.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return round(max(accumulate(change for _, change in changes)) / 1e6, 1)


def in_child(script: str, *words: object, env: Mapping[str, str] = MAPPED) -> Any:
    """What `python SCRIPT --child WORDS...` prints, as JSON: one measurement in a process of its own."""
    command = [sys.executable, script, "--child", *map(str, words)]
    done = subprocess.run(command, check=True, capture_output=True, env=os.environ | env)
    found = json.loads(done.stdout.splitlines()[-1])
    print(*words, found, flush=True)
    return found
