"""Between float in [0, 1] and 8 bits a colour."""

from __future__ import annotations

import torch
from torch import Tensor

SLACK = 1e-3
"""How far outside [0, 1] a float may lie and be clamped: rounding overshoots less, other ranges far more."""

FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})


def level_problem(pixels: Tensor) -> str | None:
    """What keeps `pixels` from being uint8, or float in [0, 1]; None if nothing does."""
    if pixels.dtype == torch.uint8:
        return None
    if pixels.dtype not in FLOATS:  # torch computes nothing with floats of 8 bits
        return f"holds {str(pixels.dtype).removeprefix('torch.')}, not uint8 or float in [0, 1]"
    if not pixels.numel():
        return None
    low, high = (float(bound) for bound in pixels.aminmax())
    if not -SLACK <= low <= high <= 1 + SLACK:  # also true of NaN
        hint = ": rescale it from [-1, 1]" if -1 - SLACK <= low < 0 and high <= 1 + SLACK else ""
        return f"has values from {low:g} to {high:g}, not in [0, 1]{hint}"
    return None


def to_uint8(pixels: Tensor) -> Tensor:
    """`pixels` without a level problem, rounded to 8 bits."""
    if pixels.dtype == torch.uint8:
        return pixels
    return pixels.float().clamp(0, 1).mul(255).round().to(torch.uint8)
