"""Known ways of spoiling a clip, five strengths each, mildest first: the truth that rewards are held against.

A clip is (frame, 3, height, width), RGB, float in [0, 1]; what comes back is rounded to 8 bits, as in a file.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Defect:
    """A way of spoiling and the five settings, mildest first."""

    spoil: Callable[[Tensor, Any], Tensor]
    settings: Sequence[float]
    unit: str

    def clips(self, clip: Tensor) -> list[Tensor]:
        """The clip itself, then its five spoiled versions."""
        return [clip, *(_rounded(self.spoil(clip, setting)) for setting in self.settings)]


def _rounded(clip: Tensor) -> Tensor:
    return (clip.clamp(0, 1) * 255).round() / 255


def blur(clip: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    planes = F.pad(clip.flatten(0, 1).unsqueeze(1), (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(planes, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).view_as(clip)


def noise(clip: Tensor, sigma: float) -> Tensor:
    return clip + sigma * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))


def jpeg(clip: Tensor, quality: float) -> Tensor:
    frames = []
    for frame in (clip * 255).round().byte().permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=int(quality))
        frames.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255


def low_contrast(clip: Tensor, left: float) -> Tensor:
    return clip.mean() + left * (clip - clip.mean())


def gain(clip: Tensor, factor: float) -> Tensor:
    return clip * factor


def desaturation(clip: Tensor, left: float) -> Tensor:
    grey = (0.299 * clip[:, 0] + 0.587 * clip[:, 1] + 0.114 * clip[:, 2]).unsqueeze(1)
    return grey + left * (clip - grey)


def gain_jitter(clip: Tensor, sigma: float) -> Tensor:
    draw = torch.randn(len(clip), generator=torch.Generator().manual_seed(0))
    return clip * (1 + sigma * draw).view(-1, 1, 1, 1)


def shuffled(clip: Tensor, share: float) -> Tensor:
    """The last frames of a random share of all pairs (0 1) (2 3) ... come before the first ones."""
    order = torch.arange(len(clip))
    for pair in _drawn(len(clip) // 2, share).tolist():
        order[2 * pair], order[2 * pair + 1] = 2 * pair + 1, 2 * pair
    return clip[order]


def repeated(clip: Tensor, share: float) -> Tensor:
    """A random share of the odd frames is replaced by the frame before it, as when an encoder drops frames."""
    order = torch.arange(len(clip))
    order[2 * _drawn(len(clip) // 2, share) + 1] -= 1
    return clip[order]


def slowed(clip: Tensor, factor: float) -> Tensor:
    """As many frames, but `factor` times slower: frames in between are blended."""
    time = torch.arange(len(clip)) / factor
    before = time.floor().long()
    after = (before + 1).clamp(max=len(clip) - 1)
    return torch.lerp(clip[before], clip[after], (time - before).view(-1, 1, 1, 1))


def frozen(clip: Tensor, share: float) -> Tensor:
    """The film stops: the last `share` of the frames are one and the same."""
    stop = round((1 - share) * (len(clip) - 1))
    return clip[torch.arange(len(clip)).clamp(max=stop)]


def _drawn(count: int, share: float) -> Tensor:
    """A share of range(count), at least one; a larger share holds the smaller one."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[: max(1, round(share * count))]


PICTURE = {
    "blur": Defect(blur, (0.5, 1, 1.6, 2.5, 4), "sigma in pixels"),
    "noise": Defect(noise, (0.01, 0.02, 0.04, 0.08, 0.16), "sigma, white noise, each channel its own"),
    "jpeg": Defect(jpeg, (80, 60, 40, 20, 10), "quality"),
    "low contrast": Defect(low_contrast, (0.8, 0.65, 0.5, 0.35, 0.2), "contrast left, around the clip's mean"),
    "darkening": Defect(gain, (0.8, 0.65, 0.5, 0.35, 0.2), "factor"),
    "over-exposure": Defect(gain, (1.4, 2, 2.8, 4, 5.6), "factor, then clipped: half stops"),
    "desaturation": Defect(desaturation, (0.8, 0.6, 0.4, 0.2, 0), "colour left"),
}
"""Defects of single pictures."""

TIME = {
    "gain jitter": Defect(gain_jitter, (0.01, 0.02, 0.04, 0.08, 0.16), "sigma of a random factor per frame"),
    "shuffled": Defect(shuffled, (0.15, 0.3, 0.5, 0.7, 1), "share of neighbouring pairs swapped"),
    "repeated": Defect(repeated, (0.15, 0.3, 0.5, 0.7, 1), "share of odd frames that repeat the one before"),
    "slowed": Defect(slowed, (1.25, 1.5, 2, 3, 5), "times slower, frames blended"),
    "frozen": Defect(frozen, (0.2, 0.4, 0.6, 0.8, 1), "share of frames after the film stops"),
}
"""Defects of frames in time."""
