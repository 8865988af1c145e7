"""Known ways of spoiling a video, five strengths each, mildest first: the truth that rewards are held against.

A clip is (frame, 3, height, width), RGB, float in [0, 1]; what comes back is rounded to 8 bits, as in a file.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from rewardkit.errors import UnknownNameError
from rewardkit.scoring.altering import Alteration
from rewardkit.types import Frames

Clip = Float[Tensor, "frame 3 height width"]
Order = Int[Tensor, " frame"]


def _unchanged(clip: Clip, setting: float) -> Clip:
    del setting
    return clip


def _in_order(count: int, setting: float) -> Order:
    del setting
    return torch.arange(count)


@dataclass(frozen=True)
class Defect:
    """A way of spoiling: pictures, or their order in time.

    Attributes:
        settings: five, mildest first.
        unit: of a setting.
        pictures: a clip in one setting.
        order: which of so many frames stands at each place.
    """

    settings: Sequence[float]
    unit: str
    pictures: Callable[[Clip, float], Clip] = _unchanged
    order: Callable[[int, float], Order] = _in_order

    def clips(self, clip: Clip) -> list[Clip]:
        """The clip itself, then its five spoiled versions."""
        return [clip, *(_rounded(self.pictures(clip[self.order(len(clip), s)], s)) for s in self.settings)]


class Spoiled(Alteration):
    """A defect in one setting, as scoring applies it."""

    def __init__(self, name: str, setting: float) -> None:
        self.spec = spoiled_so(name, setting)
        self._defect, self._setting = find_defect(name), setting

    def order(self, num_frames: int) -> Order:
        """See `Defect.order`."""
        return self._defect.order(num_frames, self._setting)

    def pictures(self, frames: Frames) -> Frames:
        """See `Defect.pictures`."""
        if self._defect.pictures is _unchanged:
            return frames
        return (_rounded(self._defect.pictures(frames.float() / 255, self._setting)) * 255).round().byte()


class Resized(Alteration):
    """Width and height as a share of what they are."""

    def __init__(self, share: float) -> None:
        self.spec = f"resolution {share:g}"
        self._share = share

    def pictures(self, frames: Frames) -> Frames:
        """Resized by area, or with antialiased cubics where they grow."""
        size = [max(1, round(side * self._share)) for side in frames.shape[-2:]]
        resized = F.interpolate(frames.float(), size, mode="bicubic", antialias=True)
        return resized.clamp(0, 255).round().byte()


def _rounded(clip: Clip) -> Clip:
    return (clip.clamp(0, 1) * 255).round() / 255


def blur(clip: Clip, sigma: float) -> Clip:
    """Gaussian."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    edge = [min(reach, side - 1) for side in clip.shape[-2:]]
    planes = F.pad(clip.flatten(0, 1).unsqueeze(1), (edge[1], edge[1], edge[0], edge[0]), mode="reflect")
    rest = (reach - edge[1], reach - edge[1], reach - edge[0], reach - edge[0])
    planes = F.pad(planes, rest, mode="replicate")  # a picture narrower than the kernel
    return F.conv2d(F.conv2d(planes, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).view_as(clip)


def noise(clip: Clip, sigma: float) -> Clip:
    """White, each channel its own."""
    return clip + sigma * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))


def jpeg(clip: Clip, quality: float) -> Clip:
    """Each frame through a JPEG file."""
    frames = []
    for frame in (clip * 255).round().byte().permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=int(quality))
        frames.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255


def low_contrast(clip: Clip, left: float) -> Clip:
    """Around the clip's mean."""
    return clip.mean() + left * (clip - clip.mean())


def gain(clip: Clip, factor: float) -> Clip:
    """Brighter or darker."""
    return clip * factor


def desaturation(clip: Clip, left: float) -> Clip:
    """Towards grey of the same luma."""
    grey = (0.299 * clip[:, 0] + 0.587 * clip[:, 1] + 0.114 * clip[:, 2]).unsqueeze(1)
    return grey + left * (clip - grey)


