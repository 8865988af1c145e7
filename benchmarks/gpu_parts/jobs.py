"""Sizes of all parts, and running them so that neither a failure nor the clock takes the others' rows along."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from timing import matmul_rate

from rewardkit.rewards.towers.clip import Architecture

Row = dict[str, Any]
"""`name`, `what`, `status` (ok, failed or not run); then numbers, or `why` there are none."""


@dataclass(frozen=True, eq=False)
class Setting:
    """How big everything is.

    Attributes:
        device: where it runs.
        tiny: whether generators are those of `tiny()`, in float32, and the official package is left out.
        architecture: of HPSv2's tower.
        batches: pictures that the tower reads at once.
        frames: in a timed run of the tower, a multiple of every batch.
        side: of the square matrices whose product is the roof.
        rounds: timed runs; the median counts.
        clips: videos.
        clip: their frames, width and height.
        chosen: frames of each that are scored.
    """

    device: str
    tiny: bool
    architecture: Architecture
    batches: tuple[int, ...]
    frames: int
    side: int
    rounds: int
    clips: int
    clip: tuple[int, int, int]
    chosen: int


FULL = Setting("cuda", False, "ViT-H-14", (1, 8, 64), 64, 8192, 5, 32, (49, 512, 320), 8)
TINY_TOWER = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 56, "layers": 3, "width": 80, "head_width": 20, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}


def small(device: str) -> Setting:
    """Seconds for everything."""
    return Setting(device, True, TINY_TOWER, (1, 4), 4, 256, 2, 3, (9, 96, 64), 4)


class Job(NamedTuple):
    """What makes one row.

    Attributes:
        part: by which it can be asked for.
        name: of the row.
        what: the row says.
        run: gives its numbers.
        turn: lower ones are run first.
    """

    part: str
    name: str
    what: str
    run: Callable[[], dict[str, Any]]
    turn: int = 0


class NotRunError(Exception):
    """Something that a job needs is not here."""


def run_all(jobs: Sequence[Job], minutes: float, device: str, keep: Callable[[list[Row]], None]) -> list[Row]:
    """The row of every job; `keep` gets all rows after each, those to come as not run."""
    end = time.monotonic() + 60 * minutes
    rows = [_not_run(job, "the script was stopped before") for job in jobs]
    for number, job in enumerate(jobs):
        over = time.monotonic() >= end
        rows[number] = _not_run(job, f"{minutes:g} minutes were over") if over else _row(job, device)
        print(json.dumps(rows[number]), flush=True)
        keep(rows)
    return rows


def _not_run(job: Job, why: str) -> Row:
    return {"name": job.name, "what": job.what, "status": "not run", "why": why}


def _row(job: Job, device: str) -> Row:
    start = time.perf_counter()
    try:
        found = {"status": "ok", **job.run(), "took_seconds": round(time.perf_counter() - start, 1)}
    except NotRunError as reason:
        return _not_run(job, str(reason))
    except Exception as error:  # noqa: BLE001 - kernels, compilers and drivers may raise anything
        found = {"status": "failed", "why": in_a_line(error)}
    forget(device)
    return {"name": job.name, "what": job.what, **found}


def in_a_line(error: Exception) -> str:
    """Its kind, and the first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def forget(device: str) -> None:
    """Gives memory back, so that what comes finds all of it."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def roof(dtype: torch.dtype, setting: Setting) -> float:
    """What a big product reaches there in that precision, TF32 or not as torch is set, in operations a second."""
    return _roof(dtype, setting, torch.get_float32_matmul_precision())


@lru_cache
def _roof(dtype: torch.dtype, setting: Setting, precision: str) -> float:
    return matmul_rate(dtype, setting.device, setting.side)


def under_roof(rates: Mapping[str, float], roof: float) -> dict[str, Any]:
    """Rates in operations a second, by name, and their share of the roof."""
    return {
        "tflops": {name: digits(rate / 1e12) for name, rate in rates.items()},
        "matrix_product_tflops": digits(roof / 1e12),
        "share_of_roof": {name: round(rate / roof, 3) for name, rate in rates.items()},
    }


def digits(number: float) -> float:
    """Four of them."""
    return float(f"{number:.4g}")
