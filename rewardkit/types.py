"""Tensor shapes by name. Pixels are RGB, float in [0, 1] or uint8; video is (batch, frame, 3, height, width)."""

from __future__ import annotations

from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

Images = Float[Tensor, "image 3 height width"]
"""Pictures as a reward model sees them: RGB, float in [0, 1]."""

Video = Shaped[Tensor, "batch frame 3 height width"]
"""Videos of one length and size: RGB, float in [0, 1] (keeps gradients) or uint8 (four times smaller)."""

Frames = UInt8[Tensor, "frame 3 height width"]
"""Frames of one video as a file gives them: RGB, uint8."""

Scores = Float[Tensor, " batch"]
"""One number a video; higher is better."""

FrameScores = Float[Tensor, "batch frame"]
"""One number a scored frame."""

FrameIndex = Int[Tensor, "batch frame"]
"""Positions of frames in their video, counted from 0, ascending."""
