"""Tensor shapes that several files name. Pixels are RGB; video is (batch, frame, 3, height, width)."""

from __future__ import annotations

from jaxtyping import UInt8
from torch import Tensor

Frames = UInt8[Tensor, "frame 3 height width"]
"""Frames of one video as a file gives them."""
