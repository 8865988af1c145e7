"""Checks of what computes: the device that rewards run on, its memory, and the processors."""

from __future__ import annotations

import glob
import math
import os
import platform
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rewardkit.doctor.finding import Finding
from rewardkit.errors import first_line

if TYPE_CHECKING:
    import torch

CGROUP = Path("/sys/fs/cgroup")
LEAST_FREE = 0.5
"""Of a GPU's memory; where less is free another process is at work."""

FITTING_TORCH = "install a torch that fits the driver, or a newer driver: https://pytorch.org/get-started/locally"


def device() -> Finding:
    """Which device rewards run on by default, and whether it multiplies as it should."""
    import torch

    from rewardkit.device import choose_device

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        chosen = choose_device("auto")
    words = f"{chosen}, {_name(chosen)}"
    problem = _product_problem(chosen, torch.float32)
    if problem:
        return Finding("device", "bad", f"{words}: a product of matrices {problem}", FITTING_TORCH)
    unused = _why_no_cuda([str(warning.message) for warning in said]) if chosen.type == "cpu" else None
    if unused:
        reason, mend = unused
        return Finding("device", "warn", f"{words}, though an NVIDIA GPU seems to be here: {reason}", mend)
    problem = _bfloat16_problem(chosen)
    if problem:
        return Finding("device", "warn", f"{words}: bfloat16 {problem}", "keep to --dtype float32, the default")
    return Finding("device", "ok", f"{words}; float32 and bfloat16 work")


def gpu_memory() -> Finding:
    """How much of the GPU's memory is free."""
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU memory", "ok", "no NVIDIA GPU in use")
    free, total = torch.cuda.mem_get_info()
    words = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if free < LEAST_FREE * total:
        return Finding("GPU memory", "warn", words, "nvidia-smi  # lists the processes that hold the rest")
    return Finding("GPU memory", "ok", words)


def threads() -> Finding:
    """Whether torch starts as many threads as there are processors that this process may use."""
    import torch

    started, usable = torch.get_num_threads(), usable_processors()
    words = f"torch computes with {started}; {usable} of {os.cpu_count()} processors may be used"
    if started > usable:  # they would take turns, which is slower than fewer threads
        return Finding("threads", "warn", words, f"export OMP_NUM_THREADS={usable}")
    if started == 1 < usable and "OMP_NUM_THREADS" in os.environ:
        return Finding("threads", "warn", f"{words}, but OMP_NUM_THREADS is 1", "unset OMP_NUM_THREADS")
    return Finding("threads", "ok", words)


def usable_processors(cgroup: Path = CGROUP) -> int:
    """How many processors this process may keep busy: those that it may run on, or the share that its container has."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, _share(cgroup))))


def _share(cgroup: Path) -> float:
    """Processors' worth of time that the container may use, as either version of Linux's control groups has it."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except OSError:
        try:
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
            )
        except OSError:  # no container
            return math.inf
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)


def _name(chosen: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else platform.machine()


def _why_no_cuda(said: Sequence[str]) -> tuple[str, str] | None:
    """Why an NVIDIA GPU goes unused and how to mend it, by what torch said when asked; None where there is no GPU."""
    import torch

    # such as a driver that is too old; of a machine without any it says nothing
    complaint = next((text.removeprefix("CUDA initialization: ") for text in said if "CUDA" in text), "")
    if not complaint and not glob.glob("/dev/nvidia[0-9]*"):
        return None
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides it", "unset CUDA_VISIBLE_DEVICES"
    if complaint:
        return re.split(r"\. (?=[A-Z])", complaint)[0], FITTING_TORCH
    return "torch is built without CUDA" if torch.version.cuda is None else "CUDA finds none", FITTING_TORCH


def _bfloat16_problem(chosen: torch.device) -> str:
    import torch

    if chosen.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "is only imitated, and slow"
    return _product_problem(chosen, torch.bfloat16)


def _product_problem(chosen: torch.device, dtype: torch.dtype) -> str:
    """What is wrong with a product of matrices there, compared with that of the processor; empty where nothing is."""
    import torch

    rows = torch.arange(64.0).reshape(8, 8) / 64  # exact in bfloat16, too
    try:
        product = (rows.to(chosen, dtype) @ rows.to(chosen, dtype)).cpu().double()
    except RuntimeError as error:  # such as: no kernel for this GPU
        return f"fails: {first_line(error)}"
    right = torch.allclose(product, rows.double() @ rows.double(), rtol=1e-2)
    return "" if right else "gives wrong numbers"
