"""Small rewards with known answers, for tests of everything that uses rewards."""

from collections.abc import Sequence

import torch
from torch import Tensor

import rewardkit as rk


class Brightness(rk.ImageReward):
    """The mean of all pixels."""

    card = rk.RewardCard(name="brightness", summary="mean of all pixels", score_range=(0, 1))

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return images.mean(dim=(1, 2, 3))


class Redness(rk.ImageReward):
    """The mean of the red channel."""

    card = rk.RewardCard(name="redness")

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return images[:, 0].mean(dim=(1, 2))


class PromptLength(rk.ImageReward):
    """Brightness plus the number of letters of the prompt: wrong as soon as prompts and pictures are mixed up."""

    card = rk.RewardCard(name="promptlength", needs_prompt=True, max_prompt_tokens=20)

    def truncates(self, prompt: str) -> bool:
        return len(prompt) > 20

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        assert prompts is not None
        assert len(prompts) == len(images)
        return images.mean(dim=(1, 2, 3)) + torch.tensor([float(len(p)) for p in prompts], device=images.device)


class BeginsWithA(rk.ImageReward):
    """Whether the prompt begins with an `a` of its own: a yes or a no."""

    card = rk.RewardCard(name="beginswitha", needs_prompt=True)

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        assert prompts is not None
        return images.new_tensor([prompt.startswith("a ") for prompt in prompts])


class One(rk.ImageReward):
    """1 for every picture."""

    card = rk.RewardCard(name="one")

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return torch.ones(len(images), device=images.device)


class LastMinusFirst(rk.TemporalReward):
    """Brightness of the last frame minus that of the first."""

    card = rk.RewardCard(name="lastminusfirst", video_level=True, frames="all")

    def forward(self, video: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return (video[:, -1] - video[:, 0]).mean(dim=(1, 2, 3))


class Raises(rk.ImageReward):
    """Cannot judge bright pictures."""

    card = rk.RewardCard(name="raises")

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        if bool((images.mean(dim=(1, 2, 3)) > 0.5).any()):
            raise ValueError("too bright\nfor me")
        return images.mean(dim=(1, 2, 3))


class GivesNan(rk.ImageReward):
    """Not a number for bright pictures."""

    card = rk.RewardCard(name="givesnan")

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        mean = images.mean(dim=(1, 2, 3))
        return torch.where(mean > 0.5, torch.full_like(mean, float("nan")), mean)


def ramp(batch: int = 2, frames: int = 8, height: int = 4, width: int = 6) -> Tensor:
    """Video whose frame i of video b is grey of level (i + 1 + b / 10) / 20."""
    levels = (torch.arange(frames)[None] + 1 + torch.arange(batch)[:, None] / 10) / 20
    return levels[:, :, None, None, None].expand(batch, frames, 3, height, width).clone()
