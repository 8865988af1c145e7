"""Where and in what precision models run."""

from __future__ import annotations

import os

import torch

from rewardkit.errors import UsageError

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` is the first there is of cuda, mps, cpu.

    Of several processes on a machine each gets a GPU of its own, by the number that torchrun and accelerate give it.

    Raises:
        UsageError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        if name == "cuda":
            name += f":{os.environ.get('LOCAL_RANK', torch.cuda.current_device())}"
    try:
        device = torch.empty(0, device=name).device  # with its number: cuda:0 for cuda
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"cannot use the device {name!r}: {reason}; try auto or cpu") from None
    return device


def choose_dtype(name: str = "auto") -> torch.dtype:
    """The precision of weights called `name`; `auto` is float32. Scores are float32 whatever it is.

    Raises:
        UsageError: no such precision.
    """
    if name == "auto":
        return torch.float32
    if name not in DTYPES:
        raise UsageError(f"no dtype is called {name!r}: take auto, {', '.join(DTYPES)}")
    return DTYPES[name]