def gain_jitter(clip: Clip, sigma: float) -> Clip:
    """Each frame brighter or darker by chance."""
    draw = torch.randn(len(clip), generator=torch.Generator().manual_seed(0))
    return clip * (1 + sigma * draw).view(-1, 1, 1, 1)


def shuffled(count: int, share: float) -> Order:
    """The last frames of a random share of all pairs (0 1) (2 3) ... come before the first ones."""
    order = torch.arange(count)
    for pair in _drawn(count // 2, share).tolist():
        order[2 * pair], order[2 * pair + 1] = 2 * pair + 1, 2 * pair
    return order


def repeated(count: int, share: float) -> Order:
    """A random share of the odd frames is replaced by the frame before it, as when an encoder drops frames."""
    order = torch.arange(count)
    order[2 * _drawn(count // 2, share) + 1] -= 1
    return order


def frozen(count: int, share: float) -> Order:
    """The film stops: the last `share` of the frames are one and the same."""
    return torch.arange(count).clamp(max=round((1 - share) * (count - 1)))


def _drawn(count: int, share: float) -> Order:
    """A share of range(count), at least one; a larger share holds the smaller one."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[: max(1, round(share * count))]


PICTURE = {
    "blur": Defect((0.5, 1, 1.6, 2.5, 4), "sigma in pixels", blur),
    "noise": Defect((0.01, 0.02, 0.04, 0.08, 0.16), "sigma, white noise, each channel its own", noise),
    "jpeg": Defect((80, 60, 40, 20, 10), "quality", jpeg),
    "low contrast": Defect((0.8, 0.65, 0.5, 0.35, 0.2), "contrast left, around the clip's mean", low_contrast),
    "darkening": Defect((0.8, 0.65, 0.5, 0.35, 0.2), "factor", gain),
    "over-exposure": Defect((1.4, 2, 2.8, 4, 5.6), "factor, then clipped: half stops", gain),
    "desaturation": Defect((0.8, 0.6, 0.4, 0.2, 0), "colour left", desaturation),
}
"""Defects of single pictures."""

TIME = {
    "gain jitter": Defect((0.01, 0.02, 0.04, 0.08, 0.16), "sigma of a random factor per frame", gain_jitter),
    "shuffled": Defect((0.15, 0.3, 0.5, 0.7, 1), "share of neighbouring pairs swapped", order=shuffled),
    "repeated": Defect((0.15, 0.3, 0.5, 0.7, 1), "share of odd frames that repeat the one before", order=repeated),
    "frozen": Defect((0.2, 0.4, 0.6, 0.8, 1), "share of frames after the film stops", order=frozen),
}
"""Defects of frames in time."""

WRONG_PROMPT = "wrong prompt"
WRONG_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Of the words that are another video's: the defect that is in no pixel."""


def find_defect(name: str) -> Defect:
    """By name.

    Raises:
        UnknownNameError: no such defect.
    """
    known = {**PICTURE, **TIME}
    if name not in known:
        raise UnknownNameError("defect", name, [*known, WRONG_PROMPT])
    return known[name]


def settings_of(name: str) -> Sequence[float]:
    """Of a defect, that of prompts among them; mildest first."""
    return WRONG_SHARES if name == WRONG_PROMPT else find_defect(name).settings


def spoiled_so(name: str, setting: float) -> str:
    """A defect in one setting, in words: `blur 2.5`."""
    return f"{name} {setting:g}"


def wrong_prompt(prompt: str, other: str, share: float) -> str:
    """The prompt with a share of its words from another one; 1 is the other one.

    Replaced are words that differ from those at the same place, a larger share holding the smaller one; where the other
    prompt has no word there, by its last.
    """
    if share >= 1:
        return other
    words, others = prompt.split(), other.split()
    facing = [others[min(place, len(others) - 1)] for place in range(len(words))]
    differing = [place for place, (word, its) in enumerate(zip(words, facing, strict=True)) if word != its]
    for place in _drawn(len(differing), share).tolist():
        words[differing[place]] = facing[differing[place]]
    return " ".join(words)
